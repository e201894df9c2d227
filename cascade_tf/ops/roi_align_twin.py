"""RoIAlign from core TensorFlow ops: what exported models run, and machines without a compiler.

``crop_and_resize`` computes bilinear samples on a regular grid. With a fixed sampling ratio the samples of an
RoI form one such grid; with an adaptive one, those with the same position inside their bin do ("sample grid"
below). Positions and extents are (y, x) in cells, relative to the centre of cell 0.

Whether a sample lies on the map is decided on positions in float64, by the rule of the C++ op
(``custom_ops/roi_align/roi_align.h``). ``crop_and_resize`` computes its own in float32, so a grid with a
sample within rounding of the border is moved to the right side of it (``_corners``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from cascade_tf.ops.division import divide
from cascade_tf.ops.pooling_arguments import MAX_CELLS, boxes_on_maps

MAX_RATIO = 256
_GRIDS_PER_STEP = 2048
# crop_and_resize rounds some ten times, by at most 2^-24 of the coordinates each.
_ROUNDING = 2.0**-20


class Rois(NamedTuple):
    """The n RoIs of all images."""

    start: tf.Tensor  # [n, 1, 2] float64 corner of bin (0, 0)
    length: tf.Tensor  # [n, 1, 2] float64, negative for flipped boxes
    ratio: tf.Tensor  # [n, 2] int32 samples per bin
    image: tf.Tensor  # [n] int32
    level: tf.Tensor  # [n] int32
    size: tf.Tensor  # [n, 1, 2] float64 cells that the image has of the level's map


class _SampleGrids(NamedTuple):
    """All sample grids: an RoI has ratio[0] x ratio[1] of them, with one sample per bin each."""

    roi: tf.Tensor  # [M] int32 in ascending order
    within_bin: tf.Tensor  # [M, 2] int32 index of the sample in its bin


def roi_align_tensorflow(
    features: list[tf.Tensor],
    boxes: tf.Tensor,
    levels: tf.Tensor,
    map_sizes: tf.Tensor | None,
    *,
    strides: Sequence[float],
    output_size: tuple[int, int],
    sampling_ratio: int,
    aligned: bool,
) -> tf.Tensor:
    """``roi_align`` on checked arguments: float32 features, clamped [B, R] levels."""
    shapes = [tf.shape(feature) for feature in features]
    boxes = boxes_on_maps("roi_align", boxes, shapes, levels, map_sizes)
    batch, num_rois = tf.unstack(tf.shape(boxes)[:2])
    image = tf.repeat(tf.range(batch), num_rois)
    sizes = sizes_of_images(map_sizes, shapes)
    rois = make_rois(boxes, levels, image, sizes, strides, output_size, sampling_ratio, aligned)

    def pool_rois(maps: Sequence[tf.Tensor], rois: Rois) -> tf.Tensor:
        if sampling_ratio:
            return _pool_fixed(maps, rois, output_size, sampling_ratio)
        return _pool_adaptive(maps, rois, output_size)

    def pool_image(maps: Sequence[tf.Tensor], index: tf.Tensor) -> tf.Tensor:
        """The boxes of one image on what it has of the maps: ``crop_and_resize`` knows no other border."""
        sides = [tf.unstack(one) for one in tf.unstack(sizes[index], len(maps))]
        own = [one[index : index + 1, :h, :w] for one, (h, w) in zip(maps, sides, strict=True)]
        of_image = Rois(*(value[index * num_rois : (index + 1) * num_rois] for value in rois))
        return pool_rois(own, of_image._replace(image=tf.zeros([num_rois], tf.int32)))

    # The registered gradient of crop_and_resize adds from several threads without a lock and loses updates on
    # the CPU, hence a gradient of our own. Its gradient is the pooling again.
    @tf.custom_gradient
    def pool(*maps):
        if map_sizes is None:
            return pool_rois(maps, rois), lambda upstream: spread(upstream)
        signature = tf.TensorSpec([None, *output_size, features[0].shape[3]], tf.float32)
        pooled = tf.map_fn(
            lambda index: pool_image(maps, index),
            tf.range(batch),
            parallel_iterations=1,
            fn_output_signature=signature,
        )
        pooled = tf.reshape(pooled, tf.concat([[batch * num_rois], tf.shape(pooled)[2:]], axis=0))
        return pooled, lambda upstream: spread(upstream)

    @tf.custom_gradient
    def spread(upstream):
        return _spread(upstream, rois, shapes, output_size), pool

    channels = features[0].shape[3] or tf.shape(features[0])[3]
    pooled = tf.reshape(pool(*features), [batch, num_rois, *output_size, channels])
    return tf.ensure_shape(pooled, [*boxes.shape[:2], *output_size, features[0].shape[3]])


def sizes_of_images(map_sizes: tf.Tensor | None, shapes: Sequence[tf.Tensor]) -> tf.Tensor:
    """[B, L, 2] cells that each image has of each map; [1, L, 2] where all have the whole maps."""
    whole = tf.stack(shapes)[:, 1:3]
    return whole[None] if map_sizes is None else tf.clip_by_value(map_sizes, 1, whole)


def make_rois(
    boxes: tf.Tensor,
    levels: tf.Tensor,
    image: tf.Tensor,
    sizes: tf.Tensor,
    strides: Sequence[float],
    output_size: tuple[int, int],
    sampling_ratio: int,
    aligned: bool,
) -> Rois:
    """The RoIs of boxes [B, R, 4] in levels [B, R] and images [B R], on maps of ``sizes_of_images``."""
    level = tf.reshape(levels, tf.shape(image))  # not before the boxes are checked
    size = tf.gather_nd(sizes, tf.stack([image * int(sizes.shape[0] != 1), level], axis=1))
    stride = tf.expand_dims(tf.gather(tf.constant(strides, tf.float32), level), 1)
    cells = divide(tf.reshape(boxes, [-1, 4]), stride) - (0.5 if aligned else 0.0)
    usable = tf.reduce_all(tf.abs(cells) <= MAX_CELLS, axis=-1, keepdims=True)  # false for NaN
    # An unusable RoI becomes a point so far outside that every sample is zero.
    cells = tf.where(usable, cells, -MAX_CELLS)
    start = tf.reverse(cells[:, :2], axis=[1])
    extent = tf.reverse(cells[:, 2:], axis=[1]) - start
    if not aligned:
        extent = tf.maximum(extent, 1.0)
    bin_size = divide(extent, output_size)
    adaptive = tf.clip_by_value(tf.math.ceil(bin_size), 0.0, MAX_RATIO)
    ratio = tf.fill(tf.shape(bin_size), sampling_ratio) if sampling_ratio else tf.cast(adaptive, tf.int32)
    start, length, size = (tf.cast(tf.expand_dims(x, 1), tf.float64) for x in (start, extent, size))
    return Rois(start, length, ratio, image, level, size)


def _pool_fixed(
    maps: Sequence[tf.Tensor], rois: Rois, output_size: tuple[int, int], sampling_ratio: int
) -> tf.Tensor:
    """[n, P, P, C]: one crop with ratio x ratio pixels per bin, averaged."""
    samples = (output_size[0] * sampling_ratio, output_size[1] * sampling_ratio)
    odd = tf.constant(2 * _indices(samples) + 1, tf.float64)
    position = _positions(rois.start, rois.length, odd, tf.constant(samples, tf.float64) * 2.0)
    corners = _corners(position, rois.size)
    crops = _crop_levels(_pad(maps), rois.level, rois.image, corners, samples)
    return tf.dynamic_stitch(
        crops.rows, [tf.nn.avg_pool2d(crop, sampling_ratio, sampling_ratio, "VALID") for crop in crops.values]
    )


def _pool_adaptive(maps: Sequence[tf.Tensor], rois: Rois, output_size: tuple[int, int]) -> tf.Tensor:
    """[n, P, P, C]: the mean of the sample grids, summed in slices because they may be very many."""
    padded = _pad(maps)
    grids = _sample_grids(rois)
    num_rois = tf.shape(rois.level)[0]

    def add_slice(begin, total):
        roi = grids.roi[begin : begin + _GRIDS_PER_STEP]
        level, image, size = (tf.gather(x, roi) for x in (rois.level, rois.image, rois.size))
        position = grid_positions(rois, roi, grids.within_bin[begin : begin + _GRIDS_PER_STEP], output_size)
        crops = _crop_levels(padded, level, image, _corners(position, size), output_size)
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
    return total / num_samples(rois)


def _indices(counts: Sequence[int]) -> np.ndarray:
    """[largest count, 2] indices along both axes; the axis with fewer repeats its last one."""
    return np.minimum(np.arange(max(counts))[:, None], np.array(counts) - 1)


def _positions(start: tf.Tensor, length: tf.Tensor, odd: tf.Tensor, parts: tf.Tensor) -> tf.Tensor:
    """[m, samples, 2] float64 positions ``start + length * odd / parts``, rounded in the division alone."""
    return start + divide(length * odd, parts)


def grid_positions(
    rois: Rois, roi: tf.Tensor, within_bin: tf.Tensor, output_size: tuple[int, int]
) -> tf.Tensor:
    """[m, P, 2] float64 positions of the samples of some grids, one in each bin."""
    start, length, ratio = (tf.gather(x, roi) for x in (rois.start, rois.length, rois.ratio))
    ratio = tf.expand_dims(ratio, 1)
    odd = 2 * (_indices(output_size) * ratio + tf.expand_dims(within_bin, 1)) + 1
    parts = tf.constant(output_size) * 2 * ratio
    return _positions(start, length, tf.cast(odd, tf.float64), tf.cast(parts, tf.float64))


def _corners(position: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """[m, 4] boxes of ``crop_and_resize`` whose samples lie at the positions, on maps padded by one cell.

    A grid with a sample within rounding of the border, at -1 or at the number of cells, is scaled about the
    middle of the map by that rounding: inwards if the sample is on the map, which sees a constant there, else
    outwards.
    """
    half = (size + 1.0) / 2.0
    centred = position - (half - 1.0)
    distance = tf.abs(centred)
    rounding = _ROUNDING * (tf.reduce_max(distance, axis=1, keepdims=True) + half)
    depth = half - distance
    near = tf.cast(tf.abs(depth) < rounding, tf.float64)
    # A tiny number more: a sample on the border, of depth 0, is inside.
    inwards = tf.sign(tf.reduce_sum(near * tf.sign(depth + 1e-12), axis=1, keepdims=True))
    ends = tf.gather(centred, [0, position.shape[1] - 1], axis=1)
    corners = ends * (1.0 - inwards * rounding / half) / (2.0 * half) + 0.5
    return tf.cast(tf.reshape(corners, [-1, 4]), tf.float32)


class _Crops(NamedTuple):
    """Crops of each level, and the rows of the request that they answer."""

    rows: list[tf.Tensor]
    values: list[tf.Tensor]


def _crop_levels(
    padded: Sequence[tf.Tensor],
    level: tf.Tensor,
    image: tf.Tensor,
    corners: tf.Tensor,
    samples: Sequence[int],
) -> _Crops:
    """Bilinear samples of each row's level between its corners: [m_l, *samples, C] per level."""
    rows, values = [], []
    for index, feature in enumerate(padded):
        members = tf.squeeze(tf.where(tf.equal(level, index)), axis=1)
        boxes, images = tf.gather(corners, members), tf.gather(image, members)
        values.append(tf.image.crop_and_resize(feature, boxes, images, samples))
        rows.append(tf.cast(members, tf.int32))
    return _Crops(rows, values)


def _pad(maps: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """One repeated border cell: samples up to one cell outside see the border's value, others zero."""
    border = tf.constant([[0, 0], [1, 1], [1, 1], [0, 0]])
    return [tf.pad(one, border, mode="SYMMETRIC") for one in maps]


def _sample_grids(rois: Rois) -> _SampleGrids:
    per_roi = tf.reduce_prod(rois.ratio, axis=1)
    end = tf.cumsum(per_roi)
    index = tf.range(tf.reduce_sum(per_roi))
    roi = tf.searchsorted(end, index, side="right")
    ratio = tf.gather(rois.ratio, roi)
    within_roi = index - tf.gather(end - per_roi, roi)
    within_bin = tf.stack([within_roi // ratio[:, 1], within_roi % ratio[:, 1]], axis=1)
    return _SampleGrids(roi, within_bin)


def num_samples(rois: Rois) -> tf.Tensor:
    """Samples per bin as a divisor, [n, 1, 1, 1] float32: 1 where there are none."""
    count = tf.maximum(tf.reduce_prod(rois.ratio, axis=1), 1)
    return tf.cast(count, tf.float32)[:, None, None, None]


def _spread(
    upstream: tf.Tensor, rois: Rois, shapes: Sequence[tf.Tensor], output_size: tuple[int, int]
) -> list[tf.Tensor]:
    """Gradient in the feature maps: adds every sample's share to the four cells around it.

    All maps lie behind one another in one [cells, C] tensor. The sample grids go through in slices, because
    the weighted copies of all samples may not fit in memory.
    """
    sizes = tf.stack(shapes)
    num_cells = tf.reduce_prod(sizes[:, :3], axis=1)
    level_begin = tf.cumsum(num_cells, exclusive=True)
    upstream = upstream / num_samples(rois)
    grids = _sample_grids(rois)

    def add_slice(begin, total):
        roi = grids.roi[begin : begin + _GRIDS_PER_STEP]
        level, image = tf.gather(rois.level, roi), tf.gather(rois.image, roi)
        height, width = tf.gather(sizes[:, 1], level), tf.gather(sizes[:, 2], level)
        own = tf.gather(rois.size, roi)
        position = grid_positions(rois, roi, grids.within_bin[begin : begin + _GRIDS_PER_STEP], output_size)
        map_begin = tf.gather(level_begin, level) + image * height * width
        values = tf.gather(upstream, roi)
        rows = neighbours(position[:, : output_size[0], 0], own[:, :, 0])
        columns = neighbours(position[:, : output_size[1], 1], own[:, :, 1])
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


AxisCells = tuple[tf.Tensor, tf.Tensor]


def neighbours(position: tf.Tensor, num_cells: tf.Tensor) -> tuple[AxisCells, AxisCells]:
    """The lower and the upper cell beside each sample along one axis: [m, P] int32 and its [m, P] weight.

    ``num_cells`` is [m, 1] float64.
    """
    last = num_cells - 1.0
    inside = tf.cast((position >= -1.0) & (position <= last + 1.0), tf.float32)
    position = tf.clip_by_value(position, 0.0, last)
    lower = tf.floor(position)
    fraction = tf.cast(position - lower, tf.float32)
    upper = tf.minimum(lower + 1.0, last)
    return (
        (tf.cast(lower, tf.int32), (1.0 - fraction) * inside),
        (tf.cast(upper, tf.int32), fraction * inside),
    )
