"""PASCAL VOC's protocols, of 2007 and from 2010 on: weights are judged by the mean AP of the classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from cascade_tf.data.annotations.broken import BrokenRecords
from cascade_tf.data.sources.voc import VocLists
from cascade_tf.formats.voc import VocDetections, VocObjects
from cascade_tf.formats.voc_annotations import VocObject
from cascade_tf.metrics import BenchmarkResult, evaluate_voc
from cascade_tf.metrics.measurement import Grid
from cascade_tf.protocols.detections import Found, by_image
from cascade_tf.protocols.protocol import Protocol, at_iou


class VocProtocol(Protocol):
    """AP of each class of the detector, and their mean."""

    edition: ClassVar[int]
    own_ious = (0.5,)

    @property
    def judge(self) -> str:
        """See `Protocol.judge`: the mean at the first overlap."""
        return f"{self.name}/{at_iou('mAP', self.ious[0])}"

    def check(self) -> None:
        """See `Protocol.check`."""
        if not isinstance(self.dataset.source, VocLists):
            raise self.missing(
                "is not laid out as PASCAL VOC, whose XML files say which objects are difficult"
            )
        self.need_classes_apart()

    def benchmark(self, detections: Sequence[Mapping[str, Any]], image_ids: Sequence[int]) -> BenchmarkResult:
        """See `Protocol.benchmark`."""
        objects = _objects({image_id: self._truth[image_id] for image_id in image_ids})
        found = _detections(by_image(detections, image_ids, self.dataset.categories))
        classes = self.dataset.class_names
        numbers: dict[str, float] = {}
        for iou in self.ious:
            measured = evaluate_voc(objects, found, edition=self.edition, iou=iou, classes=classes)
            numbers |= {at_iou(name, iou): value for name, value in measured.items()}
        means = tuple(at_iou("mAP", iou) for iou in self.ious)
        rows = [(name, tuple(at_iou(f"AP/{name}", iou) for iou in self.ious)) for name in classes]
        grid = Grid(tuple(f"IoU > {iou:g}" for iou in self.ious), (("mAP", means), *rows))
        title = f"PASCAL VOC {self.edition}: average precision of each class"
        return BenchmarkResult(self.name, title, numbers, means[0], False, means, grid)

    @cached_property
    def _truth(self) -> dict[int, list[VocObject]]:
        """The objects of each image by its id, as the XML files have them."""
        source = self.dataset.source
        assert isinstance(source, VocLists)
        # What is broken was told when the data set was read.
        images = source.annotated(BrokenRecords(source.name, skip_broken=True))
        return {image_id: annotation.objects for image_id, _, annotation in images}


class Voc2007Protocol(VocProtocol):
    """The mean of precision at eleven levels of recall."""

    name = "voc2007"
    edition = 2007


class Voc2010Protocol(VocProtocol):
    """The area under the curve of precision over recall."""

    name = "voc2010"
    edition = 2010


def _objects(truth: Mapping[int, Sequence[VocObject]]) -> VocObjects:
    rows = [(str(image_id), one) for image_id, some in truth.items() for one in some]
    return VocObjects(
        np.array([image for image, _ in rows], dtype=str),
        np.array([one.name for _, one in rows], dtype=str),
        np.array([one.box for _, one in rows], np.float64).reshape(-1, 4),
        np.array([one.difficult for _, one in rows], bool),
    )


def _detections(found: Mapping[int, Found]) -> VocDetections:
    empty = Found(np.zeros(0, str), np.zeros((0, 4)), np.zeros(0))
    some = [empty, *found.values()]
    counts = [len(one.scores) for one in found.values()]
    return VocDetections(
        np.repeat(np.array([str(image_id) for image_id in found], dtype=str), counts),
        np.concatenate([one.names for one in some]),
        np.concatenate([one.corners() for one in some]),
        np.concatenate([one.scores for one in some]),
    )
