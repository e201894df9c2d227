"""How well a proposal network's anchors fit the boxes of a data set."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cascade_tf.boxes.anchors import ShapeGrid

# Boxes that are compared with all shapes at a time.
_CHUNK = 1 << 16


class AnchorFit(NamedTuple):
    """n boxes at the network's scale beside their best anchors.

    Attributes:
        sides: [n, 2] width and height of the boxes, pixels that the network sees.
        best: [n] IoU with the anchor that overlaps the box best.
        shapes: [A, 2] width and height of the anchors of all levels, pixels.
    """

    sides: np.ndarray
    best: np.ndarray
    shapes: np.ndarray

    def share(self, iou: float) -> float:
        """The share of the boxes with an anchor of at least this IoU; NaN without boxes."""
        return float(np.mean(self.best >= iou)) if len(self.best) else float("nan")


def fit_anchors(grid: ShapeGrid, boxes: np.ndarray, image_sizes: np.ndarray) -> AnchorFit:
    """Finds the best anchor of each box.

    Of the anchors of one shape the one in the cell nearest to the box overlaps it best, since the overlap
    falls with the distance in both directions: no others are looked at.

    Args:
        grid: of the proposal network. Its anchors are those of the image's own cells, not of the padding.
        boxes: [n, 4] (x1, y1, x2, y2), pixels that the network sees.
        image_sizes: [n, 2] (height, width) of the image of each box, likewise.
    """
    boxes, image_sizes = np.asarray(boxes, np.float64), np.asarray(image_sizes, np.float64)
    best = np.zeros(len(boxes))
    for begin in range(0, len(boxes), _CHUNK):
        rows = slice(begin, begin + _CHUNK)
        best[rows] = _best_ious(grid, boxes[rows], image_sizes[rows])
    shapes = np.concatenate([_shapes(cell) for cell in grid.cells])
    return AnchorFit(boxes[:, 2:] - boxes[:, :2], best, shapes)


def _best_ious(grid: ShapeGrid, boxes: np.ndarray, image_sizes: np.ndarray) -> np.ndarray:
    centers, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    best = np.zeros(len(boxes))
    for cell, stride in zip(grid.cells, grid.strides, strict=True):
        last = np.ceil(image_sizes[:, ::-1] / stride) - 1
        nearest = np.clip(np.round(centers / stride - grid.offset), 0, last)
        distance = np.abs(centers - (nearest + grid.offset) * stride)
        shapes = _shapes(cell)
        # [n, A, 2]: how much two intervals share.
        shared = (sides[:, None] + shapes) / 2 - distance[:, None]
        shared = np.clip(np.minimum(shared, np.minimum(sides[:, None], shapes)), 0, None)
        common = shared.prod(axis=2)
        union = sides.prod(axis=1)[:, None] + shapes.prod(axis=1) - common
        best = np.maximum(best, (common / union).max(axis=1))
    return best


def _shapes(cell: np.ndarray) -> np.ndarray:
    """[A, 2] width and height of a cell's anchors."""
    return (cell[:, 2:] - cell[:, :2]).astype(np.float64)
