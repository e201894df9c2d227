"""What the figures about a run's stages are drawn from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import train

from .bar import detection_bar, image_bar, waiting
from .flags import Flags
from .splits import read_split

if TYPE_CHECKING:
    from cascade_tf.data.dataset import CocoDataset
    from cascade_tf.experiment.config import Experiment
    from cascade_tf.report.analysis import RunBoxes
    from cascade_tf.report.side_by_side import Found

T = TypeVar("T")


class Look:
    """A detector and its data, read when they are needed first, and the runs that it is compared with.

    Args:
        options: the program's flags; --split, --images and --score_threshold say what is looked at.
        detector: a ``TwoStageDetector``.
        experiment: what it was trained as.
        name: of the run beside others.
        beside: the others.
    """

    def __init__(
        self,
        options: Flags,
        detector: Any,
        experiment: Experiment,
        name: str,
        beside: Sequence[Look] = (),
    ) -> None:
        self.options = options
        self.detector = detector
        self.experiment = experiment
        self.name = name
        self.beside = tuple(beside)
        self._splits: dict[str, CocoDataset] = {}
        self._at_test: list[Any] = []
        self._precisions: dict[Any, dict[float, float]] = {}

    @property
    def thresholds(self) -> list[float]:
        """The IoU threshold of each stage.

        Raises:
            ValueError: the detector has no stages.
        """
        from cascade_tf.analysis.delta_statistics import stages_of

        return [stage.iou for stage in stages_of(self.detector)]

    @property
    def measured(self) -> CocoDataset:
        """The images of ``--split``."""
        return self.split(self.options.values.split)

    def of_each(self, what: Callable[[Look], T]) -> dict[str, T]:
        """Something of this run and of each beside it, by their names."""
        return {look.name: what(look) for look in (self, *self.beside)}

    def split(self, name: str) -> CocoDataset:
        """The images of a split, ``--images`` of them at most."""
        if name not in self._splits:
            dataset = read_split(self.experiment, name)
            if not dataset.num_objects:
                raise ValueError(f"{dataset.annotation_file}: has no objects, expected some to look at")
            if self.options.values.images:
                dataset = dataclasses.replace(
                    dataset, examples=dataset.examples[: self.options.values.images]
                )
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
        count = len(self.measured.examples)
        return count, train.training_batches(experiment, self.measured, num_steps=count, masks=False)

    def at_test(self) -> RunBoxes:
        """What becomes of proposals from stage to stage, see ``boxes_at_test``."""
        from cascade_tf.analysis.stage_boxes import boxes_at_test
        from cascade_tf.report.analysis import RunBoxes

        if not self._at_test:
            count, batches = self.test_batches()
            with image_bar(count, "following proposals") as bar:
                self._at_test = boxes_at_test(self.detector, batches, bar.update)
        return RunBoxes(self._at_test, len(self.thresholds))

    def precisions(self) -> dict[str, dict[float, float]]:
        """AP over the IoU threshold of each row of an evaluation by stages, see ``row_names``."""
        records = self._detect(self.detector, self.measured, per_stage=True)
        rows = zip(self.detector.row_names, records, strict=True)
        return {name: self._precision(found) for name, found in rows}

    def boxes(self, detector: Any, dataset: CocoDataset) -> list[Found]:
        """What a detector finds in each image, from ``--score_threshold`` on."""
        from cascade_tf.report.side_by_side import Found

        found = []
        for record in self._detect(detector, dataset):
            kept = record.scores >= self.options.values.score_threshold
            names = [name for name, keep in zip(record.names, kept, strict=True) if keep]
            found.append(Found(record.boxes[kept], record.scores[kept], names))
        return found

    def precision_on_boxes(
        self, head: int, stage: int = 1, source: Any = None, add_objects: bool = False
    ) -> dict[float, float]:
        """AP over the IoU threshold of a head on chosen boxes, see ``detect_on_boxes``."""
        from cascade_tf.analysis.crossed import detect_on_boxes

        key = head, stage, id(source), add_objects
        if key not in self._precisions:
            count, batches = self.test_batches()
            with detection_bar(count) as bar:
                records = detect_on_boxes(
                    self.detector,
                    batches,
                    head=head,
                    stage=stage,
                    source=source,
                    add_objects=add_objects,
                    progress=bar.update,
                )
            self._precisions[key] = self._precision(records)
        return self._precisions[key]

    def _detect(self, detector: Any, dataset: CocoDataset, *, per_stage: bool = False) -> Any:
        from cascade_tf.prediction.inference import detect_dataset

        with detection_bar(len(dataset.examples)) as bar:
            return detect_dataset(
                detector,
                dataset,
                batch_size=self.experiment.evaluation.batch_size,
                per_stage=per_stage,
                skip_broken=self.experiment.data.skip_broken,
                upright=self.experiment.data.upright,
                progress=bar.update,
            )

    def _precision(self, records: Iterable[Any]) -> dict[float, float]:
        from cascade_tf.metrics import evaluate_coco
        from cascade_tf.prediction.inference import to_coco_results

        ids = [example.image_id for example in self.measured.examples]
        truth = self.measured.ground_truth()
        with waiting("measuring"):
            return evaluate_coco(truth, to_coco_results(records), image_ids=ids).iou_curve
