"""RoIPool the slow, obvious way: one loop per bin."""

from __future__ import annotations

import math

import numpy as np

from tests.reference.pixel_corners import pixel_corners, round_half_away, usable


def axis_ranges(low, high, bins, num_cells):
    """The cells of each bin along one axis, a range each."""
    first, last = round_half_away(low), round_half_away(high)
    size = np.float32(max(last - first + 1, 1)) / np.float32(bins)
    ranges = []
    for p in range(bins):
        begin = math.floor(np.float32(p) * size) + first
        end = math.ceil(np.float32(p + 1) * size) + first
        ranges.append(range(min(max(begin, 0), num_cells), min(max(end, 0), num_cells)))
    return ranges


def cells_of_bins(box, map_size, stride, output_size, pad_ratio, inclusive_boxes):
    """Yields (bin row, bin column, list of its cells) of one box, row by row."""
    scale = np.float32(1) / np.float32(stride)
    corners = [c * scale for c in pixel_corners(box, inclusive_boxes, pad_ratio)]
    if not usable(corners):
        return
    x1, y1, x2, y2 = corners
    rows = axis_ranges(y1, y2, output_size[0], map_size[0])
    columns = axis_ranges(x1, x2, output_size[1], map_size[1])
    for p, q in np.ndindex(*output_size):
        yield p, q, [(y, x) for y in rows[p] for x in columns[q]]


def roi_pool(features, boxes, *, stride, output_size, pad_ratio=0.0, inclusive_boxes=False):
    """Features [B, h, w, C]; boxes [B, R, 4]. Returns [B, R, height, width, C]."""
    pooled = np.zeros((*boxes.shape[:2], *output_size, features.shape[-1]))
    for image, r in np.ndindex(*boxes.shape[:2]):
        settings = (features.shape[1:3], stride, output_size, pad_ratio, inclusive_boxes)
        for p, q, cells in cells_of_bins(boxes[image, r], *settings):
            if cells:
                pooled[image, r, p, q] = np.max([features[image, y, x] for y, x in cells], axis=0)
    return pooled


def roi_pool_gradient(
    upstream, features, boxes, *, stride, output_size, pad_ratio=0.0, inclusive_boxes=False
):
    """Gradient of ``sum(roi_pool(features, ...) * upstream)`` in the features: to the first largest cell."""
    gradient = np.zeros(features.shape)
    for image, r in np.ndindex(*boxes.shape[:2]):
        settings = (features.shape[1:3], stride, output_size, pad_ratio, inclusive_boxes)
        for p, q, cells in cells_of_bins(boxes[image, r], *settings):
            if cells:
                largest = np.argmax([features[image, y, x] for y, x in cells], axis=0)
                for c, index in enumerate(largest):
                    gradient[(image, *cells[index], c)] += upstream[image, r, p, q, c]
    return gradient
