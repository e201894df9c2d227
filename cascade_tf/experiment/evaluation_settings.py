"""How a detector is measured, as settings."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from cascade_tf.protocols.names import AUTO, PROTOCOLS

if TYPE_CHECKING:
    from cascade_tf.prediction.test_time_augmentation import Augmentation


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
    """How a detector is measured.

    Attributes:
        batch_size: images that go through the network together.
        per_stage: also measures every stage of a cascade, or classifier of the integral loss, by itself.
        scales: further lengths of the shorter side, pixels, beside the model's `short_side`: test-time
            augmentation. Like `flip` and `vote_iou` it is for evaluate.py and predict.py; the evaluations of
            training look at each image once.
        scales_max_side: limit of the longer side at these, pixels; None: the model's.
        flip: shows each size mirrored too.
        vote_iou: boxes become the mean of the candidates that overlap them at least so much; None: they stay.
        protocol: whose numbers are measured beside COCO's, and judge the weights of a training: "auto" is the
            one of the data set's layout (VOC 2007 by "voc2007", other years by "voc2010"), "coco" is COCO's
            alone.
        ious: overlaps of the protocols "voc2007", "voc2010", "citypersons" and "widerface"; the first one's
            numbers judge the weights. Empty: the protocol's own, 0.5, and for the latter two 0.75 besides.
        kitti_rule: the rule on the height of detections of the protocol "kitti", of 2016 or since 2017.
        ground_truth: folder of the four .mat files that say which faces are easy, medium and hard, for the
            protocol "widerface"; None: it is looked for in the data set's folder.
    """

    batch_size: int = 1
    per_stage: bool = False
    scales: tuple[int, ...] = ()
    scales_max_side: int | None = None
    flip: bool = False
    vote_iou: float | None = None
    protocol: str = AUTO
    ious: tuple[float, ...] = ()
    kitti_rule: int = 2017
    ground_truth: str | None = None

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"evaluation.batch_size: got {self.batch_size}, expected 1 or more")
        for name, sizes in (("scales", self.scales), ("scales_max_side", (self.scales_max_side,))):
            if any(size is not None and size <= 0 for size in sizes):
                raise ValueError(f"evaluation.{name}: got {getattr(self, name)}, expected sizes above 0")
        if self.vote_iou is not None and not 0.0 < self.vote_iou <= 1.0:
            got = self.vote_iou
            raise ValueError(f"evaluation.vote_iou: got {got}, expected an overlap in (0, 1], or none")
        if self.protocol not in (AUTO, *PROTOCOLS):
            known = ", ".join((AUTO, *PROTOCOLS))
            raise ValueError(f"evaluation.protocol: got {self.protocol!r}, expected one of {known}")
        if not all(0.0 < iou <= 1.0 for iou in self.ious):
            raise ValueError(f"evaluation.ious: got {self.ious}, expected overlaps in (0, 1]")
        if self.kitti_rule not in (2016, 2017):
            raise ValueError(f"evaluation.kitti_rule: got {self.kitti_rule}, expected 2016 or 2017")

    def augmentation(self) -> Augmentation | None:
        """Returns these settings as predictions take them; None if images are seen once."""
        from cascade_tf.prediction.test_time_augmentation import Augmentation

        if not (self.scales or self.flip or self.vote_iou):
            return None
        return Augmentation(self.scales, self.scales_max_side, self.flip, self.vote_iou)
