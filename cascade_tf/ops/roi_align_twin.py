"""RoIAlign from core TensorFlow ops: what exported models run, and machines without a compiler.

The samples of all bins with the same position inside their bin form a regular grid, so that one call of
``crop_and_resize`` computes them: a "sample grid" is one such set, and an RoI has ratio x ratio of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

MAX_ADAPTIVE_RATIO = 256
MAX_CELLS = 2.0**24  # float32 cannot tell neighbouring cells apart beyond
_GRIDS_PER_STEP = 2048


class _SampleGrids(NamedTuple):
    """M sample grids; positions are (y, x) in cells, relative to the centre of cell 0."""

    roi: tf.Tensor  # [M] int32, sorted
    first: tf.Tensor  # [M, 2] position of the sample in bin (0, 0)
    step: tf.Tensor  # [M, 2] distance between bins
    per_roi: tf.Tensor  # [n] int32 number of grids of each RoI


def roi_align_tensorflow(
    features: list[tf.Tensor],
    boxes: tf.Tensor,
    levels: tf.Tensor,
    *,
    strides: Sequence[float],
    output_size: tuple[int, int],
    sampling_ratio: int,
    aligned: bool,
) -> tf.Tensor:
    """``roi_align`` on checked arguments: float32 features, clamped [B, R] levels."""
    batch, num_rois = tf.unstack(tf.shape(boxes)[:2])
    flat_boxes = tf.reshape(boxes, [batch * num_rois, 4])
    flat_levels = tf.reshape(levels, [batch * num_rois])
    image = tf.repeat(tf.range(batch), num_rois)
    positions, pooled = [], []
    for level, (feature, stride) in enumerate(zip(features, strides)):
        members = tf.where(tf.equal(flat_levels, level))[:, 0]
        grids = _sample_grids(tf.gather(flat_boxes, members), stride, output_size, sampling_ratio, aligned)
        positions.append(tf.cast(members, tf.int32))
        pooled.append(_pool_level(feature, tf.gather(image, members), grids, output_size))
    stitched = tf.dynamic_stitch(positions, pooled)
    channels = features[0].shape[3] or tf.shape(features[0])[3]
    result = tf.reshape(stitched, [batch, num_rois, *output_size, channels])
    return tf.ensure_shape(result, [*boxes.shape[:2], *output_size, features[0].shape[3]])


def _sample_grids(
    boxes: tf.Tensor, stride: float, output_size: tuple[int, int], sampling_ratio: int, aligned: bool
) -> _SampleGrids:
    cells = boxes * (1.0 / stride) - (0.5 if aligned else 0.0)
    usable = tf.reduce_all(tf.abs(cells) <= MAX_CELLS, axis=-1, keepdims=True)  # false for NaN
    # An unusable RoI becomes a point so far outside that every sample is zero.
    cells = tf.where(usable, cells, -MAX_CELLS)
    start = tf.reverse(cells[:, :2], axis=[1])
    extent = tf.reverse(cells[:, 2:], axis=[1]) - start
    if not aligned:
        extent = tf.maximum(extent, 1.0)
    bin_size = extent / tf.constant(output_size, tf.float32)
    if sampling_ratio:
        ratio = tf.fill(tf.shape(bin_size), sampling_ratio)
    else:
        ratio = tf.cast(tf.clip_by_value(tf.math.ceil(bin_size), 0.0, MAX_ADAPTIVE_RATIO), tf.int32)
    per_roi = tf.reduce_prod(ratio, axis=1)
    last = tf.cumsum(per_roi)
    index = tf.range(tf.reduce_sum(per_roi))
    roi = tf.searchsorted(last, index, side="right")
    ratio = tf.gather(ratio, roi)
    within_roi = index - tf.gather(last - per_roi, roi)
    within_bin = tf.stack([within_roi // ratio[:, 1], within_roi % ratio[:, 1]], axis=1)
    step = tf.gather(bin_size, roi)
    offset = (tf.cast(within_bin, tf.float32) + 0.5) * step / tf.cast(ratio, tf.float32)
    return _SampleGrids(roi, tf.gather(start, roi) + offset, step, per_roi)


def _pool_level(
    feature: tf.Tensor, image: tf.Tensor, grids: _SampleGrids, output_size: tuple[int, int]
) -> tf.Tensor:
    """Mean over the sample grids of each RoI: [n, P, P, C]."""
    grid_image = tf.gather(image, grids.roi)
    weight = tf.math.reciprocal(tf.cast(tf.maximum(grids.per_roi, 1), tf.float32))[:, None, None, None]

    # The registered gradient of crop_and_resize adds from several threads without a lock and loses updates on
    # the CPU, hence a gradient of our own.
    @tf.custom_gradient
    def pool(feature):
        samples = _crop(feature, grid_image, grids, output_size)
        total = tf.math.unsorted_segment_sum(samples, grids.roi, tf.shape(grids.per_roi)[0])

        def gradient(upstream):
            return _spread(upstream * weight, grid_image, grids, tf.shape(feature))

        return total * weight, gradient

    return pool(feature)


def _crop(
    feature: tf.Tensor, image: tf.Tensor, grids: _SampleGrids, output_size: tuple[int, int]
) -> tf.Tensor:
    """Values at the sample grids: [M, P, P, C]."""
    # One repeated border cell gives samples up to one cell outside the border's value, and zero beyond.
    padded = tf.pad(feature, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="SYMMETRIC")
    span = tf.cast(tf.shape(feature)[1:3] + 1, tf.float32)
    bins = tf.constant(output_size, tf.float32)
    top_left = (grids.first + 1.0) / span
    bottom_right = (grids.first + grids.step * (bins - 1.0) + 1.0) / span
    corners = tf.concat([top_left, bottom_right], axis=1)
    return tf.image.crop_and_resize(padded, corners, image, output_size)


def _spread(upstream: tf.Tensor, image: tf.Tensor, grids: _SampleGrids, shape: tf.Tensor) -> tf.Tensor:
    """Adjoint of ``_crop`` and the sum over an RoI's grids: adds each upstream value to the four cells around.

    Works through the grids in slices, because the four weighted copies of all samples may not fit in memory.
    """
    height, width, channels = shape[1], shape[2], shape[3]
    num_grids = tf.shape(grids.roi)[0]
    num_cells = shape[0] * height * width

    def add_slice(begin, total):
        part = slice(begin, begin + _GRIDS_PER_STEP)
        values = tf.gather(upstream, grids.roi[part])
        first, step = grids.first[part], grids.step[part]
        rows = _neighbours(first[:, 0], step[:, 0], tf.shape(values)[1], height)
        columns = _neighbours(first[:, 1], step[:, 1], tf.shape(values)[2], width)
        for row, row_weight in rows:
            for column, column_weight in columns:
                cell = (image[part, None, None] * height + row[:, :, None]) * width + column[:, None, :]
                weighted = values * (row_weight[:, :, None] * column_weight[:, None, :])[..., None]
                total += tf.math.unsorted_segment_sum(weighted, cell, num_cells)
        return begin + _GRIDS_PER_STEP, total

    _, total = tf.while_loop(
        lambda begin, _: begin < num_grids,
        add_slice,
        (tf.constant(0), tf.zeros([num_cells, channels])),
        parallel_iterations=1,
    )
    return tf.reshape(total, shape)


def _neighbours(first, step, bins, extent):
    """The two cells beside each sample along one axis, and their weights: two pairs of [M, P] tensors."""
    position = first[:, None] + step[:, None] * tf.cast(tf.range(bins), tf.float32)[None, :]
    last = tf.cast(extent - 1, tf.float32)
    inside = tf.cast((position >= -1.0) & (position <= last + 1.0), tf.float32)
    position = tf.clip_by_value(position, 0.0, last)
    lower = tf.floor(position)
    fraction = position - lower
    upper = tf.minimum(lower + 1.0, last)
    return (
        (tf.cast(lower, tf.int32), (1.0 - fraction) * inside),
        (tf.cast(upper, tf.int32), fraction * inside),
    )
