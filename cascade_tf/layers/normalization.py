"""Normalisation of activations: frozen statistics, synchronised batches, or groups of channels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
import tensorflow as tf

from cascade_tf.layers.base import Layer
from cascade_tf.layers.configured import Configured
from cascade_tf.layers.image_areas import clear_padding, mean_of_cells
from cascade_tf.structures import Tensor

NORMALIZATIONS = ("frozen", "sync", "group", "none")


@keras.saving.register_keras_serializable(package="cascade_tf")
class FrozenBatchNormalization(Layer):
    """Batch normalisation whose statistics and affine parameters never change.

    Detectors train with a few images per device, too few to estimate statistics, and therefore keep those of
    the pre-training (``FrozenBN``, ``AffineChannel``). It is one multiplication and one addition per value,
    or none where a ``FoldedNormalization`` has the convolution do them.

    Args:
        epsilon: added to the variance.

    Attributes:
        folded: whether the convolution before it does its work, so that it returns its input.
    """

    def __init__(self, epsilon: float = 1e-5, **kwargs: Any):
        # Without autocasting the statistics stay float32 in mixed precision; the result has the input's type.
        super().__init__(autocast=False, **kwargs)
        self.epsilon = epsilon
        self.folded = False

    @property
    def trainable(self) -> bool:
        """False, whatever it is set to, alone or with the model around it."""
        return False

    @trainable.setter
    def trainable(self, value: bool) -> None:
        pass

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the four vectors of the input's channel count."""
        # The layer's own ``autocast`` does not reach its variables where it is called by itself.
        settings = {"shape": (input_shape[-1],), "trainable": False, "autocast": False}
        self.gamma = self.add_weight(name="gamma", initializer="ones", **settings)
        self.beta = self.add_weight(name="beta", initializer="zeros", **settings)
        self.moving_mean = self.add_weight(name="moving_mean", initializer="zeros", **settings)
        self.moving_variance = self.add_weight(name="moving_variance", initializer="ones", **settings)
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        """Normalises [..., C] values by the stored statistics."""
        if self.folded:
            return inputs
        scale, shift = self.affine()
        return inputs * tf.cast(scale, inputs.dtype) + tf.cast(shift, inputs.dtype)

    def affine(self) -> tuple[Tensor, Tensor]:
        """The [C] float32 scale and shift that normalising amounts to."""
        variance = tf.convert_to_tensor(self.moving_variance)
        scale = tf.convert_to_tensor(self.gamma) * tf.math.rsqrt(variance + self.epsilon)
        return scale, tf.convert_to_tensor(self.beta) - tf.convert_to_tensor(self.moving_mean) * scale


@keras.saving.register_keras_serializable(package="cascade_tf")
class GroupNormalization(Configured, keras.layers.GroupNormalization):
    """``keras.layers.GroupNormalization`` of feature maps [B, h, w, C], with sums that keep float32's digits.

    TensorFlow adds the values of a whole map one after another, which in the first layers of a network costs
    three digits of the statistics. Here rows are summed first, then the rows' sums; and the variance is the
    mean of squared differences and not a difference of means.

    In a detector that keeps images apart the statistics are those of each image's own area, and the result is
    zero beyond it (`cascade_tf.layers.image_areas`).
    """

    def call(self, inputs: Tensor) -> Tensor:
        """Normalises over all positions and the channels of each group."""
        x = tf.cast(inputs, tf.float32)
        centred = x - self._mean(x)
        variance = self._mean(tf.square(centred))
        gamma, beta = tf.convert_to_tensor(self.gamma), tf.convert_to_tensor(self.beta)
        x = centred * (gamma * tf.math.rsqrt(variance + self.epsilon)) + beta
        return tf.cast(clear_padding(x), self.compute_dtype)

    def _mean(self, x: Tensor) -> Tensor:
        """[B, 1, 1, C] mean of each channel's group."""
        size = x.shape[-1] // self.groups
        grouped = tf.reshape(mean_of_cells(x), [-1, self.groups, size])
        # Given to every channel: broadcasting over a last axis of one group's channels takes longer.
        mean = tf.tile(tf.reduce_mean(grouped, axis=2, keepdims=True), [1, 1, size])
        return tf.reshape(mean, [-1, 1, 1, x.shape[-1]])


def takes_statistics_of_maps(layers: Iterable[keras.layers.Layer]) -> bool:
    """Whether one of the layers, or one inside of them, is a ``GroupNormalization``."""
    return any(isinstance(one, GroupNormalization) for layer in layers for one in layer._flatten_layers())


def normalization(kind: str, name: str, groups: int = 32, dtype: Any = None) -> keras.layers.Layer:
    """The normalisation layer of that kind.

    Args:
        kind: ``"frozen"`` (stored statistics), ``"sync"`` (statistics of the global batch, over all
            replicas), ``"group"`` (GroupNorm) or ``"none"`` (identity).
        name: of the layer.
        groups: number of groups for ``"group"``.
        dtype: policy; None: the global one.

    Raises:
        ValueError: unknown kind.
    """
    if kind == "frozen":
        return FrozenBatchNormalization(name=name, dtype=dtype)
    if kind == "sync":
        return keras.layers.BatchNormalization(
            momentum=0.9, epsilon=1e-5, synchronized=True, name=name, dtype=dtype
        )
    if kind == "group":
        return GroupNormalization(groups=groups, epsilon=1e-5, name=name, dtype=dtype)
    if kind == "none":
        return keras.layers.Identity(name=name, dtype=dtype)
    raise ValueError(f"norm must be one of {', '.join(NORMALIZATIONS)}, got {kind!r}")
