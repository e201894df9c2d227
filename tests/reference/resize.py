"""Antialiased bilinear resizing the slow, obvious way: weight by weight in float32, columns before rows."""

from __future__ import annotations

import numpy as np


def weights(old, new):
    """[new, old] float32: the share of each old pixel in each new one, along one axis."""
    one, half = np.float32(1), np.float32(0.5)
    step = np.float32(1 / np.float64(np.float32(new) / np.float32(old)))
    radius = max(step, one)
    table = np.zeros((new, old), np.float32)
    for pixel in range(new):
        centre = (np.float32(pixel) + half) * step
        total = np.float32(0)
        for tap in range(old):
            distance = abs((np.float32(tap) + half - centre) * (one / radius))
            table[pixel, tap] = max(one - distance, np.float32(0))
            total += table[pixel, tap]
        table[pixel] *= one / total
    return table


def blend(values, table):
    """[new, ...] sums of ``values`` [old, ...] along their first axis, from the lowest pixel on."""
    result = np.zeros((len(table), *values.shape[1:]), np.float32)
    for tap in range(len(values)):
        result += table[:, tap].reshape(-1, *[1] * (values.ndim - 1)) * values[tap]
    return result


def resize_and_pad(image, size, flip, multiple):
    """Image [H, W, 3] uint8; returns the resized, mirrored and padded image, uint8."""
    columns = blend(image.astype(np.float32), weights(image.shape[0], size[0]))
    rows = blend(np.swapaxes(columns, 0, 1), weights(image.shape[1], size[1]))
    resized = np.clip(np.floor(np.swapaxes(rows, 0, 1) + np.float32(0.5)), 0, 255).astype(np.uint8)
    padded = np.zeros((*(-(-side // multiple) * multiple for side in size), 3), np.uint8)
    padded[: size[0], : size[1]] = resized[:, ::-1] if flip else resized
    return padded
