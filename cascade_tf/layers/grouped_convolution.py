"""Convolution whose input and output channels fall into groups that do not mix (ResNeXt)."""

from __future__ import annotations

import keras
import tensorflow as tf

from cascade_tf.layers.base import require_channels_last
from cascade_tf.layers.configured import Configured
from cascade_tf.structures import Tensor


@keras.saving.register_keras_serializable(package="cascade_tf")
class GroupedConv2D(Configured, keras.layers.Conv2D):
    """``keras.layers.Conv2D`` for ``groups > 1`` that does not go through XLA.

    On the CPU Keras compiles every grouped convolution with XLA, which is several times slower than
    TensorFlow's own kernel and does not go into a SavedModel for a model server. Channels-last only.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the kernel for maps [B, h, w, C]."""
        require_channels_last(self.data_format)
        super().build(input_shape)

    def convolution_op(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        """Convolves [B, h, w, C] with [k, k, C / groups, filters]; see ``keras.layers.Conv2D``."""
        return tf.nn.conv2d(
            inputs, kernel, list(self.strides), self.padding.upper(), dilations=list(self.dilation_rate)
        )
