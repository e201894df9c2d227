"""The part of a stage that draws an object's shape: a small fully convolutional network (He et al., 2017)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from cascade_tf.layers.base import Layer, require
from cascade_tf.layers.named_layer import NamedLayer, numbered
from cascade_tf.layers.normalization import normalization
from cascade_tf.layers.recomputation import recomputed
from cascade_tf.layers.roi_batches import flatten_rois, unflatten_rois
from cascade_tf.structures import Tensor


@keras.saving.register_keras_serializable(package="cascade_tf")
class MaskHead(Layer):
    """3x3 convolutions, a deconvolution that doubles the size, and a 1x1 predictor with a mask per class.

    Args:
        num_classes: K, without the background.
        class_agnostic: one mask per RoI instead of one per class.
        num_convs: 3x3 convolutions before the deconvolution; 4 in the paper, 8 in the public X-152 model.
        channels: of each of them and of the deconvolution.
        norm: normalisation after each 3x3 convolution, ``"none"`` or ``"group"``.
        norm_groups: of ``"group"`` normalisation, at most as many as channels.
        recompute: in training keeps nothing of the convolutions but computes them again for the gradient.

    Raises:
        ValueError: a number of classes or channels that is not positive, or a negative number of layers.
    """

    kind = "mask head"

    def __init__(
        self,
        num_classes: int,
        class_agnostic: bool = False,
        num_convs: int = 4,
        channels: int = 256,
        norm: str = "none",
        norm_groups: int = 32,
        recompute: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        require(num_classes >= 1, "num_classes", num_classes, "1 or more")
        require(channels >= 1, "channels", channels, "1 or more")
        require(num_convs >= 0, "num_convs", num_convs, "0 or more")
        self.num_classes = num_classes
        self.class_agnostic = class_agnostic
        self.num_convs = num_convs
        self.channels = channels
        self.norm = norm
        self.norm_groups = norm_groups
        self.recompute = recompute

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the layers for RoI features [..., P, P, C]."""
        channels = input_shape[-1]
        if channels is None:
            raise ValueError(f"MaskHead needs RoI features of known channels, got shape {tuple(input_shape)}")
        self.convs, self.norms = [], []
        for number in range(1, self.num_convs + 1):
            conv = keras.layers.Conv2D(
                self.channels,
                3,
                padding="same",
                use_bias=self.norm == "none",
                kernel_initializer="he_normal",
                name=f"conv{number}",
                dtype=self.dtype_policy,
            )
            groups = min(self.norm_groups, self.channels)
            norm = normalization(self.norm, f"conv{number}_norm", groups, self.dtype_policy)
            conv.build((None, None, None, channels))
            channels = self.channels
            norm.build((None, None, None, channels))
            self.convs.append(conv)
            self.norms.append(norm)
        self.deconv = keras.layers.Conv2DTranspose(
            self.channels,
            2,
            strides=2,
            kernel_initializer="he_normal",
            name="deconv",
            dtype=self.dtype_policy,
        )
        self.deconv.build((None, None, None, channels))
        self.predictor = keras.layers.Conv2D(
            1 if self.class_agnostic else self.num_classes,
            1,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.001),
            name="predictor",
            dtype=self.dtype_policy,
        )
        self.predictor.build((None, None, None, self.channels))
        self.built = True

    def call(self, pooled: Tensor, training: bool = False) -> Tensor:
        """Mask logits of RoIs.

        Args:
            pooled: [B, S, P, P, C] RoI features.
            training: whether ``recompute`` applies.

        Returns:
            [B, S, 2 P, 2 P, K] float32 logits, one channel where masks are class-agnostic.
        """
        x = recomputed(self._convolve, self.recompute and training)(flatten_rois(pooled))
        logits = tf.cast(self.predictor(x), tf.float32)
        return unflatten_rois(logits, pooled)

    def named_layers(self) -> Iterator[NamedLayer]:
        """The layers with weights: ``conv1`` ..., ``deconv`` and ``predictor``."""
        yield from numbered("conv", self.convs, self.norms)
        yield NamedLayer("deconv", self.deconv)
        yield NamedLayer("predictor", self.predictor, of_classes=not self.class_agnostic)

    def _convolve(self, x: Tensor) -> Tensor:
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = tf.nn.relu(norm(conv(x)))
        return tf.nn.relu(self.deconv(x))

    def of_classes(self, logits: Tensor, classes: Tensor) -> Tensor:
        """The logits of one class per RoI.

        Args:
            logits: [B, S, M, M, K], or with one channel.
            classes: [B, S] int32 in 1..K; 0, the padding, gives zeros.

        Returns:
            [B, S, M, M] float32.
        """
        if self.class_agnostic:
            return logits[..., 0]
        chosen = tf.one_hot(classes - 1, self.num_classes, dtype=logits.dtype)
        return tf.einsum("bshwk,bsk->bshw", logits, chosen)
