"""Position-sensitive RoI pooling the slow, obvious way: one loop per bin and class, float64 sums."""

from __future__ import annotations

import math

import numpy as np

from tests.reference.pixel_corners import pixel_corners, round_half_away, usable


def axis_ranges(low, high, bins, num_cells):
    """The cells of each bin along one axis, a range each."""
    size = max(high - low, np.float32(0.1)) / np.float32(bins)
    ranges = []
    for p in range(bins):
        begin = math.floor(np.float32(p) * size + low)
        end = math.ceil(np.float32(p + 1) * size + low)
        ranges.append(range(min(max(begin, 0), num_cells), min(max(end, 0), num_cells)))
    return ranges


def bin_weights(box, features_shape, stride, output_size, inclusive_boxes):
    """Yields (bin row, bin column, class, cell row, cell column, channel, weight) of one box."""
    corners = pixel_corners(box, inclusive_boxes)
    if not usable(corners):
        return
    scale = np.float32(1) / np.float32(stride)
    x1, y1 = (np.float32(round_half_away(c)) * scale for c in corners[:2])
    x2, y2 = (np.float32(round_half_away(c) + 1) * scale for c in corners[2:])
    if not usable((x1, y1, x2, y2)):
        return
    rows = axis_ranges(y1, y2, output_size[0], features_shape[1])
    columns = axis_ranges(x1, x2, output_size[1], features_shape[2])
    for p, q in np.ndindex(*output_size):
        for d in range(features_shape[3] // (output_size[0] * output_size[1])):
            channel = (d * output_size[0] + p) * output_size[1] + q
            for y in rows[p]:
                for x in columns[q]:
                    yield p, q, d, y, x, channel, 1 / (len(rows[p]) * len(columns[q]))


def ps_roi_pool(features, boxes, *, stride, output_size, inclusive_boxes=False):
    """Features [B, h, w, D * height * width]; boxes [B, R, 4]. Returns [B, R, height, width, D]."""
    classes = features.shape[-1] // (output_size[0] * output_size[1])
    pooled = np.zeros((*boxes.shape[:2], *output_size, classes))
    for image, r in np.ndindex(*boxes.shape[:2]):
        settings = (features.shape, stride, output_size, inclusive_boxes)
        for p, q, d, y, x, channel, weight in bin_weights(boxes[image, r], *settings):
            pooled[image, r, p, q, d] += weight * features[image, y, x, channel]
    return pooled


def ps_roi_pool_gradient(upstream, features, boxes, *, stride, output_size, inclusive_boxes=False):
    """Gradient of ``sum(ps_roi_pool(features, ...) * upstream)`` in the features."""
    gradient = np.zeros(features.shape)
    for image, r in np.ndindex(*boxes.shape[:2]):
        settings = (features.shape, stride, output_size, inclusive_boxes)
        for p, q, d, y, x, channel, weight in bin_weights(boxes[image, r], *settings):
            gradient[image, y, x, channel] += weight * upstream[image, r, p, q, d]
    return gradient
