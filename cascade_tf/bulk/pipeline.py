"""The pipeline: pictures in, files of results out, on any runner of Apache Beam.

Work is cut into shards by a digest of the inputs' names. The pipeline of a restart is given the shards that
are missing and reads nothing of the others. Annotations are no texts here: Beam takes them for its types.
"""

import itertools
import logging
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.io import fileio
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from apache_beam.ml.inference.base import KeyedModelHandler, ModelHandler, RunInference

from cascade_tf.bulk.pictures import Picture, id_of_name, ids_are_unique, picture_of_example, shard_of
from cascade_tf.bulk.predictor import Outcome, Predictor
from cascade_tf.bulk.result_files import (
    IMAGES,
    RESULTS,
    finished_shards,
    row_count,
    shard_content,
    shard_file,
)

_BINARY = {"mime_type": "application/octet-stream", "compression_type": CompressionTypes.UNCOMPRESSED}


@dataclass(frozen=True)
class Job:
    """What is to be done.

    Attributes:
        files: patterns of picture files.
        records: patterns of TFRecord files.
        model: folder of the SavedModel.
        output: folder of the results.
        shards: of the results.
        model_digest: see `cascade_tf.bulk.model_files`.
        ids_by_number: see `ids_by_number`.
        batch_size: pictures that go to the model at a time.
        score_threshold: detections need a higher score.
    """

    files: tuple[str, ...]
    records: tuple[str, ...]
    model: str
    output: str
    shards: int
    model_digest: str
    ids_by_number: bool
    batch_size: int = 8
    score_threshold: float = 0.05


class DetectorHandler(ModelHandler[Picture, Outcome, Predictor]):
    """Loads the SavedModel once in each process of a worker, and runs batches through it.

    Args:
        job: names the model.
    """

    def __init__(self, job: Job) -> None:
        self._job = job

    def load_model(self) -> Predictor:
        """Loads the SavedModel."""
        return Predictor(self._job.model, self._job.score_threshold)

    def run_inference(
        self, batch: Sequence[Picture], model: Predictor, inference_args: Mapping[str, Any] | None = None
    ) -> Iterable[Outcome]:
        """Detects in a batch; a broken picture is an outcome, not an error."""
        return model.predict(batch)

    def batch_elements_kwargs(self) -> Mapping[str, Any]:
        """Batches have ``batch_size`` pictures, fewer at the end of a bundle."""
        return {"min_batch_size": self._job.batch_size, "max_batch_size": self._job.batch_size}

    def get_metrics_namespace(self) -> str:
        """The group of Beam's own counters and times of the inference."""
        return "cascade_tf"


def ids_by_number(files: Sequence[str], records: Sequence[str]) -> bool:
    """Looks for the inputs; says whether files may have the numbers of their names as ids.

    They may where no two have the same, and where no records bring ids of their own.

    Args:
        files: patterns of picture files.
        records: patterns of TFRecord files.

    Raises:
        ValueError: a pattern fits nothing.
        OSError: a folder cannot be read.
    """
    for pattern in records:
        _paths(pattern)
    unique = ids_are_unique(itertools.chain.from_iterable(map(_paths, files)))
    return unique and not records


def missing_shards(job: Job) -> list[int]:
    """The shards whose results are not there yet."""
    pattern = FileSystems.join(job.output, f"{RESULTS}-*")
    found = [one.path.replace("\\", "/").rpartition("/")[2] for one in _match(pattern)]
    done = finished_shards(found, job.shards)
    return [number for number in range(job.shards) if number not in done]


def pictures_read(job: Job) -> int:
    """How many pictures of the shards that are there could be read."""
    return sum(map(row_count, _contents(job, IMAGES, "parquet")))


def failures(job: Job) -> int:
    """How many could not."""
    return sum(content.count(b"\n") for content in _contents(job, "failures", "jsonl"))


def detect(pipeline: beam.Pipeline, job: Job, shards: Sequence[int]) -> beam.PCollection:
    """Adds the work on some shards to a pipeline.

    Args:
        pipeline: to add to.
        job: what to do.
        shards: the numbers of those to make; empty ones get files too.

    Returns:
        The names of the files that were written.
    """
    wanted = frozenset(shards)
    pictures = []
    if job.files:
        pictures.append(
            pipeline
            | "file patterns" >> beam.Create(list(job.files))
            | "files" >> fileio.MatchAll()
            | "of the shards" >> beam.FlatMap(_keyed_path, job.shards, wanted)
            | "shared out" >> beam.Reshuffle()
            | "read files" >> beam.MapTuple(_ReadFile(job.ids_by_number))
        )
    if job.records:
        pictures.append(
            pipeline
            | "record patterns" >> beam.Create(list(job.records))
            | "record files" >> fileio.MatchAll()
            | "record files of the shards" >> beam.FlatMap(_keyed_path, job.shards, wanted)
            | "record files' paths" >> beam.Values()
            | "record files shared out" >> beam.Reshuffle()
            | "records" >> beam.io.ReadAllFromTFRecord(with_filename=True)
            | "read records" >> beam.MapTuple(_KeyedExample(job.shards))
        )
    outcomes = (
        pictures | "all pictures" >> beam.Flatten() | RunInference(KeyedModelHandler(DetectorHandler(job)))
    )
    every = pipeline | "shards" >> beam.Create([(number, None) for number in sorted(wanted)])
    return (
        (outcomes, every)
        | "results" >> beam.Flatten()
        | "by shard" >> beam.GroupByKey()
        | "write" >> beam.FlatMap(_write, job)
    )


def _contents(job: Job, kind: str, suffix: str) -> Iterator[bytes]:
    for one in _match(FileSystems.join(job.output, f"{kind}-*-of-{job.shards:05d}.{suffix}")):
        with FileSystems.open(one.path, **_BINARY) as file:
            yield file.read()


def _paths(pattern: str) -> list[str]:
    found = [one.path for one in FileSystems.match([pattern])[0].metadata_list]
    if not found:
        raise ValueError(f"input {pattern}: got no files, expected some that the pattern fits")
    return found


def _match(pattern: str) -> list[Any]:
    try:
        return FileSystems.match([pattern])[0].metadata_list
    except OSError:  # the folder is not there yet
        return []


def _keyed_path(found: Any, count: int, wanted: frozenset[int]) -> Iterator[tuple[int, str]]:
    shard = shard_of(found.path, count)
    if shard in wanted:
        yield shard, found.path


class _ReadFile:
    """Gives a file's picture with its shard, as a function of (shard, path)."""

    def __init__(self, by_number: bool) -> None:
        self._by_number = by_number

    def __call__(self, shard: int, path: str) -> tuple[int, Picture]:
        number = id_of_name(path, by_number=self._by_number)
        try:
            with FileSystems.open(path, **_BINARY) as file:
                return shard, Picture(path, number, file.read())
        except OSError as error:
            return shard, Picture(path, number, b"", f"cannot be read ({error})")


class _KeyedExample:
    """Gives a record's picture with the shard of its file, as a function of (path, record)."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __call__(self, path: str, record: bytes) -> tuple[int, Picture]:
        return shard_of(path, self._count), picture_of_example(record)


def _write(made: tuple[int, Iterable[Outcome | None]], job: Job) -> Iterator[str]:
    """Writes the files of a shard under temporary names, then renames them, the one of its results last.

    Engines may run this twice at once for one shard; both write the same.
    """
    shard, outcomes = made
    contents = shard_content([one for one in outcomes if one is not None], shard, job.shards)
    for name, content in contents.items():
        temporary = FileSystems.join(job.output, f".{uuid.uuid4().hex}.tmp")
        with FileSystems.create(temporary, **_BINARY) as file:
            file.write(content)
        FileSystems.rename([temporary], [FileSystems.join(job.output, name)])
        yield name
    logging.getLogger(__name__).info("wrote %s", shard_file(RESULTS, shard, job.shards))
