"""CityPersons' protocol: weights are judged by the log-average miss rate of the reasonable pedestrians."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from cascade_tf.data.annotations.broken import BrokenRecords
from cascade_tf.data.sources.citypersons import CityPersonsSplit
from cascade_tf.formats.citypersons import PEDESTRIAN, Pedestrians, pedestrians_of
from cascade_tf.formats.citypersons_annotations import CLASSES
from cascade_tf.metrics import BenchmarkResult, evaluate_citypersons
from cascade_tf.metrics.citypersons import SUBSETS
from cascade_tf.metrics.measurement import Grid
from cascade_tf.protocols.detections import by_image
from cascade_tf.protocols.protocol import Protocol, at_iou

_CLASS = CLASSES[PEDESTRIAN]
_COMPARED = ("reasonable", "small_paper", "heavy", "all")
"""The subsets of the paper's Table 13."""


class CityPersonsProtocol(Protocol):
    """Miss rates of all subsets at IoU 0.5 and 0.75, lower is better."""

    name = "citypersons"
    lower_is_better = True
    own_ious = (0.5, 0.75)

    @property
    def judge(self) -> str:
        """See `Protocol.judge`: that of the first overlap."""
        return f"{self.name}/{at_iou('MR/reasonable', self.ious[0])}"

    def check(self) -> None:
        """See `Protocol.check`."""
        if not isinstance(self.dataset.source, CityPersonsSplit):
            raise self.missing(
                "is not laid out as CityPersons, whose annotations say how much of a person is visible"
            )
        self.need_classes((_CLASS,))

    def benchmark(self, detections: Sequence[Mapping[str, Any]], image_ids: Sequence[int]) -> BenchmarkResult:
        """See `Protocol.benchmark`."""
        found = by_image(detections, image_ids, self.dataset.categories)
        persons = [one.of(_CLASS) for one in found.values()]
        truth = [self._truth[image_id] for image_id in found]
        numbers: dict[str, float] = {}
        for iou in self.ious:
            measured = evaluate_citypersons(truth, [(one.boxes, one.scores) for one in persons], iou=iou)
            numbers |= {at_iou(name, iou): value for name, value in measured.items()}
        rows = [
            (f"IoU >= {iou:g}", tuple(at_iou(f"MR/{subset}", iou) for subset in SUBSETS)) for iou in self.ious
        ]
        main = tuple(at_iou(f"MR/{subset}", iou) for iou in self.ious for subset in _COMPARED)
        title = "CityPersons: log-average miss rate, lower is better"
        return BenchmarkResult(
            self.name, title, numbers, main[0], True, main, Grid(tuple(SUBSETS), tuple(rows))
        )

    @cached_property
    def _truth(self) -> dict[int, Pedestrians]:
        """The pedestrians of each image by its id."""
        source = self.dataset.source
        assert isinstance(source, CityPersonsSplit)
        # What is broken was told when the data set was read.
        images = source.annotated(BrokenRecords(source.name, skip_broken=True))
        return {image_id: pedestrians_of(image) for image_id, image in images}
