"""RoIAlign from core TensorFlow ops: what exported models run, and machines without a compiler.

``crop_and_resize`` computes bilinear samples on a regular grid. With a fixed sampling ratio the samples of an
RoI form one such grid; with an adaptive one, those with the same position inside their bin do ("sample grid"
below). Positions and extents are (y, x) in cells, relative to the centre of cell 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

MAX_RATIO = 256
MAX_CELLS = 2.0**24  # float32 cannot tell neighbouring cells apart beyond
_GRIDS_PER_STEP = 2048


class _Rois(NamedTuple):
    """The n RoIs of all images."""

    start: tf.Tensor  # [n, 2] float32 corner of bin (0, 0)
    bin_size: tf.Tensor  # [n, 2] float32
    ratio: tf.Tensor  # [n, 2] int32 samples per bin
    image: tf.Tensor  # [n] int32
    level: tf.Tensor  # [n] int32


class _SampleGrids(NamedTuple):
    """All sample grids: an RoI has ratio[0] x ratio[1] of them, with one sample per bin each."""

    roi: tf.Tensor  # [M] int32 in ascending order
    first: tf.Tensor  # [M, 2] float32 position of the sample in bin (0, 0)


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
    rois = _make_rois(boxes, levels, strides, output_size, sampling_ratio, aligned)

    # The registered gradient of crop_and_resize adds from several threads without a lock and loses updates on
    # the CPU, hence a gradient of our own.
    @tf.custom_gradient
    def pool(*maps):
        shapes = [tf.shape(feature) for feature in maps]

        def gradient(upstream):
            return _spread(upstream, rois, shapes, output_size)

        if sampling_ratio:
            return _pool_fixed(maps, rois, output_size, sampling_ratio), gradient
        return _pool_adaptive(maps, rois, output_size), gradient

    channels = features[0].shape[3] or tf.shape(features[0])[3]
    pooled = tf.reshape(pool(*features), [batch, num_rois, *output_size, channels])
    return tf.ensure_shape(pooled, [*boxes.shape[:2], *output_size, features[0].shape[3]])


def _make_rois(
    boxes: tf.Tensor,
    levels: tf.Tensor,
    strides: Sequence[float],
    output_size: tuple[int, int],
    sampling_ratio: int,
    aligned: bool,
) -> _Rois:
    batch, num_rois = tf.unstack(tf.shape(boxes)[:2])
    level = tf.reshape(levels, [-1])
    scale = tf.gather(tf.constant([1.0 / stride for stride in strides], tf.float32), level)
    cells = tf.reshape(boxes, [-1, 4]) * scale[:, None] - (0.5 if aligned else 0.0)
    usable = tf.reduce_all(tf.abs(cells) <= MAX_CELLS, axis=-1, keepdims=True)  # false for NaN
    # An unusable RoI becomes a point so far outside that every sample is zero.
    cells = tf.where(usable, cells, -MAX_CELLS)
    start = tf.reverse(cells[:, :2], axis=[1])
    extent = tf.reverse(cells[:, 2:], axis=[1]) - start
    if not aligned:
        extent = tf.maximum(extent, 1.0)
    # A plain division by a constant becomes a multiplication by its reciprocal in an optimised graph. A bin
    # of a whole number of cells is then a hair larger and gets one adaptive sample too many.
    bin_size = tf.math.divide_no_nan(extent, tf.constant(output_size, tf.float32))
    adaptive = tf.clip_by_value(tf.math.ceil(bin_size), 0.0, MAX_RATIO)
    ratio = tf.fill(tf.shape(bin_size), sampling_ratio) if sampling_ratio else tf.cast(adaptive, tf.int32)
    return _Rois(start, bin_size, ratio, tf.repeat(tf.range(batch), num_rois), level)


def _pool_fixed(
    maps: Sequence[tf.Tensor], rois: _Rois, output_size: tuple[int, int], sampling_ratio: int
) -> tf.Tensor:
    """[n, P, P, C]: one crop with ratio x ratio pixels per bin, averaged."""
    samples = [bins * sampling_ratio for bins in output_size]
    step = rois.bin_size / sampling_ratio
    first = rois.start + 0.5 * step
    crops = _crop_levels([_pad(feature) for feature in maps], rois.level, rois.image, first, step, samples)
    return tf.dynamic_stitch(
        crops.rows, [tf.nn.avg_pool2d(crop, sampling_ratio, sampling_ratio, "VALID") for crop in crops.values]
    )


def _pool_adaptive(maps: Sequence[tf.Tensor], rois: _Rois, output_size: tuple[int, int]) -> tf.Tensor:
    """[n, P, P, C]: the mean of the sample grids, summed in slices because they may be very many."""
    padded = [_pad(feature) for feature in maps]
    grids = _sample_grids(rois)
    num_rois = tf.shape(rois.level)[0]

    def add_slice(begin, total):
        roi = grids.roi[begin : begin + _GRIDS_PER_STEP]
        level, image, step = (tf.gather(x, roi) for x in (rois.level, rois.image, rois.bin_size))
        crops = _crop_levels(
            padded, level, image, grids.first[begin : begin + _GRIDS_PER_STEP], step, output_size
        )
        samples = tf.dynamic_stitch(crops.rows, crops.values)
        return begin + _GRIDS_PER_STEP, total + tf.math.unsorted_segment_sum(samples, roi, num_rois)

    total = tf.zeros([num_rois, *output_size, tf.shape(maps[0])[3]])
    _, total = tf.while_loop(
        lambda begin, _: begin < tf.shape(grids.roi)[0],
        add_slice,
        (tf.constant(0), total),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, *output_size, None])),
        parallel_iterations=1,
    )
    return total / _num_samples(rois)


class _Crops(NamedTuple):
    """Crops of each level, and the rows of the request that they answer."""

    rows: list[tf.Tensor]
    values: list[tf.Tensor]


def _crop_levels(
    padded: Sequence[tf.Tensor],
    level: tf.Tensor,
    image: tf.Tensor,
    first: tf.Tensor,
    step: tf.Tensor,
    samples: Sequence[int],
) -> _Crops:
    """Bilinear samples at ``first + i * step`` of each row's level: [m_l, *samples, C] per level."""
    # Corners in cells of the padded map, whose border is one cell.
    last = first + step * (tf.constant(samples, tf.float32) - 1.0)
    corners = tf.concat([first, last], axis=1) + 1.0
    rows, values = [], []
    for index, feature in enumerate(padded):
        members = tf.where(tf.equal(level, index))[:, 0]
        height, width = tf.unstack(tf.cast(tf.shape(feature)[1:3] - 1, tf.float32))
        normalized = tf.gather(corners, members) / tf.stack([height, width, height, width])
        values.append(tf.image.crop_and_resize(feature, normalized, tf.gather(image, members), samples))
        rows.append(tf.cast(members, tf.int32))
    return _Crops(rows, values)


def _pad(feature: tf.Tensor) -> tf.Tensor:
    """One repeated border cell: samples up to one cell outside see the border's value, others zero."""
    return tf.pad(feature, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="SYMMETRIC")


def _sample_grids(rois: _Rois) -> _SampleGrids:
    per_roi = tf.reduce_prod(rois.ratio, axis=1)
    end = tf.cumsum(per_roi)
    index = tf.range(tf.reduce_sum(per_roi))
    roi = tf.searchsorted(end, index, side="right")
    ratio = tf.gather(rois.ratio, roi)
    within_roi = index - tf.gather(end - per_roi, roi)
    within_bin = tf.stack([within_roi // ratio[:, 1], within_roi % ratio[:, 1]], axis=1)
    offset = (tf.cast(within_bin, tf.float32) + 0.5) / tf.cast(ratio, tf.float32)
    return _SampleGrids(roi, tf.gather(rois.start, roi) + offset * tf.gather(rois.bin_size, roi))


def _num_samples(rois: _Rois) -> tf.Tensor:
    """Samples per bin as a divisor, [n, 1, 1, 1] float32: 1 where there are none."""
    count = tf.maximum(tf.reduce_prod(rois.ratio, axis=1), 1)
    return tf.cast(count, tf.float32)[:, None, None, None]


def _spread(
    upstream: tf.Tensor, rois: _Rois, shapes: Sequence[tf.Tensor], output_size: tuple[int, int]
) -> list[tf.Tensor]:
    """Gradient in the feature maps: adds every sample's share to the four cells around it.

    All maps lie behind one another in one [cells, C] tensor. The sample grids go through in slices, because
    the weighted copies of all samples may not fit in memory.
    """
    sizes = tf.stack(shapes)
    num_cells = tf.reduce_prod(sizes[:, :3], axis=1)
    level_begin = tf.cumsum(num_cells, exclusive=True)
    upstream = upstream / _num_samples(rois)
    grids = _sample_grids(rois)

    def add_slice(begin, total):
        roi = grids.roi[begin : begin + _GRIDS_PER_STEP]
        first = grids.first[begin : begin + _GRIDS_PER_STEP]
        step, level, image = (tf.gather(x, roi) for x in (rois.bin_size, rois.level, rois.image))
        height, width = tf.gather(sizes[:, 1], level), tf.gather(sizes[:, 2], level)
        map_begin = tf.gather(level_begin, level) + image * height * width
        values = tf.gather(upstream, roi)
        rows = _neighbours(first[:, 0], step[:, 0], output_size[0], height)
        columns = _neighbours(first[:, 1], step[:, 1], output_size[1], width)
        for row, row_weight in rows:
            for column, column_weight in columns:
                cell = (map_begin[:, None] + row * width[:, None])[:, :, None] + column[:, None, :]
                weight = row_weight[:, :, None] * column_weight[:, None, :]
                total = tf.tensor_scatter_nd_add(total, cell[..., None], values * weight[..., None])
        return begin + _GRIDS_PER_STEP, total

    _, total = tf.while_loop(
        lambda begin, _: begin < tf.shape(grids.roi)[0],
        add_slice,
        (tf.constant(0), tf.zeros([tf.reduce_sum(num_cells), shapes[0][3]])),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, None])),
        parallel_iterations=1,
    )
    parts = tf.split(total, num_cells, num=len(shapes))
    return [tf.reshape(part, shape) for part, shape in zip(parts, shapes, strict=True)]


_AxisCells = tuple[tf.Tensor, tf.Tensor]


def _neighbours(
    first: tf.Tensor, step: tf.Tensor, bins: int, num_cells: tf.Tensor
) -> tuple[_AxisCells, _AxisCells]:
    """The lower and the upper cell beside each sample along one axis: [m, P] int32 and its [m, P] weight."""
    position = first[:, None] + step[:, None] * tf.range(bins, dtype=tf.float32)
    last = tf.cast(num_cells - 1, tf.float32)[:, None]
    inside = tf.cast((position >= -1.0) & (position <= last + 1.0), tf.float32)
    position = tf.clip_by_value(position, 0.0, last)
    lower = tf.floor(position)
    fraction = position - lower
    upper = tf.minimum(lower + 1.0, last)
    return (
        (tf.cast(lower, tf.int32), (1.0 - fraction) * inside),
        (tf.cast(upper, tf.int32), fraction * inside),
    )
