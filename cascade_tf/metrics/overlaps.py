"""How much boxes overlap: of both together, or of the first alone."""

from __future__ import annotations

import numpy as np


def pairwise_iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """[n, m] float64 intersection over union of boxes [n, 4] and [m, 4]; 0 where they share nothing."""
    both = _intersections(boxes, others)
    return _quotients(both, _areas(boxes)[:, None] + _areas(others) - both)


def pairwise_cover(boxes: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """[n, m] float64 share of each of the boxes [n, 4] that lies in each of the regions [m, 4]."""
    both = _intersections(boxes, regions)
    return _quotients(both, np.broadcast_to(_areas(boxes)[:, None], both.shape))


def _intersections(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    boxes, others = boxes[:, None].astype(np.float64), others[None].astype(np.float64)
    sides = np.minimum(boxes[..., 2:], others[..., 2:]) - np.maximum(boxes[..., :2], others[..., :2])
    return np.prod(np.maximum(sides, 0), axis=-1)


def _areas(boxes: np.ndarray) -> np.ndarray:
    boxes = boxes.astype(np.float64)
    return np.prod(np.maximum(boxes[..., 2:] - boxes[..., :2], 0), axis=-1)


def _quotients(both: np.ndarray, areas: np.ndarray) -> np.ndarray:
    return np.divide(both, areas, out=np.zeros_like(both), where=both > 0)
