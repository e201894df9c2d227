"""RoIAlign the slow, obvious way: one loop per sample and axis, exact positions, float64 sums."""

from __future__ import annotations

import functools
import math
from fractions import Fraction

import numpy as np

MAX_CELLS = 2.0**24
MAX_ADAPTIVE_RATIO = 256


def corner_weights(position, size):
    """The cells beside a position along one axis, with their weights; none farther than one cell outside."""
    if position < -1 or position > size:
        return []
    position = min(max(position, 0), size - 1)
    lower = int(position)
    upper = min(lower + 1, size - 1)
    return [(lower, float(1 - (position - lower))), (upper, float(position - lower))]


def sample_positions(low, high, bins, sampling_ratio, aligned):
    """[bins][ratio] positions of the samples along one axis, in cells: fractions without any rounding."""
    length = np.float32(high) - np.float32(low)
    if not aligned:
        length = max(length, np.float32(1))
    ratio = sampling_ratio or min(max(math.ceil(length / np.float32(bins)), 0), MAX_ADAPTIVE_RATIO)
    start, length = Fraction(float(low)), Fraction(float(length))
    return [
        [start + length * Fraction(2 * (p * ratio + i) + 1, 2 * bins * ratio) for i in range(ratio)]
        for p in range(bins)
    ]


@functools.lru_cache(maxsize=10_000)
def axis_weights(low, high, bins, size, sampling_ratio, aligned):
    """[bins, size] share of each cell in each bin along one axis."""
    weights = np.zeros((bins, size))
    for p, positions in enumerate(sample_positions(low, high, bins, sampling_ratio, aligned)):
        for position in positions:
            for cell, weight in corner_weights(position, size):
                weights[p, cell] += weight / len(positions)
    return weights


def bin_weights(box, stride, output_size, map_size, sampling_ratio, aligned):
    """[rows, h], [columns, w]: shares of the cells of one box, whose products count; None without samples."""
    cells = np.float32(box) / np.float32(stride) - np.float32(0.5 if aligned else 0)
    if not all(abs(c) <= MAX_CELLS for c in cells):
        return None
    x1, y1, x2, y2 = cells
    rows = axis_weights(y1, y2, output_size[0], map_size[0], sampling_ratio, aligned)
    return rows, axis_weights(x1, x2, output_size[1], map_size[1], sampling_ratio, aligned)


def roi_align(features, boxes, levels, *, strides, output_size, sampling_ratio, aligned=True):
    """Features: list of [B, h, w, C]; boxes [B, R, 4]; levels [B, R]. Returns [B, R, height, width, C]."""
    pooled = np.zeros((*boxes.shape[:2], *output_size, features[0].shape[-1]))
    for image, r in np.ndindex(*boxes.shape[:2]):
        level = levels[image, r]
        feature = features[level][image]
        settings = (strides[level], output_size, feature.shape[:2], sampling_ratio, aligned)
        if weights := bin_weights(boxes[image, r], *settings):
            pooled[image, r] = np.einsum("ph,qw,hwc->pqc", *weights, feature)
    return pooled


def roi_align_gradient(
    upstream, features, boxes, levels, *, strides, output_size, sampling_ratio, aligned=True
):
    """Gradient of ``sum(roi_align(features, ...) * upstream)`` in each feature map."""
    gradients = [np.zeros(feature.shape) for feature in features]
    for image, r in np.ndindex(*boxes.shape[:2]):
        level = levels[image, r]
        settings = (strides[level], output_size, features[level].shape[1:3], sampling_ratio, aligned)
        if weights := bin_weights(boxes[image, r], *settings):
            gradients[level][image] += np.einsum("ph,qw,pqc->hwc", *weights, upstream[image, r])
    return gradients
