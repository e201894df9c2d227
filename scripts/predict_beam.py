r"""Detects objects in millions of pictures, on an engine of Apache Beam, with an exported model.

Inputs are patterns of picture files; --records takes patterns of TFRecord files, those of prepare_data.py or
any with image/encoded. --output gets the results in --shards pieces: COCO's results as JSON, the same and the
list of the images as Parquet, and what could not be read, with the reason, in files of their own. The same
command again makes the shards that are missing. The exit status is 1 if pictures could not be read.

    python scripts/predict_beam.py --model export/1 --output found "photos/*.jpg" \
        --pipeline "--direct_running_mode=multi_processing --direct_num_workers=8"
    python scripts/predict_beam.py --model gs://BUCKET/export/1 --output gs://BUCKET/found --shards 512 \
        --records "gs://BUCKET/data/*.tfrecord" --pipeline "--runner=DataflowRunner --project=PROJECT ..."

docs/large_scale.md has the flags of Dataflow, Flink and Spark.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import program

from cascade_tf.data.shards.storage import read_file, storage_path, write_file
from cascade_tf.wording import count_of

if TYPE_CHECKING:
    from cascade_tf.bulk.pipeline import Job

OPTIONS = program.Flags(positional="[PATTERN ...]", of_runs=False, settings=False)
OPTIONS.string("model", None, "A SavedModel folder of export.py.", "PATH")
OPTIONS.string("output", None, "Folder for the results, any that the engine's workers write to.", "DIR")
OPTIONS.string("records", None, "Patterns of TFRecord files, separated by commas.", "PATTERNS")
OPTIONS.integer("shards", 16, "Pieces of the results; best are some 10,000 pictures in each.", lower=1)
OPTIONS.integer(
    "shards_per_pipeline",
    None,
    "How many of them one pipeline makes: what is lost when it fails. Default: all.",
    lower=1,
)
OPTIONS.integer("batch_size", 8, "Pictures that go to the model together.", lower=1)
OPTIONS.number("score_threshold", 0.05, "Detections need a higher score.", lower=0.0, upper=1.0)
OPTIONS.string("pipeline", "", "Beam's own flags: the runner and what it takes.", "FLAGS")

_JOB_FILE = "job.json"
_LOCAL_RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit status."""
    return program.run(predict, OPTIONS, __doc__, argv)


def predict(arguments: Sequence[str]) -> int:
    """Runs the pipelines that are missing; returns 1 if some pictures could not be read."""
    try:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError:
        raise ValueError(
            "got no package apache_beam, expected it in an environment of its own: "
            "pip install 'cascade-tf[cpu,beam]'"
        ) from None
    from cascade_tf.bulk.model_files import find_model
    from cascade_tf.bulk.pipeline import Job, detect, failures, ids_by_number, missing_shards, pictures_read

    values = OPTIONS.values
    records = tuple(filter(None, (values.records or "").split(",")))
    if not arguments and not records:
        raise ValueError("got no inputs, expected patterns of picture files, or --records")
    model = find_model(OPTIONS.need("model"))
    output = storage_path(OPTIONS.need("output"))
    options = PipelineOptions(_beam_flags(values.pipeline))
    job = Job(
        files=tuple(arguments),
        records=records,
        model=model.folder,
        output=output,
        shards=values.shards,
        model_digest=model.digest,
        ids_by_number=ids_by_number(arguments, records),
        batch_size=values.batch_size,
        score_threshold=values.score_threshold,
    )
    _note_job(job)
    missing = missing_shards(job)
    size = values.shards_per_pipeline or len(missing) or 1
    with program.progress_bar(len(missing), "detecting", "shard") as bar:
        for first in range(0, len(missing), size):
            shards = missing[first : first + size]
            with beam.Pipeline(options=options) as pipeline:
                detect(pipeline, job, shards)
            bar.update(len(shards))
    failed = failures(job)
    kept = f", {job.shards - len(missing)} of them from before" if len(missing) < job.shards else ""
    print(
        f"{count_of(job.shards, 'shard', 'shards')}{kept}: "
        f"{count_of(pictures_read(job), 'picture', 'pictures')} read, {failed:,} that cannot be. "
        f"The results lie in {job.output}."
    )
    return 1 if failed else 0


def _beam_flags(text: str) -> list[str]:
    """Beam's flags; without a runner the one within this process, as Beam's own default is a download."""
    given = shlex.split(text)
    named = any(flag.partition("=")[0] == "--runner" for flag in given)
    return given if named else [f"--runner={_LOCAL_RUNNER}", *given]


def _note_job(job: Job) -> None:
    """Writes down what the results are of, or makes sure that those of an earlier run are of the same.

    Raises:
        ValueError: the folder has the results of something else.
    """
    path = f"{job.output}/{_JOB_FILE}"
    asked = json.loads(json.dumps(dataclasses.asdict(job)))
    del asked["batch_size"]
    try:
        found = json.loads(read_file(path))
    except FileNotFoundError:
        write_file(path, json.dumps(asked, indent=1) + "\n")
        return
    for name, value in asked.items():
        if found.get(name) != value:
            raise ValueError(
                f"{path}: {name} is {found.get(name)!r}, got {value!r}; expected the same or another --output"
            )


if __name__ == "__main__":
    sys.exit(main())
