r"""Measures a trained detector on a data set, by the protocol of the data set's benchmark and by COCO's.

The tables go to the standard output. These files go to the folder evaluation/ of the run, or to --output:
<split>.json and <split>.csv with all numbers, <split>_detections.json with the detections in COCO's result
format and, with --per_stage, <split>_stage<t>.json and <split>_stages.csv for each stage by itself. A
detector with mask heads is measured by its boxes and by its masks. evaluation.protocol names another protocol
than that of the data set's layout, see docs/protocols.md.

<split>.html is a page about what the detector does wrong, with the images that have the worst errors; its
numbers are in <split>_errors.json and <split>_confusion.csv. docs/errors.md says what they mean.

--submission writes the detections as the server of the data set's benchmark takes them, also those of a test
set without labels, which cannot be measured here.

    python scripts/evaluate.py --workdir runs/mine
    python scripts/evaluate.py --workdir runs/mine --dataset_dir OTHER_DATA --split test --per_stage
    python scripts/evaluate.py --weights detectron2/cascade_mask_rcnn_R_50_FPN_3x --dataset_dir COCO \
        --output zoo
    python scripts/evaluate.py --workdir runs/pedestrians --dataset_dir CityPersons --set evaluation.ious=0.5
    python scripts/evaluate.py --workdir runs/cars --dataset_dir KITTI --split test --submission to_kitti
    python scripts/evaluate.py --workdir runs/mine --set evaluation.flip=true \
        --set evaluation.scales=600,1000 --set evaluation.vote_iou=0.9
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import program

if TYPE_CHECKING:
    from cascade_tf.data.coco import CocoDataset
    from cascade_tf.experiment.config import Experiment
    from cascade_tf.metrics import Measurement
    from cascade_tf.prediction.inference import ImageDetections
    from cascade_tf.prediction.test_time_augmentation import Augmentation
    from cascade_tf.protocols.protocol import Protocol
    from cascade_tf.training.cluster import Workers

OPTIONS = program.Flags(weights=True)
OPTIONS.string("split", "val", "Which split: val, train, test, all, or any other that the data set has.")
OPTIONS.boolean(
    "per_stage", None, "Also measures each stage, or classifier, by itself. Default: evaluation.per_stage."
)
OPTIONS.boolean("errors", True, "Also says what is wrong with the detections, and draws the worst of them.")
OPTIONS.number(
    "score_threshold",
    program.SCORE_THRESHOLD,
    "The least score of detections in the confusion matrix and in pictures.",
    lower=0.0,
    upper=1.0,
)
OPTIONS.string("output", None, "Folder of the results. Default: evaluation/ in the run's folder.", "DIR")
program.define_submission_flags(OPTIONS)


class Measured(NamedTuple):
    """What came out of an evaluation.

    Attributes:
        result: of the detector.
        stages: of each stage by itself, by the detector's ``row_names``; empty if they were not asked for.
        records: the detections in each image that was read.
    """

    result: Measurement
    stages: Mapping[str, Measurement] = MappingProxyType({})
    records: Sequence[ImageDetections] = ()

    def rows(self) -> dict[str, Measurement]:
        """The results by the names that tables give them."""
        return {**self.stages, "detector": self.result}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit status."""
    return program.run(evaluate, OPTIONS, __doc__, argv)


def evaluate(arguments: Sequence[str]) -> None:
    """Evaluates the detector of ``--workdir`` or ``--weights``."""
    submission = program.submission_folder(OPTIONS)
    detector, experiment = program.open_detector(OPTIONS)
    dataset = _read_split(experiment, OPTIONS.values.split)
    if OPTIONS.values.workdir:
        program.tell_of_learnt_split(experiment, OPTIONS.values.split)
    if submission:
        program.check_submission(dataset)
    if dataset.labelled:
        records = _measure_split(detector, experiment, dataset)
    elif submission:
        records = detect(detector, dataset, **_how_to_detect(experiment))
    else:
        raise ValueError(
            f"{dataset.annotation_file}: has no labels, expected some to measure by; --submission DIR writes "
            "what is detected for the benchmark's server"
        )
    if submission:
        program.write_submission(OPTIONS, submission, dataset, records)


def _measure_split(detector: Any, experiment: Experiment, dataset: CocoDataset) -> Sequence[ImageDetections]:
    """Measures a split, shows and writes what came out, and returns the detections."""
    from cascade_tf.metrics import compare_measurements

    split = OPTIONS.values.split
    protocol = program.chosen_protocol(experiment, dataset)
    folder = program.writable_folder(program.output_folder(OPTIONS, "evaluation"), "output folder")
    measured = measure(
        detector,
        protocol,
        per_stage=_per_stage(experiment),
        prefix=folder / split,
        **_how_to_detect(experiment),
    )
    assert measured is not None
    print(measured.result.to_table(csv_file=folder / f"{split}.csv"))
    if measured.stages:
        print(f"\n{compare_measurements(measured.rows())}")
    if OPTIONS.values.errors:
        _explain(measured, dataset, folder / split, experiment.data.upright)
    print(f"\nThe numbers and the detections lie in {folder}.")
    return measured.records


def _how_to_detect(experiment: Experiment) -> dict[str, Any]:
    """What ``detect`` takes beside the detector and the data set."""
    return {
        "batch_size": experiment.evaluation.batch_size,
        "skip_broken": experiment.data.skip_broken,
        "upright": experiment.data.upright,
        "augmentation": experiment.evaluation.augmentation(),
    }


def _explain(measured: Measured, dataset: CocoDataset, prefix: Path, upright: bool) -> None:
    """Shows what is wrong with the detections, and writes the page about it."""
    errors = program.find_errors(
        dataset,
        measured.records,
        masks=measured.result.coco.mask is not None,
        score_threshold=OPTIONS.values.score_threshold,
    )
    program.write_errors(errors, dataset, measured.rows(), prefix, upright=upright)
    print(f"\n{errors.to_table()}\n\nThe worst errors are drawn in {prefix}.html.")


def _per_stage(experiment: Experiment) -> bool:
    given = OPTIONS.values.per_stage
    return experiment.evaluation.per_stage if given is None else given


def _read_split(experiment: Experiment, split: str) -> CocoDataset:
    try:
        return program.read_split_to_measure(experiment, split)
    except ValueError as error:
        if not OPTIONS.values.weights or "expected those of the experiment" not in str(error):
            raise
        remedy = (
            "convert_weights.py --annotations gives a checkpoint the classes of a data set, and train.py "
            "--weights learns others"
        )
        raise ValueError(f"{error}; {remedy}") from None


def measure(
    detector: Any,
    protocol: Protocol,
    *,
    batch_size: int,
    per_stage: bool,
    prefix: Path,
    skip_broken: bool = False,
    augmentation: Augmentation | None = None,
    upright: bool = True,
    workers: Workers | None = None,
) -> Measured | None:
    """Detects in each image of a data set, measures what was found, and writes both.

    Args:
        detector: a ``TwoStageDetector``.
        protocol: what to measure, with the data set.
        batch_size: images that go through the network together.
        per_stage: also measures each stage by itself, where there are several.
        prefix: path that the files' names begin with.
        skip_broken: leaves out images that cannot be read, instead of stopping.
        augmentation: looks at each image in several sizes and mirrored; None: once.
        upright: turns images as their EXIF orientation says.
        workers: processes that share the images; only the first one measures and writes.

    Returns:
        What came out; None in the other processes.
    """
    from cascade_tf.metrics import write_comparison

    per_stage = per_stage and len(detector.row_names) > 1
    settings = {
        "batch_size": batch_size,
        "per_stage": per_stage,
        "skip_broken": skip_broken,
        "augmentation": augmentation,
        "upright": upright,
    }
    if workers is None or workers.count == 1:
        records = detect(detector, protocol.dataset, **settings)
    else:
        records = _detect_together(workers, detector, protocol.dataset, settings)
        if not workers.is_chief:
            return None
    stages = {}
    if per_stage:
        rows = enumerate(zip(detector.row_names, records, strict=True), start=1)
        stages = {name: _score(protocol, found, Path(f"{prefix}_stage{i}")) for i, (name, found) in rows}
        # The last stage's detections are the detector's own.
        records = records[-1]
    measured = Measured(_score(protocol, records, prefix), stages, records)
    measured.result.to_csv(f"{prefix}.csv")
    if per_stage:
        write_comparison(f"{prefix}_stages.csv", measured.rows())
    return measured


def detect(detector: Any, dataset: CocoDataset, **settings: Any) -> Any:
    """Detects in each image of a data set with a progress bar, see `detect_dataset`."""
    from cascade_tf.prediction.inference import detect_dataset

    with program.detection_bar(len(dataset.examples)) as bar:
        return detect_dataset(detector, dataset, progress=bar.update, **settings)


def _detect_together(workers: Workers, detector: Any, dataset: CocoDataset, settings: dict[str, Any]) -> Any:
    from cascade_tf.training.shared_detection import detect_together

    def detect_share(share: CocoDataset) -> Any:
        found = detect(detector, share, **settings)
        return found if settings["per_stage"] else [found]

    rows = detect_together(workers, dataset, detect_share)
    return rows if settings["per_stage"] else rows[0]


def _score(protocol: Protocol, records: Sequence[ImageDetections], prefix: Path) -> Measurement:
    from cascade_tf.files import write_atomically
    from cascade_tf.prediction.inference import to_coco_results

    detections = to_coco_results(records)
    image_ids = [record.image_id for record in records]
    masks = any(record.has_masks for record in records)
    with program.waiting("measuring"):
        result = protocol.measure(detections, image_ids, masks=masks)
    write_atomically(f"{prefix}_detections.json", json.dumps(detections) + "\n")
    result.to_json(f"{prefix}.json")
    return result


if __name__ == "__main__":
    sys.exit(main())
