"""The way back through MS-CNN's RoIPool, which loses gradients of boxes that stick out of the map.

Its kernel moves the first cell of a box that sticks out at the left or the top onto the map, and then looks
for each cell in bins of that smaller box. What the forward pass took from elsewhere is lost. So are a few
values inside, because a cell's bins come from a division in float32, and a bin's cells from a product.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tests.reference import roi_pool as reference


def corners_of(roi, scale, pad_ratio):
    """The first and last cells x1, y1, x2, y2 of a RoI whose corners are pixels."""
    return [reference.round_half_away(c * scale) for c in reference.pixel_corners(roi, True, pad_ratio)]


def lets_through(argmax, corners, map_size, scale, output_size):
    """[h, w, C] bool: which values of the upstream gradient arrive.

    Args:
        argmax: [h, w, C] number of the cell that each value was taken from, -1 for none.
        corners: of ``corners_of``.
        map_size: (height, width).
        scale: cells per pixel.
        output_size: (h, w).
    """
    height, width = map_size
    inside = argmax >= 0
    for axis, (cells, size) in enumerate([(argmax // width, height), (argmax % width, width)]):
        first, last = max(corners[1 - axis], 0), corners[3 - axis]
        last = min(last, round(size / float(scale)) - 1)
        bin_size = np.float32(max(last - first + 1, 1)) / np.float32(output_size[axis])
        begin = np.floor(np.float32(cells - first) / bin_size)
        end = np.ceil(np.float32(cells - first + 1) / bin_size)
        index = np.arange(output_size[axis]).reshape([-1, 1, 1] if axis == 0 else [1, -1, 1])
        inside &= (cells >= first) & (cells <= last) & (index >= begin) & (index < end)
    return inside


def largest_cells(feature, corners, output_size):
    """[h, w, C] number of the cell with the largest value of each bin, -1 for none."""
    height, width, channels = feature.shape
    found = np.full((*output_size, channels), -1)
    spans = []
    for axis, (count, size) in enumerate(zip(output_size, (height, width), strict=True)):
        first, last = corners[1 - axis], corners[3 - axis]
        step = np.float32(max(last - first + 1, 1)) / np.float32(count)
        index = np.arange(count, dtype=np.float32)
        begin, end = np.floor(index * step), np.ceil((index + 1) * step)
        spans.append(np.clip(np.stack([begin, end], axis=1).astype(int) + first, 0, size))
    for row, (top, bottom) in enumerate(spans[0]):
        for column, (left, right) in enumerate(spans[1]):
            if top < bottom and left < right:
                cells = feature[top:bottom, left:right].reshape(-1, channels).argmax(axis=0)
                y, x = np.divmod(cells, right - left)
                found[row, column] = (top + y) * width + left + x
    return found


class RecordedROIPool:
    """A detector's RoIPool with the authors' way back.

    Args:
        pooling: of the detector, with context.
    """

    def __init__(self, pooling):
        self.pooling = pooling

    def __call__(self, features, boxes):
        pooled = self.pooling(features, boxes)
        maps = features[self.pooling.level].numpy()
        arrives = np.ones(pooled.shape, bool)
        scale, size = np.float32(1 / self.pooling.stride), self.pooling.cells
        for image, row in np.ndindex(*boxes.shape[:2]):
            roi, halves = boxes[image, row].numpy() - np.float32([0, 0, 1, 1]), []
            for pad_ratio in (self.pooling.pad_ratio, self.pooling.context_ratio):
                corners = corners_of(roi, scale, pad_ratio)
                cells = largest_cells(maps[image], corners, size)
                halves.append(lets_through(cells, corners, maps.shape[1:3], scale, size))
            arrives[image, row] = np.concatenate(halves, axis=-1)
        return tf.where(arrives, pooled, tf.stop_gradient(pooled))
