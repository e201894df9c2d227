"""RoIAlign the slow, obvious way: one loop per sample, float64 sums."""

from __future__ import annotations

import math

import numpy as np

MAX_CELLS = 2.0**24
MAX_ADAPTIVE_RATIO = 256


def corner_weights(position, size):
    """The cells beside a position along one axis, with their weights; none farther than one cell outside."""
    if position < -1 or position > size:
        return []
    position = min(max(position, 0.0), size - 1.0)
    lower = int(position)
    upper = min(lower + 1, size - 1)
    return [(lower, 1 - (position - lower)), (upper, position - lower)]


def sample_positions(low, high, bins, sampling_ratio, aligned):
    """[bins][ratio] positions of the samples along one axis, in cells."""
    length = high - low
    if not aligned:
        length = max(length, 1.0)
    bin_size = length / bins
    ratio = sampling_ratio or min(max(math.ceil(np.float32(bin_size)), 0), MAX_ADAPTIVE_RATIO)
    return [[low + p * bin_size + (i + 0.5) * bin_size / ratio for i in range(ratio)] for p in range(bins)]


def bin_weights(box, stride, output_size, map_size, sampling_ratio, aligned):
    """Yields (bin row, bin column, cell row, cell column, weight) of one box."""
    cells = [float(c) for c in np.float32(box) * np.float32(1 / stride) - np.float32(0.5 if aligned else 0)]
    if not all(abs(c) <= MAX_CELLS for c in cells):
        return
    x1, y1, x2, y2 = cells
    rows = sample_positions(y1, y2, output_size[0], sampling_ratio, aligned)
    columns = sample_positions(x1, x2, output_size[1], sampling_ratio, aligned)
    for p, q in np.ndindex(*output_size):
        for y in rows[p]:
            for x in columns[q]:
                for row, row_weight in corner_weights(y, map_size[0]):
                    for column, column_weight in corner_weights(x, map_size[1]):
                        share = row_weight * column_weight / (len(rows[p]) * len(columns[q]))
                        yield p, q, row, column, share


def roi_align(features, boxes, levels, *, strides, output_size, sampling_ratio, aligned=True):
    """Features: list of [B, h, w, C]; boxes [B, R, 4]; levels [B, R]. Returns [B, R, height, width, C]."""
    pooled = np.zeros((*boxes.shape[:2], *output_size, features[0].shape[-1]))
    for image, r in np.ndindex(*boxes.shape[:2]):
        level = levels[image, r]
        feature = features[level][image]
        settings = (strides[level], output_size, feature.shape[:2], sampling_ratio, aligned)
        for p, q, row, column, weight in bin_weights(boxes[image, r], *settings):
            pooled[image, r, p, q] += weight * feature[row, column]
    return pooled


def roi_align_gradient(
    upstream, features, boxes, levels, *, strides, output_size, sampling_ratio, aligned=True
):
    """Gradient of ``sum(roi_align(features, ...) * upstream)`` in each feature map."""
    gradients = [np.zeros(feature.shape) for feature in features]
    for image, r in np.ndindex(*boxes.shape[:2]):
        level = levels[image, r]
        settings = (strides[level], output_size, features[level].shape[1:3], sampling_ratio, aligned)
        for p, q, row, column, weight in bin_weights(boxes[image, r], *settings):
            gradients[level][image, row, column] += weight * upstream[image, r, p, q]
    return gradients
