"""Position-sensitive pooling from core TensorFlow ops, for exported models and machines without a compiler.

The sum over any rectangle of cells is that of four corners of the map's running sums. They are float64: a
small bin is the difference of large sums. (One number of the map that is not finite spoils those behind it.)
"""

from __future__ import annotations

import tensorflow as tf

from cascade_tf.ops.argument_checks import after_check
from cascade_tf.ops.caffe_pixels import cells_per_pixel, pixel_corners, round_half_away, usable
from cascade_tf.ops.division import divide
from cascade_tf.ops.pooling_arguments import boxes_on_maps


def ps_roi_pool_tensorflow(
    features: tf.Tensor,
    boxes: tf.Tensor,
    *,
    stride: float,
    output_size: tuple[int, int],
    inclusive_boxes: bool,
) -> tf.Tensor:
    """``ps_roi_pool`` on checked arguments: float32 features."""
    shape = tf.shape(features)
    boxes = boxes_on_maps("ps_roi_pool", boxes, [shape])
    bins = output_size[0] * output_size[1]
    message = f"ps_roi_pool: channels must be a multiple of {bins}, got"
    boxes = after_check(boxes, tf.equal(shape[3] % bins, 0), message, shape[3])
    batch, height, width = shape[0], shape[1], shape[2]
    rows, columns = _cells_of_bins(boxes, stride, output_size, inclusive_boxes, shape[1:3])

    classes = shape[3] // bins
    sums = tf.reshape(tf.cast(features, tf.float64), [batch, height, width, classes, bins])
    sums = tf.transpose(sums, [0, 1, 2, 4, 3])
    sums = tf.cumsum(tf.cumsum(sums, axis=1), axis=2)
    sums = tf.reshape(tf.pad(sums, [[0, 0], [1, 0], [1, 0], [0, 0], [0, 0]]), [-1, classes])

    image = tf.range(batch)[:, None, None, None]
    position = tf.reshape(tf.range(bins), output_size)

    def corner(y, x):
        """Sum over the cells above and to the left, [B, R, height, width, D]."""
        cell = (image * (height + 1) + y[..., :, None]) * (width + 1) + x[..., None, :]
        return tf.gather(sums, cell * bins + position)

    (y0, y1), (x0, x1) = rows, columns
    total = corner(y1, x1) - corner(y0, x1) - corner(y1, x0) + corner(y0, x0)
    area = tf.cast((y1 - y0)[..., :, None] * (x1 - x0)[..., None, :], tf.float64)[..., None]
    pooled = tf.cast(total / tf.maximum(area, 1.0), tf.float32)
    known = None if features.shape[3] is None else features.shape[3] // bins
    return tf.ensure_shape(pooled, [*boxes.shape[:2], *output_size, known])


_AxisBins = tuple[tf.Tensor, tf.Tensor]


def _cells_of_bins(
    boxes: tf.Tensor, stride: float, output_size: tuple[int, int], inclusive_boxes: bool, map_size: tf.Tensor
) -> tuple[_AxisBins, _AxisBins]:
    """First cell and end of each bin, [B, R, bins] int32 for rows and for columns; equal without any."""
    first, last = pixel_corners(boxes, inclusive_boxes, 0.0)
    scale = cells_per_pixel(stride)
    low, high = round_half_away(first) * scale, (round_half_away(last) + 1.0) * scale
    good = usable(low, high)[..., None]
    low, high = tf.where(good, low, 0.0), tf.where(good, high, 0.0)
    size = divide(tf.maximum(high - low, 0.1), output_size)

    def along(axis: int) -> _AxisBins:
        index = tf.range(output_size[axis], dtype=tf.float32)
        step, start = size[..., axis, None], low[..., axis, None]
        begin, end = tf.floor(index * step + start), tf.math.ceil((index + 1.0) * step + start)
        begin, end = (tf.clip_by_value(tf.cast(x, tf.int32), 0, map_size[axis]) for x in (begin, end))
        return begin, tf.where(good, tf.maximum(end, begin), begin)

    return along(0), along(1)
