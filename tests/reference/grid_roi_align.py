"""The Cascade R-CNN authors' RoIAlign the slow, obvious way: one loop per point of the grid, float64 sums."""

from __future__ import annotations

import math

import numpy as np

from tests.reference.pixel_corners import pixel_corners, usable


def cells_beside(position, num_cells):
    """The cells beside a position along one axis, with their weights; none outside of the map."""
    if position < -0.5 or position > num_cells - 0.5:
        return []
    position = min(max(float(position), 0.0), num_cells - 1.0)
    lower = math.floor(position)
    return [(lower, lower + 1 - position), (min(lower + 1, num_cells - 1), position - lower)]


def positions(low, high, bins):
    """float32 positions of the points along one axis: whether one is outside depends on the last bit."""
    step = (high - low) / np.float32(bins)
    return [low + np.float32(p) * step for p in range(bins + 1)]


def point_weights(box, map_size, stride, output_size, pad_ratio, inclusive_boxes):
    """Yields (grid row, grid column, cell row, cell column, weight) of one box."""
    scale = np.float32(1) / np.float32(stride)
    corners = [c * scale - np.float32(0.5) for c in pixel_corners(box, inclusive_boxes, pad_ratio)]
    if not usable(corners):
        return
    x1, y1, x2, y2 = corners
    if x2 - x1 <= 0 or y2 - y1 <= 0:
        return
    for p, y in enumerate(positions(y1, y2, output_size[0])):
        for q, x in enumerate(positions(x1, x2, output_size[1])):
            for row, row_weight in cells_beside(y, map_size[0]):
                for column, column_weight in cells_beside(x, map_size[1]):
                    yield p, q, row, column, row_weight * column_weight


def bins_of_point(p, q, output_size, average):
    """The results that a point is part of, with its weight in them."""
    if not average:
        return [(p, q, 1.0)]
    corners = [(p - 1, q - 1), (p - 1, q), (p, q - 1), (p, q)]
    return [(a, b, 0.25) for a, b in corners if 0 <= a < output_size[0] and 0 <= b < output_size[1]]


def all_weights(features, boxes, levels, strides, output_size, average, pad_ratio, inclusive_boxes):
    """Yields (image, RoI, row and column of the result, level, cell row, cell column, weight)."""
    for image, r in np.ndindex(*boxes.shape[:2]):
        level = levels[image, r]
        settings = (features[level].shape[1:3], strides[level], output_size, pad_ratio, inclusive_boxes)
        for p, q, row, column, weight in point_weights(boxes[image, r], *settings):
            for a, b, share in bins_of_point(p, q, output_size, average):
                yield image, r, a, b, level, row, column, weight * share


def grid_roi_align(
    features, boxes, levels, *, strides, output_size, average=True, pad_ratio=0.0, inclusive_boxes=False
):
    """Features: list of [B, h, w, C]; boxes [B, R, 4]; levels [B, R]. Returns [B, R, height, width, C]."""
    size = [bins + (not average) for bins in output_size]
    pooled = np.zeros((*boxes.shape[:2], *size, features[0].shape[-1]))
    settings = (strides, output_size, average, pad_ratio, inclusive_boxes)
    for image, r, a, b, level, row, column, weight in all_weights(features, boxes, levels, *settings):
        pooled[image, r, a, b] += weight * features[level][image, row, column]
    return pooled


def grid_roi_align_gradient(
    upstream,
    features,
    boxes,
    levels,
    *,
    strides,
    output_size,
    average=True,
    pad_ratio=0.0,
    inclusive_boxes=False,
):
    """Gradient of ``sum(grid_roi_align(features, ...) * upstream)`` in each feature map."""
    gradients = [np.zeros(feature.shape) for feature in features]
    settings = (strides, output_size, average, pad_ratio, inclusive_boxes)
    for image, r, a, b, level, row, column, weight in all_weights(features, boxes, levels, *settings):
        gradients[level][image, row, column] += weight * upstream[image, r, a, b]
    return gradients
