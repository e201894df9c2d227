r"""Looks into the stages of a trained detector: the figures of the paper, drawn from one's own run.

Each figure becomes a chart on analysis.html and a CSV file beside it, in WORKDIR/analysis or --output.

    localization    IoU of the boxes that a stage makes over that of the boxes it gets; and along the stages,
                    or the iterations of one, over that of the proposals (Fig. 2 (a), 9 (a))
    classification  the classifiers' loss over the IoU of a box (Fig. 2 (b))
    precision       AP over the IoU threshold after each stage, or of each classifier of an integral loss
                    (Fig. 2 (c), 9 (b))
    samples         IoU of the boxes that each stage is trained on, and of those that it gets at test (Fig. 4)
    offsets         offsets from boxes to objects at each stage, with and without outliers (Fig. 5)
    truth           AP where the objects are among the proposals (Fig. 7 (b))
    others          AP on the boxes of another run's stages, --boxes_of (Fig. 7 (a))
    stages          AP of every stage's head on every stage's boxes (Fig. 8)
    detections      boxes with their IoU in some pictures, beside those of another run, --boxes_of, where
                    there is one (Fig. 1)

    python scripts/analyze.py --workdir runs/mine
    python scripts/analyze.py --workdir runs/mine --figures samples,offsets --images 200
    python scripts/analyze.py --workdir runs/u70 --figures others --boxes_of runs/cascade
    python scripts/analyze.py --workdir runs/u50 --figures detections --boxes_of runs/cascade \
        --image_ids 17,42

Training samples are drawn from the images to train on, as in training; everything else is measured on
--split.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import evaluate
import program
import train
from absl import logging

if TYPE_CHECKING:
    from cascade_tf.data.dataset import CocoDataset
    from cascade_tf.experiment.config import Experiment
    from cascade_tf.report.analysis import Figure
    from cascade_tf.report.side_by_side import Found

PICTURES = 4
# What can be drawn of any detector.
WITHOUT_STAGES = ["precision", "detections"]

OPTIONS = program.Flags(weights=True)
OPTIONS.string("figures", None, "Which figures, with commas. Default: all that the flags allow.", "LIST")
OPTIONS.string("split", "val", "Which split is measured: val, train, test, or all.")
OPTIONS.string("output", None, "Folder for the results. Default: analysis in --workdir.", "DIR")
OPTIONS.string("boxes_of", None, "Another run, for the figures others and detections.", "WORKDIR")
OPTIONS.string(
    "image_ids", None, f"The pictures of detections, with commas. Default: the first {PICTURES}.", "LIST"
)
OPTIONS.number(
    "score_threshold",
    program.SCORE_THRESHOLD,
    "The least score of the boxes of detections.",
    lower=0.0,
    upper=1.0,
)
OPTIONS.integer("images", None, "How many images to look at, at most. Default: all.", lower=1)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit status."""
    return program.run(analyze, OPTIONS, __doc__, argv)


def analyze(arguments: Sequence[str]) -> None:
    """Draws the figures of the detector of ``--workdir`` or ``--weights``."""
    chosen = chosen_figures()
    folder = program.writable_folder(program.output_folder(OPTIONS, "analysis"), "output folder")
    detector, experiment = program.open_detector(OPTIONS)
    from cascade_tf.report.analysis import write_analysis

    look = Look(detector, experiment)
    figures: list[Figure] = []
    for name in figures_of(detector, chosen):
        figures += FIGURES[name](look)
    for figure in figures:
        figure.write_csv(folder)
    page = write_analysis(folder / "analysis.html", experiment.name, figures)
    count = "1 figure lies" if len(figures) == 1 else f"{len(figures)} figures lie"
    print(f"{count} in {page}, the numbers beside it.")


def chosen_figures() -> list[str]:
    """The names of ``--figures``.

    Raises:
        ValueError: one is unknown, or lacks the run that it takes.
    """
    if not OPTIONS.values.figures:
        return [name for name in FIGURES if name != "others" or OPTIONS.values.boxes_of]
    names = [name.strip() for name in OPTIONS.values.figures.split(",")]
    unknown = [name for name in names if name not in FIGURES]
    if unknown:
        raise ValueError(f"figures: got {unknown[0]!r}, expected some of {', '.join(FIGURES)}")
    if "others" in names and not OPTIONS.values.boxes_of:
        raise ValueError("figures: got others without --boxes_of, expected the run whose boxes are taken")
    return names


def figures_of(detector: Any, chosen: list[str]) -> list[str]:
    """The chosen figures, of which a detector without stages has one where none is asked for by name."""
    if OPTIONS.values.figures or hasattr(detector.heads, "stages"):
        return chosen
    logging.info("the detector has no stages: %s are its figures", " and ".join(WITHOUT_STAGES))
    return WITHOUT_STAGES


class Look:
    """A detector and its data, read when they are needed first.

    Args:
        detector: a ``TwoStageDetector``.
        experiment: what it was trained as.
    """

    def __init__(self, detector: Any, experiment: Experiment) -> None:
        self.detector = detector
        self.experiment = experiment
        self._splits: dict[str, CocoDataset] = {}
        self._at_test: list[Any] = []
        self._precisions: dict[Any, dict[float, float]] = {}

    @property
    def name(self) -> str:
        """What the run is called beside another one."""
        return Path(OPTIONS.values.workdir).name if OPTIONS.values.workdir else self.experiment.name

    @property
    def thresholds(self) -> list[float]:
        """The IoU threshold of each stage.

        Raises:
            ValueError: the detector has no stages.
        """
        from cascade_tf.analysis.delta_statistics import stages_of

        return [stage.iou for stage in stages_of(self.detector)]

    def split(self, name: str) -> CocoDataset:
        """The images of a split, ``--images`` of them at most."""
        if name not in self._splits:
            dataset = program.read_split(self.experiment, name)
            if not dataset.num_objects:
                raise ValueError(f"{dataset.annotation_file}: has no objects, expected some to look at")
            if OPTIONS.values.images:
                dataset = dataclasses.replace(dataset, examples=dataset.examples[: OPTIONS.values.images])
            self._splits[name] = dataset
        return self._splits[name]

    def train_batches(self) -> tuple[int, Any]:
        """How many images there are to train on, and the batches of them as training has them."""
        dataset, size = self.split(self.experiment.data.train_split), self.experiment.train.batch_size
        steps = -(-len(dataset.examples) // size)
        batches = train.training_batches(self.experiment, dataset, num_steps=steps, masks=False)
        return steps * size, batches

    def test_batches(self) -> tuple[int, Any]:
        """How many images there are to measure on, and batches of one image each with its objects."""
        dataset = self.split(OPTIONS.values.split)
        data = dataclasses.replace(
            self.experiment.data,
            flip=False,
            photometric_distortion=False,
            crop=False,
            crop_size=(),
            object_scales=(),
            min_object_side=0.0,
            min_object_height=0.0,
            short_sides=(),
            max_side=None,
        )
        one_each = dataclasses.replace(self.experiment.train, batch_size=1)
        experiment = dataclasses.replace(self.experiment, data=data, train=one_each)
        count = len(dataset.examples)
        return count, train.training_batches(experiment, dataset, num_steps=count, masks=False)

    def at_test(self) -> list[Any]:
        """What becomes of proposals from stage to stage, see ``boxes_at_test``."""
        from cascade_tf.analysis.stage_boxes import boxes_at_test

        if not self._at_test:
            count, batches = self.test_batches()
            with _bar(count, "following proposals") as bar:
                self._at_test = boxes_at_test(self.detector, batches, bar.update)
        return self._at_test

    def precision(self, records: Iterable[Any]) -> dict[float, float]:
        """AP over the IoU threshold of detections in the images to measure on."""
        from cascade_tf.metrics import evaluate_coco
        from cascade_tf.prediction.inference import to_coco_results

        dataset = self.split(OPTIONS.values.split)
        ids = [example.image_id for example in dataset.examples]
        with program.waiting("measuring"):
            return evaluate_coco(dataset.ground_truth(), to_coco_results(records), image_ids=ids).iou_curve

    def boxes(self, detector: Any, dataset: CocoDataset) -> list[Found]:
        """What a detector finds in each image, from ``--score_threshold`` on."""
        from cascade_tf.report.side_by_side import Found

        data, size = self.experiment.data, self.experiment.evaluation.batch_size
        records = evaluate.detect(
            detector, dataset, batch_size=size, skip_broken=data.skip_broken, upright=data.upright
        )
        found = []
        for record in records:
            kept = record.scores >= OPTIONS.values.score_threshold
            names = [name for name, keep in zip(record.names, kept, strict=True) if keep]
            found.append(Found(record.boxes[kept], record.scores[kept], names))
        return found

    def precision_on_boxes(
        self, head: int, stage: int = 1, source: Any = None, add_objects: bool = False
    ) -> dict[float, float]:
        """The same of a head on chosen boxes, see ``detect_on_boxes``."""
        from cascade_tf.analysis.crossed import detect_on_boxes

        key = head, stage, id(source), add_objects
        if key not in self._precisions:
            count, batches = self.test_batches()
            with _bar(count, "detecting") as bar:
                records = detect_on_boxes(
                    self.detector,
                    batches,
                    head=head,
                    stage=stage,
                    source=source,
                    add_objects=add_objects,
                    progress=bar.update,
                )
            self._precisions[key] = self.precision(records)
        return self._precisions[key]


def _bar(count: int, text: str) -> Any:
    return program.progress_bar(count, text, "image", first="tracing the network")


def localization(look: Look) -> list[Figure]:
    """Fig. 2 (a) and 9 (a)."""
    from cascade_tf.report.analysis import localization_figures

    return localization_figures(look.at_test(), len(look.thresholds))


def classification(look: Look) -> list[Figure]:
    """Fig. 2 (b)."""
    from cascade_tf.report.analysis import classification_figure

    return [classification_figure(look.at_test())]


def precision(look: Look) -> list[Figure]:
    """Fig. 2 (c) and 9 (b)."""
    from cascade_tf.report.analysis import precision_figure

    experiment = look.experiment
    records = evaluate.detect(
        look.detector,
        look.split(OPTIONS.values.split),
        batch_size=experiment.evaluation.batch_size,
        per_stage=True,
        skip_broken=experiment.data.skip_broken,
        upright=experiment.data.upright,
    )
    rows = zip(look.detector.row_names, records, strict=True)
    curves = {name: look.precision(found) for name, found in rows}
    return [precision_figure("precision", "AP of each stage or classifier", curves)]


def samples(look: Look) -> list[Figure]:
    """Fig. 4, in training and at test."""
    from cascade_tf.analysis.stage_boxes import training_overlaps
    from cascade_tf.report.analysis import overlap_figures

    count, batches = look.train_batches()
    with _bar(count, "sampling") as bar:
        trained = training_overlaps(look.detector, batches, bar.update)
    tested = [stage.before for stage in look.at_test()[: len(look.thresholds)]]
    return [
        *overlap_figures("samples", "Training", trained, look.thresholds),
        *overlap_figures("proposals", "Test", tested, look.thresholds),
    ]


def offsets(look: Look) -> list[Figure]:
    """Fig. 5."""
    from cascade_tf.analysis.delta_statistics import stage_deltas
    from cascade_tf.report.analysis import offset_figures

    count, batches = look.train_batches()
    with _bar(count, "measuring") as bar:
        found = list(stage_deltas(look.detector, batches, bar.update))
    return offset_figures(found, look.thresholds)


def truth(look: Look) -> list[Figure]:
    """Fig. 7 (b), of the last stage's head on the proposals."""
    from cascade_tf.report.analysis import precision_figure

    head = len(look.thresholds)
    curves = {
        "proposals": look.precision_on_boxes(head=head),
        "proposals and objects": look.precision_on_boxes(head=head, add_objects=True),
    }
    return [precision_figure("truth", "AP with the objects among the proposals", curves)]


def others(look: Look) -> list[Figure]:
    """Fig. 7 (a), of the last stage's head on the boxes of another run."""
    from cascade_tf.experiment.loading import load_run
    from cascade_tf.report.analysis import precision_figure

    head, name = len(look.thresholds), Path(OPTIONS.values.boxes_of).name
    source = load_run(OPTIONS.values.boxes_of)
    curves = {"own proposals": look.precision_on_boxes(head=head)}
    for stage in range(1, len(source.heads.stages) + 1):
        curves[f"boxes of stage {stage}"] = look.precision_on_boxes(head=head, stage=stage, source=source)
    return [precision_figure("others", f"AP on the boxes of {name}", curves)]


def stages(look: Look) -> list[Figure]:
    """Fig. 8."""
    from cascade_tf.report.analysis import precision_figure

    numbers = range(1, len(look.thresholds) + 1)
    return [
        precision_figure(
            f"stages_{stage}",
            f"AP of the heads on the boxes of stage {stage}",
            {f"head {head}": look.precision_on_boxes(head=head, stage=stage) for head in numbers},
        )
        for stage in numbers
    ]


def detections(look: Look) -> list[Figure]:
    """Fig. 1."""
    from cascade_tf.experiment.loading import load_run
    from cascade_tf.report.analysis import detections_figure

    values, split = OPTIONS.values, look.split(OPTIONS.values.split)
    dataset = dataclasses.replace(split, examples=chosen_pictures(split))
    found = {look.name: look.boxes(look.detector, dataset)}
    if values.boxes_of:
        name = Path(values.boxes_of).name
        name = name if name not in found else values.boxes_of
        found[name] = look.boxes(load_run(values.boxes_of), dataset)
    scenes = program.scenes_of(dataset, found, upright=look.experiment.data.upright)
    return [detections_figure(scenes)]


def chosen_pictures(dataset: CocoDataset) -> tuple[Any, ...]:
    """The examples of ``--image_ids``, else the first of the split.

    Raises:
        ValueError: an id that no image of the split has.
    """
    if not OPTIONS.values.image_ids:
        return dataset.examples[:PICTURES]
    known = {str(example.image_id): example for example in dataset.examples}
    names = [name.strip() for name in OPTIONS.values.image_ids.split(",")]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(
            f"image_ids: got {unknown[0]!r}, expected ids of images of {dataset.annotation_file}"
        )
    return tuple(known[name] for name in names)


FIGURES: dict[str, Callable[[Look], list[Any]]] = {
    "localization": localization,
    "classification": classification,
    "precision": precision,
    "samples": samples,
    "offsets": offsets,
    "truth": truth,
    "others": others,
    "stages": stages,
    "detections": detections,
}
"""What draws each figure, by the names of ``--figures``."""


if __name__ == "__main__":
    sys.exit(main())
