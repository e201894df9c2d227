"""Average precision by the protocols of PASCAL VOC: that of 2007, and the one from 2010 on.

A detection stands for the object of its class that it overlaps most, and is right if their IoU exceeds the
threshold and no better detection has that object. Difficult objects do not count: a detection that stands
for one is neither right nor wrong.

The two protocols differ in what they make of the curve. In 2007 AP was the mean of the best precision at
eleven levels of recall or above, later it became the area under the curve of best precisions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np

from cascade_tf.formats.voc import CLASSES, VocDetections, VocObjects
from cascade_tf.metrics.matching import match_to_nearest
from cascade_tf.metrics.overlaps import pairwise_iou
from cascade_tf.metrics.precision import area_under_envelope

LEVELS = np.arange(0.0, 1.1, 0.1)
"""The levels of recall of 2007. Three lie a rounding above 3/10, 6/10 and 7/10, as in the published code: who
finds just 3 of 10 objects does not reach the fourth."""


def evaluate_voc(
    objects: VocObjects,
    detections: VocDetections,
    *,
    edition: int,
    iou: float = 0.5,
    classes: Iterable[str] = CLASSES,
) -> dict[str, float]:
    """Measures detections by a protocol of PASCAL VOC.

    Args:
        objects: the ground truth.
        detections: of the same images.
        edition: 2007 for the mean at eleven levels of recall, 2010 for the area under the curve.
        iou: what the overlap with an object has to exceed.
        classes: which to measure, in this order.

    Returns:
        In percent: ``"mAP"``, and ``"AP/<class>"`` for each class. NaN for a class without an object that
        counts; the mean leaves it out.

    Raises:
        ValueError: there is no such edition.
    """
    if edition not in (2007, 2010):
        raise ValueError(f"edition must be 2007 or 2010, got {edition}")
    average = _eleven_levels if edition == 2007 else area_under_envelope
    numbers = {
        f"AP/{name}": 100 * _average_precision(objects, detections, name, iou, average) for name in classes
    }
    known = [value for value in numbers.values() if not math.isnan(value)]
    return {"mAP": float(np.mean(known)) if known else math.nan, **numbers}


def recall_and_precision(right: np.ndarray, wrong: np.ndarray, objects: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns recall [n] and precision [n] of the best 1, 2, ..., n detections.

    Args:
        right: [n] bool, the best first.
        wrong: [n] bool; what is neither changes nothing.
        objects: how many there are to find, one or more.
    """
    hits, errors = np.cumsum(right), np.cumsum(wrong)
    return hits / objects, hits / np.maximum(hits + errors, 1)


def _average_precision(
    objects: VocObjects,
    detections: VocDetections,
    name: str,
    iou: float,
    average: Callable[[np.ndarray, np.ndarray], float],
) -> float:
    """AP of one class as a fraction."""
    own = VocObjects(*(column[objects.classes == name] for column in objects))
    counting = int(np.sum(~own.difficult))
    if not counting:
        return math.nan
    found = VocDetections(*(column[detections.classes == name] for column in detections))
    order = np.argsort(-found.scores, kind="stable")
    found = VocDetections(*(column[order] for column in found))
    right, wrong = np.zeros(len(order), bool), np.zeros(len(order), bool)
    objects_of = _rows_by_image(own.images)
    for image, here in _rows_by_image(found.images).items():
        there = objects_of.get(image, np.zeros(0, int))
        overlaps = pairwise_iou(found.boxes[here], own.boxes[there])
        matches = match_to_nearest(overlaps, iou, own.difficult[there], strict=True)
        right[here] = (matches.objects >= 0) & ~matches.neutral
        wrong[here] = matches.objects < 0
    return average(*recall_and_precision(right, wrong, counting))


def _rows_by_image(images: np.ndarray) -> dict[str, np.ndarray]:
    """The positions of each image's rows, in their order."""
    order = np.argsort(images, kind="stable")
    names, first = np.unique(images[order], return_index=True)
    return dict(zip(names.tolist(), np.split(order, first)[1:], strict=True))


def _eleven_levels(recall: np.ndarray, precision: np.ndarray) -> float:
    return sum(float(np.max(precision[recall >= level], initial=0.0)) / 11 for level in LEVELS)
