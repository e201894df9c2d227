"""Deformable convolution the slow, obvious way: one loop per sample and corner, float64 sums."""

from __future__ import annotations

import math

import numpy as np


def interpolate(feature, y, x):
    """[C]: the map [H, W, C] at a position, zero at and beyond one cell outside."""
    height, width, channels = feature.shape
    value = np.zeros(channels)
    if not (-1 < y < height and -1 < x < width):
        return value
    top, left = math.floor(y), math.floor(x)
    for row, row_share in ((top, top + 1 - y), (top + 1, y - top)):
        for column, column_share in ((left, left + 1 - x), (left + 1, x - left)):
            if 0 <= row < height and 0 <= column < width:
                value += row_share * column_share * feature[row, column]
    return value


def deformable_conv2d(inputs, offsets, kernel, *, stride=1):
    """Inputs [B, H, W, C], offsets [B, h, w, 2 T], kernel [k, k, C / groups, O]. Returns [B, h, w, O]."""
    rows, columns, depth, filters = kernel.shape
    groups = inputs.shape[-1] // depth
    per_group = filters // groups
    outputs = np.zeros((*offsets.shape[:3], filters))
    for image, i, j in np.ndindex(*offsets.shape[:3]):
        for tap, (p, q) in enumerate(np.ndindex(rows, columns)):
            dy, dx = (float(o) for o in offsets[image, i, j, 2 * tap : 2 * tap + 2])
            y, x = i * stride - rows // 2 + p + dy, j * stride - columns // 2 + q + dx
            sample = interpolate(inputs[image].astype(np.float64), y, x)
            for group in range(groups):
                filters_of = slice(group * per_group, (group + 1) * per_group)
                channels_of = slice(group * depth, (group + 1) * depth)
                outputs[image, i, j, filters_of] += sample[channels_of] @ kernel[p, q, :, filters_of]
    return outputs
