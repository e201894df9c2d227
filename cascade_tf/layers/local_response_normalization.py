"""Normalisation of each value by its neighbours among the channels (Krizhevsky et al., 2012, Sec. 3.3)."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from cascade_tf.layers.base import Layer, require
from cascade_tf.structures import Tensor


@keras.saving.register_keras_serializable(package="cascade_tf")
class LocalResponseNormalization(Layer):
    """Divides each value by ``(bias + alpha * mean of squares) ** beta``, over channels around its own.

    The mean counts channels beyond the first and the last as zeros. The factor is that of Caffe and PyTorch;
    the paper, and ``tf.nn.local_response_normalization``, multiply it with the sum.

    Args:
        size: number of channels that the mean is over, odd.
        alpha: factor of the mean.
        beta: exponent.
        bias: added before the power.

    Raises:
        ValueError: a size that is not odd and positive.
    """

    def __init__(
        self, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0, **kwargs: Any
    ):
        super().__init__(**kwargs)
        require(size >= 1 and size % 2 == 1, "size", size, "an odd number of channels")
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.bias = bias

    def call(self, inputs: Tensor) -> Tensor:
        """Normalises [B, h, w, C]; the arithmetic is float32."""
        values = tf.nn.local_response_normalization(
            tf.cast(inputs, tf.float32),
            depth_radius=self.size // 2,
            bias=self.bias,
            alpha=self.alpha / self.size,
            beta=self.beta,
        )
        return tf.cast(values, inputs.dtype)
