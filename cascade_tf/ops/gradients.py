"""Operations that change gradients and leave values alone."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def scale_gradient(x: Any, scale: float) -> tf.Tensor:
    """Returns ``x`` unchanged; its gradient is multiplied by ``scale``.

    Args:
        x: tensor of any floating dtype and shape.
        scale: factor of the gradient. 0 stops it, 1 changes nothing.

    Returns:
        A tensor equal to ``x``.
    """
    x = tf.convert_to_tensor(x)

    # The closure takes the factor as a constant, so that it is never a differentiable input.
    @tf.custom_gradient
    def identity(value):
        return tf.identity(value), lambda upstream: upstream * tf.cast(scale, upstream.dtype)

    return identity(x)


def clip_values(x: Any, low: Any, high: Any) -> tf.Tensor:
    """Returns ``x`` clipped; its gradient goes through as if it were not (a straight-through estimator).

    Args:
        x: tensor of any floating dtype and shape.
        low: smallest values, broadcast to ``x``.
        high: largest values, in the same way.
    """

    @tf.custom_gradient
    def clip(value):
        return tf.clip_by_value(value, low, high), lambda upstream: upstream

    return clip(tf.convert_to_tensor(x))
