"""CityPersons' log-average miss rate.

After the official evaluation (Zhang et al., "CityPersons", CVPR 2017), which is COCO's matching with other
rules around it. A subset asks for the pedestrians of some heights and visibilities, and everything else in
the ground truth is a region in which detections do not count. Miss rates are read at nine rates of false
positives per image, from one in a hundred images to one in each, and their geometric mean is the number:
lower is better.

One thing differs. Where the best detection of all is already a false positive, and one more than the lowest
rates allow (fewer than a hundred images), the official code takes the recall of all detections there; here it
is none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from cascade_tf.formats.citypersons import Pedestrians
from cascade_tf.metrics.matching import match_to_free
from cascade_tf.metrics.overlaps import pairwise_cover, pairwise_iou


class Subset(NamedTuple):
    """Which pedestrians are asked for; both ends of a range belong to it.

    Attributes:
        height: least and largest height, pixels.
        visibility: least and largest visible part of the area.
    """

    height: tuple[float, float]
    visibility: tuple[float, float]


SUBSETS = {
    "reasonable": Subset((50, math.inf), (0.65, math.inf)),
    "reasonable_small": Subset((50, 75), (0.65, math.inf)),
    "small_paper": Subset((30, 80), (0.65, math.inf)),
    "heavy": Subset((50, math.inf), (0.2, 0.65)),
    "all": Subset((20, math.inf), (0.2, math.inf)),
    "bare": Subset((50, math.inf), (0.9, math.inf)),
    "partial": Subset((50, math.inf), (0.65, 0.9)),
    "heavy_csp": Subset((50, math.inf), (0.0, 0.65)),
}
"""The official four are reasonable, reasonable_small, heavy and all.

Bare, partial and heavy_csp are those of Liu et al., "High-level Semantic Feature Detection" (CSP, CVPR 2019).
``small_paper`` is a guess at what "Small" in the Cascade R-CNN paper's Table 13 means: its figures are far
from those of reasonable_small and of the right size for this range, and no source confirms it.
"""

FALSE_POSITIVES_PER_IMAGE = (0.01, 0.0178, 0.0316, 0.0562, 0.1, 0.1778, 0.3162, 0.5623, 1.0)
"""Where miss rates are read. The official code has powers of ten rounded to four decimals."""

_MOST_DETECTIONS = 1000  # of an image
_TOLERANCE = 1.25  # detections may leave the range of heights by this factor


def evaluate_citypersons(
    truth: Sequence[Pedestrians], detections: Iterable[tuple[np.ndarray, np.ndarray]], *, iou: float = 0.5
) -> dict[str, float]:
    """Measures detections of pedestrians.

    Args:
        truth: the pedestrians of each image.
        detections: boxes [D, 4] (x, y, width, height) and scores [D] of each image, in any order. Of equal
            scores the first comes first.
        iou: the least overlap with a pedestrian that was found.

    Returns:
        ``"MR/reasonable"`` and so on for each of ``SUBSETS``, in percent; NaN where none is asked for.
    """
    nothing = np.zeros((len(SUBSETS), 0), bool)
    all_scores, counts, hits = [np.zeros(0)], [nothing], [nothing]
    num_objects = np.zeros(len(SUBSETS), int)
    for objects, (boxes, scores) in zip(truth, detections, strict=True):
        order = np.argsort(-scores, kind="stable")[:_MOST_DETECTIONS]
        ignored, measured = _ignored(objects), _measured(boxes[order, 3])
        matches = match_to_free(
            np.where(measured[..., None], _overlaps(boxes[order], objects.boxes, ignored), -1.0),
            np.full(len(SUBSETS), iou),
            ignored,
            reusable=ignored,
        )
        all_scores.append(scores[order])
        counts.append(measured & ~matches.neutral)
        hits.append(counts[-1] & (matches.objects >= 0))
        num_objects += np.sum(~ignored, axis=1)
    order = np.argsort(-np.concatenate(all_scores), kind="stable")
    counted, found = (np.concatenate(parts, axis=1)[:, order] for parts in (counts, hits))
    return {
        f"MR/{name}": 100 * log_average_miss_rate(found[s][counted[s]], num_objects[s], len(truth))
        for s, name in enumerate(SUBSETS)
    }


def log_average_miss_rate(found: np.ndarray, num_objects: int, num_images: int) -> float:
    """Geometric mean of the miss rates at ``FALSE_POSITIVES_PER_IMAGE``, 0 to 1.

    Args:
        found: [D] bool, which detections found an object, best first; the others are false positives.
        num_objects: how many there are to find. NaN if none.
        num_images: how many images there are.
    """
    if num_objects == 0:
        return math.nan
    rates = np.cumsum(~found) / num_images
    accepted = np.searchsorted(rates, FALSE_POSITIVES_PER_IMAGE, side="right")
    missed = 1 - np.concatenate([[0], np.cumsum(found)])[accepted] / num_objects
    return math.exp(np.mean(np.log(missed))) if missed.all() else 0.0


def _ignored(objects: Pedestrians) -> np.ndarray:
    """[S, G] bool, whom each subset does not ask for."""
    return np.stack(
        [
            objects.ignored
            | (objects.heights < subset.height[0])
            | (objects.heights > subset.height[1])
            | (objects.visibility < subset.visibility[0])
            | (objects.visibility > subset.visibility[1])
            for subset in SUBSETS.values()
        ]
    )


def _measured(heights: np.ndarray) -> np.ndarray:
    """[S, D] bool, which detections each subset looks at."""
    ranges = np.array([subset.height for subset in SUBSETS.values()])
    return (heights >= ranges[:, :1] / _TOLERANCE) & (heights < ranges[:, 1:] * _TOLERANCE)


def _overlaps(boxes: np.ndarray, others: np.ndarray, ignored: np.ndarray) -> np.ndarray:
    """[S, D, G]: IoU; for ignored objects the part of the detection that they cover."""
    boxes, others = _corners(boxes), _corners(others)
    return np.where(ignored[:, None], pairwise_cover(boxes, others), pairwise_iou(boxes, others))


def _corners(boxes: np.ndarray) -> np.ndarray:
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
