"""Resizes images until one of their objects has another scale, as the authors' MS-CNN nets train.

Scales are powers of the square root of two apart. The object is the one that the image is cut around.
"""

from __future__ import annotations

import math

import tensorflow as tf

from cascade_tf.data.crop import object_of_window
from cascade_tf.structures import Tensor

# No other purpose draws from an example's seed with this number.
_STREAM = 73
# Steps of scale in a doubling.
_PER_OCTAVE = 2.0


def draw_size(
    boxes: Tensor,
    is_object: Tensor,
    size: tuple[Tensor, Tensor],
    scales: tuple[float, float],
    seed: Tensor,
) -> tuple[Tensor, Tensor]:
    """Draws the size of an image: for every second one another than its own.

    The scales that an object may have are ``scales[0]`` times powers of the square root of two, up to about
    ``scales[1]``. One of them is drawn, and the image grows or shrinks by as many steps as this one is from
    that which is next to the object's own.

    Args:
        boxes: [n, 4] float32 in the image.
        is_object: [n] bool, the boxes to choose from; without one the size stays.
        size: (height, width) of the image, int32 scalars.
        scales: the smallest and the largest square root of an object's area, pixels.
        seed: [2] int32; the result is a pure function of it.

    Returns:
        (height, width), int32 scalars of at least 1.
    """
    count = round(_PER_OCTAVE * math.log2(scales[1] / scales[0]) + 1)
    draw = tf.random.stateless_uniform([2], tf.random.experimental.stateless_fold_in(seed, _STREAM))
    # An image without objects gets a box, so that one formula holds for all.
    box = tf.concat([boxes, tf.ones([1, 4])], axis=0)[object_of_window(is_object, seed)]
    area = tf.maximum((box[2] - box[0]) * (box[3] - box[1]), 1.0)
    own = tf.round(_PER_OCTAVE * tf.math.log(tf.sqrt(area) / scales[0]) / math.log(2.0))
    steps = tf.floor(draw[1] * count) - tf.clip_by_value(own, 0.0, count - 1.0)
    changes = tf.reduce_any(is_object) & (draw[0] < 0.5)
    factor = tf.where(changes, tf.pow(2.0, steps / _PER_OCTAVE), 1.0)
    height, width = (
        tf.maximum(tf.cast(tf.floor(tf.cast(side, tf.float32) * factor + 0.5), tf.int32), 1) for side in size
    )
    return height, width
