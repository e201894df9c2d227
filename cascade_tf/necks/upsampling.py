"""A coarser map at the size of a finer one: each cell repeated, or bilinear."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from cascade_tf.structures import Tensor

# How a cell is spread over 4 x 4 cells of half the size, [4, 4, 1, 1].
_BILINEAR = np.outer([0.25, 0.75, 0.75, 0.25], [0.25, 0.75, 0.75, 0.25])[:, :, None, None]


def doubled(x: Tensor, shape: Tensor) -> Tensor:
    """A map at twice the size, bilinear with zeros around it: Caffe's fixed bilinear deconvolution.

    Args:
        x: [B, h, w, C].
        shape: [4] int32 (B, H, W, C) of the result, which is cropped where H and W are less than 2 h and
            2 w, and has zeros where they are more.

    Returns:
        [B, H, W, C].
    """
    kernel = tf.constant(np.tile(_BILINEAR, (1, 1, x.shape[-1], 1)), x.dtype)
    # Rows and columns where sizes were rounded down, never images or channels. Without any nothing is copied.
    missing = tf.maximum((shape + 1) // 2 - tf.shape(x), 0)
    x = tf.pad(x, tf.stack([tf.zeros_like(missing), missing], axis=1))
    # As the gradient of a convolution with strides: its own gradient is that convolution, which is fast.
    return tf.nn.depthwise_conv2d_backprop_input(shape, kernel, x, [1, 2, 2, 1], "SAME")


def repeat_cells(x: Tensor, like: Tensor) -> Tensor:
    """Repeats the cells of a map to the size of another.

    Cell i goes to the cells 2 i and 2 i + 1, as strides say that double, however the sizes were rounded; the
    last one goes further where they were rounded down.

    Args:
        x: [B, h, w, C].
        like: [B, H, W, C], where H and W are h and w, or twice as many give or take one.

    Returns:
        [B, H, W, C].
    """
    batch, height, width, _ = tf.unstack(tf.shape(x))
    _, fine_height, fine_width, _ = tf.unstack(tf.shape(like))
    rows, columns = _sources(height, fine_height), _sources(width, fine_width)
    # One pass over the map, which is faster than one for rows and one for columns.
    cells = tf.reshape(x, [batch, -1, x.shape[-1]])
    return tf.gather(cells, tf.expand_dims(rows * width, 1) + columns, axis=1)


def _sources(coarse: Tensor, fine: Tensor) -> Tensor:
    """Along an axis, the coarse cell of each fine one."""
    times = 1 + tf.cast(tf.not_equal(fine, coarse), tf.int32)
    return tf.minimum(tf.range(fine) // times, coarse - 1)


def repeat_cells_in_training(x: Tensor, like: Tensor) -> Tensor:
    """`repeat_cells` with a gradient of its own: TensorFlow's for a repetition takes ten times as long."""
    coarse, fine = _sizes(x, like)

    def gradient(upstream: Tensor) -> Tensor:
        def summed() -> Tensor:
            missing = tf.maximum(2 * coarse - fine, 0)
            enough = tf.pad(upstream, [[0, 0], [0, missing[0]], [0, missing[1]], [0, 0]])
            even = _if_all(
                fine <= 2 * coarse, lambda: _first(enough, 2 * coarse), lambda: _folded(enough, coarse)
            )
            # The sum over each 2 x 2.
            return tf.nn.avg_pool2d(even, 2, 2, "VALID") * tf.constant(4.0, upstream.dtype)

        return _if_all(fine == coarse, lambda: _first(upstream, coarse), summed)

    return tf.custom_gradient(lambda x: (repeat_cells(x, like), gradient))(x)


def _sizes(*maps: Tensor) -> list[Any]:
    """[2] height and width of each map: arrays where they are known, else tensors."""
    if all(one.shape[1:3].is_fully_defined() for one in maps):
        return [np.asarray(one.shape[1:3], np.int32) for one in maps]
    return [tf.shape(one)[1:3] for one in maps]


def _first(x: Tensor, size: Any) -> Tensor:
    """As many rows and columns; where that is all of them, nothing is copied."""
    return x[:, : size[0], : size[1]]


def _folded(x: Tensor, coarse: Any) -> Tensor:
    """Twice as many rows and columns as ``coarse``: the last is the sum of what is left."""
    for axis in (1, 2):
        inside, rest = tf.split(x, [2 * coarse[axis - 1] - 1, -1], axis)
        x = tf.concat([inside, tf.reduce_sum(rest, axis, keepdims=True)], axis)
    return x


def _if_all(condition: Any, yes: Callable[[], Tensor], no: Callable[[], Tensor]) -> Tensor:
    """One of two results, which have the same shape whatever the condition: XLA compiles both."""
    if isinstance(condition, np.ndarray):
        return yes() if condition.all() else no()
    return tf.cond(tf.reduce_all(condition), yes, no)
