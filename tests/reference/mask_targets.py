"""Mask targets the slow, obvious way: float32 RoIAlign of an unpacked mask, in torchvision's order."""

from __future__ import annotations

import math

import numpy as np

MAX_PIXELS = 2.0**24
MAX_RATIO = 256


def samples(low, high, bins):
    """[bins][ratio] float32 positions along one axis."""
    bin_size = (high - low) / np.float32(bins)
    ratio = min(max(math.ceil(bin_size), 0), MAX_RATIO)
    return [
        [
            low + np.float32(p) * bin_size + (np.float32(i) + np.float32(0.5)) * bin_size / np.float32(ratio)
            for i in range(ratio)
        ]
        for p in range(bins)
    ]


def neighbours(position, size):
    """The two pixels beside a position and their weights; None more than one pixel outside."""
    if position < -1 or position > size:
        return None
    position = min(max(position, np.float32(0)), np.float32(size - 1))
    lower = int(position)
    share = position - np.float32(lower)
    return (lower, np.float32(1) - share), (min(lower + 1, size - 1), share)


def bin_mean(mask, rows, columns):
    total = np.float32(0)
    for y in rows:
        for x in columns:
            vertical, horizontal = neighbours(y, mask.shape[0]), neighbours(x, mask.shape[1])
            if vertical and horizontal:
                value = np.float32(0)
                for row, row_weight in vertical:
                    for column, column_weight in horizontal:
                        value += row_weight * column_weight * np.float32(mask[row, column])
                total += value
    return total / np.float32(max(len(rows) * len(columns), 1))


def crop_mask(mask, box, output_size):
    """One [H, W] bool mask of the unpadded image, one xyxy box; returns [M, M] float32 of 0 and 1."""
    target = np.zeros((output_size, output_size), np.float32)
    x1, y1, x2, y2 = np.float32(box) - np.float32(0.5)
    if mask.size and all(abs(c) <= MAX_PIXELS for c in (x1, y1, x2, y2)):
        rows, columns = samples(y1, y2, output_size), samples(x1, x2, output_size)
        for p, q in np.ndindex(output_size, output_size):
            target[p, q] = bin_mean(mask, rows[p], columns[q]) >= np.float32(0.5)
    return target


def crop_masks(masks, image_size, boxes, object_index, valid, output_size):
    """Masks [B, G, H, W] bool, the rest as of the op. Returns [B, S, M, M] float32."""
    targets = np.zeros((*boxes.shape[:2], output_size, output_size), np.float32)
    for image, s in np.ndindex(*boxes.shape[:2]):
        if valid[image, s]:
            height, width = (int(side) for side in image_size[image])
            mask = masks[image, object_index[image, s], :height, :width]
            targets[image, s] = crop_mask(mask, boxes[image, s], output_size)
    return targets
