"""Pixels and cells in the arithmetic of Caffe's pooling layers, for the twins of their ops."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from cascade_tf.ops.pooling_arguments import MAX_CELLS


def cells_per_pixel(stride: float) -> np.float32:
    """The factor as the kernels compute it."""
    return np.float32(1) / np.float32(stride)


def pixel_corners(boxes: tf.Tensor, inclusive_boxes: bool, pad_ratio: float) -> tuple[tf.Tensor, tf.Tensor]:
    """First and last pixel of each box, widened on each side by ``pad_ratio`` times its size in pixels.

    Args:
        boxes: [..., 4] float32 xyxy.
        inclusive_boxes: whether x2 and y2 are last pixels; otherwise far edges, one more.
        pad_ratio: 0 or a positive share.

    Returns:
        Two [..., 2] float32 of (y, x).
    """
    first = tf.reverse(boxes[..., :2], axis=[-1])
    last = tf.reverse(boxes[..., 2:], axis=[-1]) - (0.0 if inclusive_boxes else 1.0)
    pad = (last - first + 1.0) * np.float32(pad_ratio)
    return first - pad, last + pad


def usable(*corners: tf.Tensor) -> tf.Tensor:
    """[...] whether all coordinates of the corners [..., 2], in cells, are finite and not too far away."""
    inside = tf.abs(tf.concat(corners, axis=-1)) <= MAX_CELLS  # false for NaN
    return tf.reduce_all(inside, axis=-1)


def round_half_away(x: tf.Tensor) -> tf.Tensor:
    """The nearest whole number, halves away from zero as C's ``round``; ``tf.round`` takes the even one."""
    whole = tf.floor(tf.abs(x))
    # The remainder is exact; adding a half before the floor would not be.
    return tf.sign(x) * (whole + tf.cast(tf.abs(x) - whole >= 0.5, x.dtype))
