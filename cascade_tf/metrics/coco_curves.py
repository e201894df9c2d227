"""The COCO protocol on arrays: precision and recall of every class, size and threshold."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cascade_tf.metrics.coco_matching import (
    MOST,
    SIZES,
    THRESHOLDS,
    CocoDetections,
    CocoObjects,
    Overlaps,
    match_all,
)

LIMITS = (1, 10, MOST)
"""Numbers of detections of an image and a class to measure recall with; precision is that of the last."""

RECALLS = np.linspace(0.0, 1.0, 101)
"""The recalls at which precision is measured."""


class Curves(NamedTuple):
    """What was measured at T = 10 thresholds for K classes and the 4 sizes; NaN where there is no object.

    Attributes:
        precision: [T, 101, K, 4], the best one at each recall of 0, 0.01, ..., 1 or above.
        recall: [T, K, 4, 3], for the numbers of detections in ``LIMITS``.
    """

    precision: np.ndarray
    recall: np.ndarray


def measure(objects: CocoObjects, detections: CocoDetections, overlaps: Overlaps, num_classes: int) -> Curves:
    """Measures detections by the COCO protocol.

    Args:
        objects: the ground truth.
        detections: of the same images.
        overlaps: of some of the detections with some of the objects.
        num_classes: K.
    """
    matched = match_all(objects, detections, overlaps)
    counting = objects.counting()
    precision = np.full((len(THRESHOLDS), len(RECALLS), num_classes, len(SIZES)), np.nan)
    recall = np.full((len(THRESHOLDS), num_classes, len(SIZES), len(LIMITS)), np.nan)
    starts = np.searchsorted(detections.classes[matched.rows], np.arange(num_classes + 1))
    for k in range(num_classes):
        own = np.arange(starts[k], starts[k + 1])
        best_first = own[np.argsort(-detections.scores[matched.rows[own]], kind="stable")]
        totals = counting[:, objects.classes == k].sum(axis=1)
        for size in np.flatnonzero(totals):
            right = matched.right[:, size, best_first]
            wrong = matched.wrong[:, size, best_first]
            precision[:, :, k, size] = precision_at_recalls(right, wrong, totals[size])
            for m, limit in enumerate(LIMITS):
                recall[:, k, size, m] = right[:, matched.ranks[best_first] < limit].sum(axis=1) / totals[size]
    return Curves(precision, recall)


def precision_at_recalls(right: np.ndarray, wrong: np.ndarray, objects: int) -> np.ndarray:
    """Precision at 101 levels of recall.

    Args:
        right: [T, n] bool, of n detections, the best first.
        wrong: [T, n] bool, likewise; what is neither does not count.
        objects: how many there are to find, at least 1.

    Returns:
        [T, 101], the best precision at each recall of 0, 0.01, ..., 1 or above; 0 where it is not reached.
    """
    hits, errors = np.cumsum(right, axis=1), np.cumsum(wrong, axis=1)
    precision = hits / np.maximum(hits + errors, 1)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    # A recall that is not reached has a precision of 0.
    best = np.pad(best, ((0, 0), (0, 1)))
    reached = [np.searchsorted(row, RECALLS, side="left") for row in hits / objects]
    return np.take_along_axis(best, np.array(reached), axis=1)
