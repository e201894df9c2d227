"""WIDER FACE's average precision: easy, medium and hard.

After the official evaluation (Yang et al., "WIDER FACE", CVPR 2016). Each detection belongs to the face that
it overlaps most, of all faces of its image. If the setting does not ask for that face, the detection does not
count; a second detection of a face that is asked for is a false positive. Pixels are squares, so that a box
from 3 to 5 is three wide. Scores are stretched to 0..1 over the whole data set, and precision and recall are
taken at a thousand of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from cascade_tf.formats.widerface import SETTINGS, Faces
from cascade_tf.metrics.matching import match_to_nearest
from cascade_tf.metrics.overlaps import pairwise_iou
from cascade_tf.metrics.precision import area_under_envelope

_THRESHOLDS = 1 - np.arange(1, 1001) / 1000
_LAST_PIXEL = np.array([0, 0, 1, 1])


def evaluate_widerface(
    truth: Sequence[Faces], detections: Iterable[tuple[np.ndarray, np.ndarray]], *, iou: float = 0.5
) -> dict[str, float]:
    """Measures detections of faces.

    Args:
        truth: the faces of each image.
        detections: boxes [D, 4] (x1, y1, x2, y2) and scores [D] of each image, in any order. Of equal scores
            the first comes first.
        iou: the least overlap with a face that was found.

    Returns:
        ``"AP/easy"``, ``"AP/medium"``, ``"AP/hard"`` in percent; NaN where no face is asked for.
    """
    nothing = np.zeros((0, len(SETTINGS)), bool)
    all_scores, counts, hits = [np.zeros(0)], [nothing], [nothing]
    for faces, (boxes, scores) in zip(truth, detections, strict=True):
        order = np.argsort(-scores, kind="stable")
        overlaps = pairwise_iou(boxes[order] + _LAST_PIXEL, faces.boxes + _LAST_PIXEL)
        matches = [match_to_nearest(overlaps, iou, ~faces.counted[s], strict=False) for s in SETTINGS]
        neutral = np.stack([m.neutral for m in matches], axis=1)
        # Where nobody has a face, the official evaluation does not look at what was found.
        counts.append(~neutral & (len(faces.boxes) > 0))
        hits.append(~neutral & (np.stack([m.objects for m in matches], axis=1) >= 0))
        all_scores.append(scores[order])
    scores = _stretched(np.concatenate(all_scores))
    order = np.argsort(-scores, kind="stable")
    # How many detections reach each threshold.
    reach = np.searchsorted(-scores[order], -_THRESHOLDS, side="right")
    numbers = {}
    for i, setting in enumerate(SETTINGS):
        num_faces = sum(int(faces.counted[setting].sum()) for faces in truth)
        found = _sums(np.concatenate(hits)[order, i])[reach]
        counted = _sums(np.concatenate(counts)[order, i])[reach]
        precision = np.divide(found, counted, out=np.zeros(len(reach)), where=counted > 0)
        area = area_under_envelope(found / num_faces, precision) if num_faces else np.nan
        numbers[f"AP/{setting}"] = 100 * float(area)
    return numbers


def _stretched(scores: np.ndarray) -> np.ndarray:
    """Scores from 0 to 1; all 1 where they do not differ."""
    span = np.ptp(scores) if scores.size else 0.0
    return (scores - scores.min()) / span if span else np.ones_like(scores)


def _sums(values: np.ndarray) -> np.ndarray:
    """[n + 1] sums of the first 0, 1, ... n values."""
    return np.concatenate([[0], np.cumsum(values)])
