"""A convolution that learns where to look (Dai et al., "Deformable Convolutional Networks", 2017)."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from cascade_tf.layers.base import Layer, require
from cascade_tf.ops.deformable_convolution import deformable_conv2d
from cascade_tf.structures import Tensor


@keras.saving.register_keras_serializable(package="cascade_tf")
class DeformableConv2D(Layer):
    """Convolution whose samples are displaced by offsets that a second convolution predicts from the input.

    The version without modulation. Both convolutions are padded by half the kernel on every side. The offsets
    start at zero, so that a new layer is an ordinary convolution. They are float32 under every policy: a
    sixteen-bit number would place samples on a grid of an eighth of a cell or coarser.

    ``offset`` is the convolution that predicts them, with ``2 * kernel_size ** 2`` channels: (y, x) in cells
    for each point of the kernel in row-major order.

    Args:
        filters: output channels.
        kernel_size: odd side length of the kernel.
        strides: cells between neighbouring outputs.
        groups: groups of channels that do not mix; all of them share the offsets.
        use_bias: whether a bias is added.
        kernel_initializer: of the kernel.

    Raises:
        ValueError: a number that is not positive, an even kernel, or groups that do not divide the channels.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 3,
        strides: int = 1,
        groups: int = 1,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        require(kernel_size >= 1 and kernel_size % 2 == 1, "kernel_size", kernel_size, "an odd number")
        require(strides >= 1, "strides", strides, "1 or more")
        require(groups >= 1, "groups", groups, "1 or more")
        require(filters >= 1 and filters % groups == 0, "filters", filters, f"a multiple of {groups} groups")
        self.filters = filters
        self.kernel_size = kernel_size
        self.strides = strides
        self.groups = groups
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.supports_jit = False
        self.offset = keras.layers.Conv2D(
            2 * kernel_size**2,
            kernel_size,
            strides=strides,
            kernel_initializer="zeros",
            dtype="float32",
            name="offset",
        )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the kernels for features [B, H, W, C]."""
        channels = input_shape[-1] or 0
        expected = f"a multiple of {self.groups} groups"
        require(channels > 0 and channels % self.groups == 0, "channels of the input", channels, expected)
        self.offset.build((None, None, None, channels))
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.kernel_size, self.kernel_size, channels // self.groups, self.filters),
            initializer=self.kernel_initializer,
        )
        if self.use_bias:
            self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros")
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        """Convolves features.

        Args:
            inputs: [B, H, W, C].

        Returns:
            [B, ceil(H / strides), ceil(W / strides), filters] of the compute type.
        """
        border = [self.kernel_size // 2] * 2
        offsets = self.offset(tf.pad(inputs, [[0, 0], border, border, [0, 0]]))
        outputs = deformable_conv2d(inputs, offsets, self.kernel, stride=self.strides)
        return outputs + tf.convert_to_tensor(self.bias) if self.use_bias else outputs
