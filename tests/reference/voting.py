"""Box voting the slow, obvious way."""

from __future__ import annotations

import numpy as np

from tests.reference.cascade import iou, is_proper


def vote(box, candidates, scores, iou_threshold, score_threshold):
    """Mean of the candidates of one class around a box, weighted by score; without any the box itself."""
    total, moved = 0.0, np.zeros(4)
    for candidate, score in zip(candidates, scores, strict=True):
        if score > score_threshold and is_proper(candidate) and iou(box, candidate) >= iou_threshold:
            total += float(score)
            moved += float(score) * np.asarray(candidate, float)
    return moved / total if total else np.asarray(box, float)
