"""RoIPool from core TensorFlow ops: what exported models run, and machines without a compiler.

The largest value of any rectangle of cells is that of four overlapping blocks whose sides are powers of two.
A loop doubles the blocks that begin at every cell, and each bin is answered when the blocks have its size.
The cost depends on the map and the number of bins, not on how large the boxes are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from cascade_tf.ops import library
from cascade_tf.ops.caffe_pixels import cells_per_pixel, pixel_corners, round_half_away, usable
from cascade_tf.ops.division import divide
from cascade_tf.ops.pooling_arguments import boxes_on_maps

# A quantity of all cells or bins and what goes with it: the values, or the values and their cells.
_Values = tuple[tf.Tensor, ...]


class _Bins(NamedTuple):
    """The n bins of all RoIs, as (y, x) in cells."""

    first: tf.Tensor  # [n, 2] int32
    end: tf.Tensor  # [n, 2] int32, one past the last cell
    image: tf.Tensor  # [n] int32
    level: tf.Tensor  # [n, 2] int32 exponent of the largest block that fits, -1 without cells


def roi_pool_tensorflow(
    features: tf.Tensor,
    boxes: tf.Tensor,
    *,
    stride: float,
    output_size: tuple[int, int],
    pad_ratio: float,
    inclusive_boxes: bool,
) -> tf.Tensor:
    """``roi_pool`` on checked arguments: float32 features."""
    map_shape = tf.shape(features)
    boxes = boxes_on_maps("roi_pool", boxes, [map_shape])
    bins = _make_bins(map_shape, boxes, stride, output_size, pad_ratio, inclusive_boxes)

    @tf.custom_gradient
    def pool(maps):
        def gradient(upstream):
            return _spread(upstream, maps, bins)

        fill = (tf.constant(float("-inf")),)
        (pooled,) = _over_bins((maps,), fill, lambda a, b: (tf.maximum(a[0], b[0]),), bins)
        return pooled, gradient

    shape = tf.concat([tf.shape(boxes)[:2], output_size, map_shape[3:]], axis=0)
    return tf.ensure_shape(
        tf.reshape(pool(features), shape), [*boxes.shape[:2], *output_size, features.shape[3]]
    )


def _make_bins(
    map_shape: tf.Tensor,
    boxes: tf.Tensor,
    stride: float,
    output_size: tuple[int, int],
    pad_ratio: float,
    inclusive_boxes: bool,
) -> _Bins:
    scale = cells_per_pixel(stride)
    low, high = (corner * scale for corner in pixel_corners(boxes, inclusive_boxes, pad_ratio))
    good = usable(low, high)[..., None]
    first, last = (tf.cast(round_half_away(tf.where(good, x, 0.0)), tf.int32) for x in (low, high))
    cells = tf.cast(tf.maximum(last - first + 1, 1), tf.float32)
    size = divide(cells, output_size)
    good = good[..., 0]
    rows = _axis_bins(first[..., 0], size[..., 0], output_size[0], map_shape[1], good)
    columns = _axis_bins(first[..., 1], size[..., 1], output_size[1], map_shape[2], good)

    def grid(y, x):
        """[B, R, P] and [B, R, Q] to [n, 2]."""
        shape = tf.concat([tf.shape(boxes)[:2], output_size], axis=0)
        both = [tf.broadcast_to(y[..., :, None], shape), tf.broadcast_to(x[..., None, :], shape)]
        return tf.reshape(tf.stack(both, axis=-1), [-1, 2])

    begin, end = grid(rows[0], columns[0]), grid(rows[1], columns[1])
    level = _whole_logarithm(end - begin)
    level = tf.where(tf.reduce_all(level >= 0, axis=1, keepdims=True), level, -1)
    batch, num_rois = tf.unstack(tf.shape(boxes)[:2])
    image = tf.repeat(tf.range(batch), num_rois * output_size[0] * output_size[1])
    return _Bins(begin, end, image, level)


def _axis_bins(
    first: tf.Tensor, size: tf.Tensor, bins: int, num_cells: tf.Tensor, good: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """First cell and the end of each bin along one axis, [B, R, bins] int32; no cells for unusable boxes."""
    index = tf.range(bins, dtype=tf.float32)
    begin = tf.cast(tf.floor(index * size[..., None]), tf.int32) + first[..., None]
    end = tf.cast(tf.math.ceil((index + 1.0) * size[..., None]), tf.int32) + first[..., None]
    begin, end = (tf.clip_by_value(x, 0, num_cells) for x in (begin, end))
    return begin, tf.where(good[..., None], end, begin)


def _whole_logarithm(x: tf.Tensor) -> tf.Tensor:
    """``floor(log2(x))`` as int32, -1 below 1; counted, because a float32 logarithm may miss a power of 2."""
    powers = tf.constant([2**exponent for exponent in range(25)], tf.int32)
    count = tf.searchsorted(powers, tf.reshape(x, [-1]), side="right", out_type=tf.int32)
    return tf.reshape(count, tf.shape(x)) - 1


def _over_bins(
    maps: _Values, fill: _Values, combine: Callable[[_Values, _Values], _Values], bins: _Bins
) -> _Values:
    """Combines all cells of each bin: [n, C] for every map [B, h, w, C]; zeros for bins without cells.

    Args:
        maps: what a cell has, one or more tensors.
        fill: what lies beside the map, a scalar for each of them.
        combine: of two blocks of cells, which may share some.
        bins: the bins.
    """
    if library.under_xla():
        return _cell_by_cell(maps, fill, combine, bins)
    deepest = tf.reduce_max(tf.concat([bins.level, [[-1, -1]]], axis=0), axis=0)
    blocks_shape = tuple(tf.TensorShape([None, None, None, one.shape[3]]) for one in maps)
    results_shape = tuple(tf.TensorShape([None, one.shape[3]]) for one in maps)
    invariants = (tf.TensorShape([]), blocks_shape, results_shape)
    shape = tf.shape(maps[0])

    def doubled(blocks: _Values, axis: int, level: tf.Tensor) -> _Values:
        step = tf.minimum(2**level, shape[axis])
        rest = [slice(None)] * axis
        shifted = []
        for one, beside in zip(blocks, fill, strict=True):
            pad = [[0, 0]] * axis + [[0, step]] + [[0, 0]] * (3 - axis)
            shifted.append(tf.pad(one[(*rest, slice(step, None))], pad, constant_values=beside))
        return combine(blocks, tuple(shifted))

    def answered(level: list[tf.Tensor], blocks: _Values, results: _Values) -> _Values:
        member = tf.where(tf.reduce_all(tf.equal(bins.level, tf.stack(level)), axis=1))[:, 0]
        first, end = tf.gather(bins.first, member), tf.gather(bins.end, member)
        last = end - 2 ** tf.stack(level)
        image = tf.gather(bins.image, member)
        corners = [
            tuple(tf.gather_nd(one, tf.stack([image, y, x], axis=1)) for one in blocks)
            for y in (first[:, 0], last[:, 0])
            for x in (first[:, 1], last[:, 1])
        ]
        values = combine(combine(corners[0], corners[1]), combine(corners[2], corners[3]))
        return tuple(
            tf.tensor_scatter_nd_update(result, member[:, None], value)
            for result, value in zip(results, values, strict=True)
        )

    def over_columns(row_level, row_blocks, results):
        def body(level, blocks, results):
            results = answered([row_level, level], blocks, results)
            return level + 1, doubled(blocks, 2, level), results

        _, _, results = tf.while_loop(
            lambda level, *_: level <= deepest[1],
            body,
            (tf.constant(0), row_blocks, results),
            shape_invariants=invariants,
            parallel_iterations=1,
        )
        return row_level + 1, doubled(row_blocks, 1, row_level), results

    results = tuple(tf.zeros([tf.shape(bins.image)[0], shape[3]], one.dtype) for one in maps)
    return tf.while_loop(
        lambda level, *_: level <= deepest[0],
        over_columns,
        (tf.constant(0), maps, results),
        shape_invariants=invariants,
        parallel_iterations=1,
    )[2]


def _cell_by_cell(
    maps: _Values, fill: _Values, combine: Callable[[_Values, _Values], _Values], bins: _Bins
) -> _Values:
    """``_over_bins`` for XLA, whose sizes are fixed: a step takes one more cell of every bin."""
    shape, num_bins = tf.shape(maps[0]), tf.shape(bins.image)[0]
    most = tf.reduce_max(tf.concat([bins.end - bins.first, [[0, 0]]], axis=0), axis=0)
    # The loop is not differentiated: TensorFlow would prepare for that where tapes are nested.
    flat = tuple(tf.reshape(tf.stop_gradient(one), [-1, shape[3]]) for one in maps)

    def add_cell(number: tf.Tensor, results: _Values) -> tuple[tf.Tensor, _Values]:
        cell = bins.first + tf.stack([number // most[1], number % most[1]])
        inside = tf.reduce_all(cell < bins.end, axis=1)
        place = tf.where(inside, (bins.image * shape[1] + cell[:, 0]) * shape[2] + cell[:, 1], 0)
        values = tuple(
            tf.where(inside[:, None], tf.gather(one, place), beside)
            for one, beside in zip(flat, fill, strict=True)
        )
        return number + 1, combine(results, values)

    outside = tuple(tf.fill([num_bins, shape[3]], beside) for beside in fill)
    _, results = tf.while_loop(
        lambda number, _: number < most[0] * most[1], add_cell, (tf.constant(0), outside)
    )
    filled = bins.level[:, :1] >= 0
    return tuple(tf.where(filled, one, tf.zeros([], one.dtype)) for one in results)


def values_at_largest(
    values: tf.Tensor,
    features: tf.Tensor,
    boxes: tf.Tensor,
    *,
    stride: float,
    output_size: tuple[int, int],
    pad_ratio: float,
    inclusive_boxes: bool,
) -> tf.Tensor:
    """What lies in other maps of the same shape where the features of each bin are largest."""
    bins = _make_bins(tf.shape(features), boxes, stride, output_size, pad_ratio, inclusive_boxes)
    place = _places_of_largest(features, bins)
    found = tf.gather(tf.reshape(values, [-1]), tf.maximum(place, 0))
    shape = tf.concat([tf.shape(boxes)[:2], output_size, tf.shape(features)[3:]], axis=0)
    return tf.reshape(tf.where(place >= 0, found, 0.0), shape)


def _spread(upstream: tf.Tensor, maps: tf.Tensor, bins: _Bins) -> tf.Tensor:
    """Gradient in the map: each bin's upstream at its largest cell, for each channel by itself."""
    place = tf.reshape(_places_of_largest(maps, bins), [-1])  # negative places are left out
    total = tf.math.unsorted_segment_sum(tf.reshape(upstream, [-1]), place, tf.size(maps, tf.int64))
    return tf.reshape(total, tf.shape(maps))


def _places_of_largest(maps: tf.Tensor, bins: _Bins) -> tf.Tensor:
    """[n, C] int64 index in the flattened maps [B, h, w, C] of each bin's largest value, -1 without cells."""
    shape = tf.shape(maps)
    num_cells, channels = tf.reduce_prod(shape[:3]), shape[3]
    cells = tf.reshape(tf.range(num_cells), [*tf.unstack(shape[:3]), 1])
    cells = tf.ensure_shape(tf.tile(cells, [1, 1, 1, channels]), maps.shape)

    def first_largest(a: _Values, b: _Values) -> _Values:
        take = (b[0] > a[0]) | (tf.equal(b[0], a[0]) & (b[1] < a[1]))
        return tf.where(take, b[0], a[0]), tf.where(take, b[1], a[1])

    fill = (tf.constant(float("-inf")), tf.constant(tf.int32.max))
    _, cell = _over_bins((maps, cells), fill, first_largest, bins)
    place = tf.cast(cell, tf.int64) * tf.cast(channels, tf.int64) + tf.range(tf.cast(channels, tf.int64))
    return tf.where(bins.level[:, :1] >= 0, place, -1)
