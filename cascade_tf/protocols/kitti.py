"""KITTI's protocol: weights are judged by the mean over the classes of AP at 40 levels, moderate.

That is the benchmark's number since October 2019. AP at 11 levels, the paper's, gives a class 9 points for a
single hit and moves in steps, which tells weights apart less well; it is measured, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from cascade_tf.data.annotations.broken import BrokenRecords
from cascade_tf.data.dataset import CocoDataset
from cascade_tf.data.sources.kitti import CLASSES, KittiFrames
from cascade_tf.formats.kitti import KittiDetections, KittiObjects
from cascade_tf.metrics import BenchmarkResult, evaluate_kitti
from cascade_tf.metrics.kitti import LEVELS
from cascade_tf.metrics.measurement import Grid
from cascade_tf.protocols.detections import by_image
from cascade_tf.protocols.protocol import Protocol

_MEASURES = ("AP11", "AP40")
_JUDGE = "mean/AP40/moderate"


class KittiProtocol(Protocol):
    """AP of the benchmark's classes that the detector has, easy, moderate and hard, and their means.

    Args:
        dataset: see `Protocol`.
        ious: none, KITTI has its own.
        rule: on the height of detections, 2016 or 2017, see `evaluate_kitti`.
    """

    name = "kitti"

    def __init__(self, dataset: CocoDataset, ious: Sequence[float] = (), *, rule: int = 2017) -> None:
        super().__init__(dataset, ious)
        self.rule = rule

    @property
    def judge(self) -> str:
        """See `Protocol.judge`."""
        return f"{self.name}/{_JUDGE}"

    @property
    def measured_by(self) -> str:
        """See `Protocol.measured_by`: the rule."""
        return f"the rule of {self.rule}"

    def check(self) -> None:
        """See `Protocol.check`."""
        if not isinstance(self.dataset.source, KittiFrames):
            raise self.missing(
                "is not laid out as KITTI, whose label_2 says what is occluded, truncated and not to be found"
            )
        self.need_classes(CLASSES)

    def benchmark(self, detections: Sequence[Mapping[str, Any]], image_ids: Sequence[int]) -> BenchmarkResult:
        """See `Protocol.benchmark`."""
        found = by_image(detections, image_ids, self.dataset.categories)
        frames = [
            (self._truth[image_id], KittiDetections(one.names, one.corners(), one.scores))
            for image_id, one in found.items()
        ]
        measured = evaluate_kitti(frames, rule=self.rule)
        # A class that the detector does not know was not looked for.
        classes = [name.lower() for name in CLASSES if name in self.dataset.class_names]
        columns = [f"{measure}/{level}" for measure in _MEASURES for level in LEVELS]
        numbers = {f"{name}/{column}": measured[f"{name}/{column}"] for name in classes for column in columns}
        for column in columns:
            numbers[f"mean/{column}"] = _mean([numbers[f"{name}/{column}"] for name in classes])
        rows = [(name, tuple(f"{name}/{column}" for column in columns)) for name in (*classes, "mean")]
        grid = Grid(tuple(column.replace("/", " ") for column in columns), tuple(rows))
        main = (_JUDGE, "mean/AP11/moderate", *(f"{name}/AP40/moderate" for name in classes))
        title = f"KITTI, the rule of {self.rule}: average precision at IoU > 0.7 (car), > 0.5 (others)"
        return BenchmarkResult(self.name, title, numbers, _JUDGE, False, main, grid)

    @cached_property
    def _truth(self) -> dict[int, KittiObjects]:
        """The labels of each frame by its id."""
        source = self.dataset.source
        assert isinstance(source, KittiFrames)
        # What is broken was told when the data set was read.
        frames = source.annotated(BrokenRecords(source.name, skip_broken=True))
        return {image_id: objects for image_id, _, objects in frames}


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
