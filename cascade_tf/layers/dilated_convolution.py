"""Convolution whose kernel has gaps between its cells."""

from __future__ import annotations

import keras
import tensorflow as tf

from cascade_tf.layers.base import require_channels_last
from cascade_tf.layers.configured import Configured
from cascade_tf.structures import Tensor


@keras.saving.register_keras_serializable(package="cascade_tf")
class DilatedConv2D(Configured, keras.layers.Conv2D):
    """``keras.layers.Conv2D`` for ``dilation_rate > 1`` whose gradient exists on every CPU.

    TensorFlow's own kernels have none: only with oneDNN, which is not everywhere, can they be trained. Here
    each phase of the dilation is a map of its own, which an ordinary convolution reads; that takes as long.
    Channels-last, without strides.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the kernel for maps [B, h, w, C]."""
        require_channels_last(self.data_format)
        super().build(input_shape)

    def convolution_op(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        """Convolves [B, h, w, C] with [k, k, C / groups, filters]; see ``keras.layers.Conv2D``."""
        return tf.nn.with_space_to_batch(
            inputs,
            dilation_rate=list(self.dilation_rate),
            padding=self.padding.upper(),
            op=lambda phases, _, padding: tf.nn.conv2d(phases, kernel, 1, padding),
            filter_shape=kernel.shape[:2],
            spatial_dims=[1, 2],
        )
