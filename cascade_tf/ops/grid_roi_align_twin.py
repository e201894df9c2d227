"""The grid RoIAlign from core TensorFlow ops: what exported models run, and machines without a compiler.

All maps lie behind one another in one [cells, C] tensor, so that a point is four rows of it whatever its
level.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from cascade_tf.ops.caffe_pixels import cells_per_pixel, pixel_corners, usable
from cascade_tf.ops.division import divide
from cascade_tf.ops.pooling_arguments import boxes_on_maps


class _Points(NamedTuple):
    """The points of a grid along one axis, between two cells: [B, R, P + 1] each."""

    lower: tf.Tensor  # int32
    upper: tf.Tensor  # int32
    fraction: tf.Tensor  # float32 weight of the upper cell
    inside: tf.Tensor  # float32, 0 outside of the map


def grid_roi_align_tensorflow(
    features: Sequence[tf.Tensor],
    boxes: tf.Tensor,
    levels: tf.Tensor,
    *,
    strides: Sequence[float],
    output_size: tuple[int, int],
    average: bool,
    pad_ratio: float,
    inclusive_boxes: bool,
) -> tf.Tensor:
    """``grid_roi_align`` on checked arguments: float32 features, clamped levels."""
    boxes = boxes_on_maps("grid_roi_align", boxes, [tf.shape(feature) for feature in features], levels)
    shapes = [tf.shape(feature)[:3] for feature in features]
    sizes = tf.stack(shapes)
    height, width = tf.gather(sizes[:, 1], levels), tf.gather(sizes[:, 2], levels)
    scale = tf.gather(tf.constant([cells_per_pixel(stride) for stride in strides]), levels)[..., None]
    low, high = (corner * scale - 0.5 for corner in pixel_corners(boxes, inclusive_boxes, pad_ratio))
    good = usable(low, high) & tf.reduce_all(high - low > 0.0, axis=-1)
    low, high = tf.where(good[..., None], low, -8.0), tf.where(good[..., None], high, -8.0)  # outside
    step = divide(high - low, output_size)  # where a point is on the border of the map, the last bit decides
    rows = _points(low[..., 0], step[..., 0], output_size[0], height)
    columns = _points(low[..., 1], step[..., 1], output_size[1], width)

    channels = features[0].shape[3] or tf.shape(features[0])[3]
    cells = tf.concat([tf.reshape(feature, [-1, channels]) for feature in features], axis=0)
    num_cells = tf.reduce_prod(sizes, axis=1)
    image = tf.range(tf.shape(boxes)[0])[:, None]
    begin = tf.gather(tf.cumsum(num_cells, exclusive=True), levels) + image * height * width

    def weighted(y: tf.Tensor, y_weight: tf.Tensor, x: tf.Tensor, x_weight: tf.Tensor) -> tf.Tensor:
        place = (begin[..., None] + y * width[..., None])[..., :, None] + x[..., None, :]
        weight = y_weight[..., :, None] * x_weight[..., None, :]
        return tf.gather(cells, place) * weight[..., None]

    points = tf.add_n(
        [
            weighted(y, y_weight, x, x_weight)
            for y, y_weight in _neighbours(rows)
            for x, x_weight in _neighbours(columns)
        ]
    )
    if average:
        points = points[:, :, :-1, :-1] + points[:, :, :-1, 1:] + points[:, :, 1:, :-1] + points[:, :, 1:, 1:]
        points *= 0.25
    more = 0 if average else 1
    size = [output_size[0] + more, output_size[1] + more]
    return tf.ensure_shape(points, [*boxes.shape[:2], *size, features[0].shape[3]])


def _points(low: tf.Tensor, step: tf.Tensor, bins: int, num_cells: tf.Tensor) -> _Points:
    position = low[..., None] + tf.range(bins + 1, dtype=tf.float32) * step[..., None]
    last = tf.cast(num_cells - 1, tf.float32)[..., None]
    inside = (position >= -0.5) & (position <= last + 0.5)
    position = tf.clip_by_value(position, 0.0, last)
    lower = tf.floor(position)
    upper = tf.minimum(lower + 1.0, last)
    return _Points(
        tf.cast(lower, tf.int32),
        tf.cast(upper, tf.int32),
        position - lower,
        tf.cast(inside, tf.float32),
    )


def _neighbours(points: _Points) -> list[tuple[tf.Tensor, tf.Tensor]]:
    """The two cells beside each point and their weights."""
    return [
        (points.lower, (1.0 - points.fraction) * points.inside),
        (points.upper, points.fraction * points.inside),
    ]
