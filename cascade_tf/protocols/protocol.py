"""What all protocols have in common: a data set to measure on, and numbers of detections in it."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from cascade_tf.data.class_matching import ONE_CLASS
from cascade_tf.data.dataset import CocoDataset
from cascade_tf.metrics import BenchmarkResult, Measurement, evaluate_coco, evaluate_instances


class MissingError(ValueError):
    """A data set lacks what a protocol needs."""


class Protocol(abc.ABC):
    """Measures detections of one data set, by COCO's protocol and, below this class, by the benchmark's own.

    Attributes:
        name: as ``evaluation.protocol`` has it.
        lower_is_better: whether weights are better the lower the number is that judges them.
        own_ious: the overlaps that are measured at by default; empty: they are fixed.

    Args:
        dataset: the images with their objects, in the classes of the detector.
        ious: overlaps to measure at; empty: the protocol's own.

    Raises:
        MissingError: the data set lacks what the protocol needs.
        ValueError: the protocol has overlaps of its own that cannot be changed.
    """

    name: ClassVar[str]
    lower_is_better: ClassVar[bool] = False
    own_ious: ClassVar[tuple[float, ...]] = ()

    def __init__(self, dataset: CocoDataset, ious: Sequence[float] = ()) -> None:
        if ious and not self.own_ious:
            raise ValueError(
                f"evaluation.ious: got {', '.join(map(str, ious))}, expected none: "
                f"the overlaps of the protocol {self.name!r} are fixed"
            )
        self.dataset = dataset
        self.ious = tuple(ious) or self.own_ious
        self.check()

    @property
    @abc.abstractmethod
    def judge(self) -> str:
        """The number by which weights are judged, as ``Measurement.numbers`` names it."""

    @property
    def measured_by(self) -> str:
        """What the names of the numbers do not say of how they are measured; empty: nothing."""
        return ""

    @abc.abstractmethod
    def check(self) -> None:
        """Raises a MissingError if the data set lacks what the protocol needs."""

    @abc.abstractmethod
    def benchmark(
        self, detections: Sequence[Mapping[str, Any]], image_ids: Sequence[int]
    ) -> BenchmarkResult | None:
        """The benchmark's own numbers, see ``measure``; None where they are COCO's."""

    def measure(
        self, detections: Sequence[Mapping[str, Any]], image_ids: Sequence[int], *, masks: bool = False
    ) -> Measurement:
        """Measures detections.

        Args:
            detections: in COCO's result format; in each image of equal scores the first is the better one.
            image_ids: of the images that were looked at, all others are left out.
            masks: measures the detections' masks too.

        Raises:
            ValueError: a detection is broken.
        """
        of_coco = evaluate_instances if masks else evaluate_coco
        coco = of_coco(self.dataset.ground_truth(), detections, image_ids=image_ids)
        return Measurement(coco, self.benchmark(detections, image_ids))

    def missing(self, what: str) -> MissingError:
        """The error that says what the data set lacks."""
        return MissingError(f"{self.dataset.annotation_file}: {what}, which the protocol {self.name!r} needs")

    def need_classes(self, known: Sequence[str]) -> None:
        """Raises a MissingError unless the detector has one of the classes that are measured."""
        if not set(known) & set(self.dataset.class_names):
            raise self.missing(f"has none of the classes {', '.join(known)}")

    def need_classes_apart(self) -> None:
        """Raises a MissingError if the detector does not tell classes apart."""
        if self.dataset.categories == (ONE_CLASS,):
            raise self.missing("is read as one class (data.one_class) and has no classes")


def at_iou(number: str, iou: float) -> str:
    """The name of a number at an overlap; 0.5 is what the plain name stands for.

    >>> at_iou("MR/reasonable", 0.75), at_iou("mAP", 0.5)
    ('MR75/reasonable', 'mAP')
    """
    if iou == 0.5:
        return number
    measure, slash, rest = number.partition("/")
    return f"{measure}{100 * iou:g}{slash}{rest}"
