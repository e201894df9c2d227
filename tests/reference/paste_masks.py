"""Pasting of masks the slow, obvious way: pixel by pixel in float32, in PyTorch's order of operations."""

from __future__ import annotations

import math

import numpy as np


def axis_position(pixel, low, high, cells):
    """Where a pixel's centre lies along one axis of the mask, in cells from the centre of cell 0."""
    one, two, half = np.float32(1), np.float32(2), np.float32(0.5)
    relative = (np.float32(pixel) + half - low) / (high - low) * two - one
    return (relative + one) * np.float32(cells / 2) - half


def value_at(mask, y, x):
    """Bilinear interpolation in a mask that is zero outside."""
    top, left = math.floor(y), math.floor(x)
    bottom_share, right_share = np.float32(y - np.float32(top)), np.float32(x - np.float32(left))
    top_share, left_share = np.float32(1) - bottom_share, np.float32(1) - right_share
    value = np.float32(0)
    for row, row_share in ((top, top_share), (top + 1, bottom_share)):
        for column, column_share in ((left, left_share), (left + 1, right_share)):
            if 0 <= row < mask.shape[0] and 0 <= column < mask.shape[1]:
                value += mask[row, column] * (column_share * row_share)
    return value


@np.errstate(over="ignore", invalid="ignore")
def paste_masks(masks, boxes, image_size, threshold=0.5):
    """Masks [n, P, Q] and boxes [n, 4] float32; returns [n, H, W] bool."""
    pasted = np.zeros((len(masks), *image_size), bool)
    for n, (x1, y1, x2, y2) in enumerate(boxes):
        sides = np.array([x2 - x1, y2 - y1])
        if not (np.isfinite([x1, y1, x2, y2]).all() and np.isfinite(sides).all() and (sides > 0).all()):
            continue
        for i, j in np.ndindex(*image_size):
            y = axis_position(i, y1, y2, masks.shape[1])
            x = axis_position(j, x1, x2, masks.shape[2])
            if -1 <= y < masks.shape[1] and -1 <= x < masks.shape[2]:
                pasted[n, i, j] = value_at(masks[n], y, x) >= np.float32(threshold)
    return pasted
