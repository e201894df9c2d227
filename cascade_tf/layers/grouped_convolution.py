"""Convolutions in groups of channels (ResNeXt), and convolutions with a frozen normalisation folded in."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from cascade_tf.layers.normalization import FrozenBatchNormalization
from cascade_tf.structures import Tensor


@keras.saving.register_keras_serializable(package="cascade_tf")
class GroupedConv2D(keras.layers.Conv2D):
    """``keras.layers.Conv2D`` for ``groups > 1`` that does not go through XLA.

    On the CPU Keras compiles every grouped convolution with XLA, which is several times slower than
    TensorFlow's own kernel and does not go into a SavedModel for a model server. Channels-last only.
    """

    def convolution_op(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        """Convolves [B, h, w, C] with [k, k, C / groups, filters]; see ``keras.layers.Conv2D``."""
        return tf.nn.conv2d(
            inputs, kernel, list(self.strides), self.padding.upper(), dilations=list(self.dilation_rate)
        )


class FoldedConv2D(GroupedConv2D):
    """A convolution without bias that also does the work of the frozen normalisation behind it.

    A convolution and a fixed affine map of its channels are one convolution with other weights:
    ``norm(conv(x, kernel)) = conv(x, kernel * scale) + shift``. The product is taken in every call, which
    costs a pass over the weights and saves two over the activations; so the variables stay what they are,
    gradients reach the kernel, and weights may change at any time. TensorFlow does not do this by itself
    while weights are variables.

    The normalisation stays a layer of the model, with its variables; it is told to hand its input through.

    Args:
        norm: built for ``filters`` channels.
        filters: see ``keras.layers.Conv2D``, as all other arguments.
    """

    def __init__(self, norm: FrozenBatchNormalization, filters: int, kernel_size: int, **kwargs: Any):
        # The products are taken in float32 also where the convolution is not.
        super().__init__(filters, kernel_size, use_bias=False, autocast=False, **kwargs)
        norm.folded = True
        # Behind functions, because Keras would take attributes for this layer's own parts and variables.
        self._norm = lambda: norm
        self._fixed: Callable[[], tuple[Tensor, Tensor]] | None = None

    @property
    def norm(self) -> FrozenBatchNormalization:
        """The normalisation that is folded in."""
        return self._norm()

    def folded_weights(self) -> tuple[Tensor, Tensor]:
        """The kernel with the scale in it, and the shift [filters], in the layer's compute type."""
        if self._fixed is not None:
            return self._fixed()
        scale, shift = self.norm.affine()
        kernel = tf.convert_to_tensor(self.kernel) * scale
        return tf.cast(kernel, self.compute_dtype), tf.cast(shift, self.compute_dtype)

    @contextlib.contextmanager
    def fixed_weights(self) -> Iterator[list[tf.Variable]]:
        """While it lasts, calls read the product of today's weights from two variables, which it gives."""
        kernel, shift = (tf.Variable(value, trainable=False) for value in self.folded_weights())
        self._fixed = lambda: (tf.convert_to_tensor(kernel), tf.convert_to_tensor(shift))
        try:
            yield [kernel, shift]
        finally:
            self._fixed = None

    def convolution_op(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        """Convolves [B, h, w, C] and normalises the result; ``kernel`` is the layer's own."""
        kernel, shift = self.folded_weights()
        return tf.nn.bias_add(super().convolution_op(tf.cast(inputs, self.compute_dtype), kernel), shift)
