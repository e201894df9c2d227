"""Frozen normalisation as part of the convolution before it."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterable, Iterator
from typing import Any

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
    while weights are variables. `PreparedWeights` keep the products where weights do not change from call to
    call.

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
        conv.convolution_op = self
        norm.folded = True

    def __call__(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        """Convolves [B, h, w, C] and normalises the result; ``kernel`` is the layer's own."""
        kernel, shift = self.weights()
        return tf.nn.bias_add(self._convolve(tf.cast(inputs, self.conv.compute_dtype), kernel), shift)

    def weights(self) -> tuple[Tensor, Tensor]:
        """The kernel with the scale in it, and the shift [filters], in the layer's compute type."""
        prepared = _in_use.get()
        if prepared is not None and self in prepared.values:
            kernel, shift = prepared.values[self]
            return tf.convert_to_tensor(kernel), tf.convert_to_tensor(shift)
        return self.product()

    def product(self) -> tuple[Tensor, Tensor]:
        """`weights`, computed from the present variables."""
        scale, shift = self.norm.affine()
        kernel = tf.convert_to_tensor(self.conv.kernel)
        # Float32 in a model; a convolution that is called by itself casts its kernel all the same.
        kernel *= tf.cast(scale, kernel.dtype)
        return tf.cast(kernel, self.conv.compute_dtype), tf.cast(shift, self.conv.compute_dtype)


class PreparedWeights:
    """The products of all foldings of a model, computed once for many calls.

    Create it outside of graphs: it holds variables, a copy of the folded kernels.

    Args:
        layers: whose foldings are meant.

    Attributes:
        values: kernel and shift of each folding, as the last `update` left them.
    """

    def __init__(self, layers: Iterable[keras.layers.Layer]):
        self.values = {
            one: tuple(tf.Variable(value, trainable=False) for value in one.product())
            for one in foldings(layers)
        }

    @classmethod
    def of(cls, model: Any) -> PreparedWeights:
        """Those of all layers of a Keras model, nested ones included; none of any other callable."""
        return cls(model._flatten_layers() if isinstance(model, keras.layers.Layer) else ())

    @property
    def variables(self) -> list[tf.Variable]:
        """The variables of all values."""
        return [variable for values in self.values.values() for variable in values]

    @property
    def replaced(self) -> list[keras.Variable]:
        """The model's variables that calls do not read while this is in use."""
        return [v for one in self.values for v in (one.conv.kernel, *one.norm.variables)]

    def update(self) -> None:
        """Computes the products of the model's present weights."""
        for one, variables in self.values.items():
            for variable, value in zip(variables, one.product(), strict=True):
                variable.assign(value)

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """While it lasts, the model reads these values in this thread, and so do graphs that are traced."""
        token = _in_use.set(self)
        try:
            yield
        finally:
            _in_use.reset(token)


_in_use: contextvars.ContextVar[PreparedWeights | None] = contextvars.ContextVar("prepared", default=None)


def foldings(layers: Iterable[keras.layers.Layer]) -> list[FoldedNormalization]:
    """The foldings among a model's layers, in their order."""
    found = (getattr(layer, "convolution_op", None) for layer in layers)
    return [one for one in found if isinstance(one, FoldedNormalization)]
