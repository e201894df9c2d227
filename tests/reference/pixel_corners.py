"""The corners of a box as Caffe's layers see them, in float32 because what follows is rounded."""

from __future__ import annotations

import math

import numpy as np

MAX_CELLS = 2.0**24


def pixel_corners(box, inclusive_boxes, pad_ratio=0.0):
    """float32 (x1, y1, x2, y2) of the first and the last pixel, widened."""
    x1, y1, x2, y2 = np.float32(box)
    if not inclusive_boxes:
        x2, y2 = x2 - np.float32(1), y2 - np.float32(1)
    pad_x = (x2 - x1 + np.float32(1)) * np.float32(pad_ratio)
    pad_y = (y2 - y1 + np.float32(1)) * np.float32(pad_ratio)
    return x1 - pad_x, y1 - pad_y, x2 + pad_x, y2 + pad_y


def usable(corners):
    return all(abs(float(c)) <= MAX_CELLS for c in corners)


def round_half_away(x):
    """C's round of one float32."""
    return int(math.copysign(math.floor(abs(float(x)) + 0.5), float(x)))
