"""Frozen normalisation as part of the convolution before it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras
import tensorflow as tf

from cascade_tf.layers.normalization import FrozenBatchNormalization
from cascade_tf.structures import Tensor


class FoldedNormalization:
    """Makes a convolution do the work of the frozen normalisation behind it.

    A convolution and a fixed affine map of its channels are one convolution with other weights:
    ``norm(conv(x, kernel)) = conv(x, kernel * scale) + shift``. The product is taken in every call, which
    costs a pass over the weights and saves two over the activations; so the variables stay what they are,
    gradients reach the kernel, and weights may change at any time. TensorFlow does not do this by itself
    while weights are variables.

    Both layers stay in the model with their names, classes and variables, which files of weights go by. The
    convolution calls this object in place of its ``convolution_op``, and the normalisation returns its input.

    Args:
        conv: without bias, made with ``autocast=False``: the product is taken in float32 also where the
            convolution is not.
        norm: built for the convolution's ``filters``.

    Raises:
        ValueError: the convolution has a bias or casts its variables.
    """

    def __init__(self, conv: keras.layers.Conv2D, norm: FrozenBatchNormalization):
        if conv.use_bias or conv.autocast:
            raise ValueError(
                f"convolution {conv.name!r}: got use_bias={conv.use_bias}, autocast={conv.autocast}, "
                "expected False for both"
            )
        self.conv = conv
        self.norm = norm
        self._convolve = conv.convolution_op
        self._fixed: tuple[tf.Variable, tf.Variable] | None = None
        conv.convolution_op = self
        norm.folded = True

    def __call__(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        """Convolves [B, h, w, C] and normalises the result; ``kernel`` is the layer's own."""
        kernel, shift = self.weights()
        return tf.nn.bias_add(self._convolve(tf.cast(inputs, self.conv.compute_dtype), kernel), shift)

    def weights(self) -> tuple[Tensor, Tensor]:
        """The kernel with the scale in it, and the shift [filters], in the layer's compute type."""
        if self._fixed is not None:
            kernel, shift = self._fixed
            return tf.convert_to_tensor(kernel), tf.convert_to_tensor(shift)
        scale, shift = self.norm.affine()
        kernel = tf.convert_to_tensor(self.conv.kernel) * scale
        return tf.cast(kernel, self.conv.compute_dtype), tf.cast(shift, self.conv.compute_dtype)

    @contextlib.contextmanager
    def fixed_weights(self) -> Iterator[list[tf.Variable]]:
        """While it lasts, calls read the product of today's weights from two variables, which it gives."""
        kernel, shift = (tf.Variable(value, trainable=False) for value in self.weights())
        self._fixed = kernel, shift
        try:
            yield [kernel, shift]
        finally:
            self._fixed = None


def foldings(layers: list[keras.layers.Layer]) -> list[FoldedNormalization]:
    """The foldings among a model's layers, in their order."""
    found = (getattr(layer, "convolution_op", None) for layer in layers)
    return [one for one in found if isinstance(one, FoldedNormalization)]
