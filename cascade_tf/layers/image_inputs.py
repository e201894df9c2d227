"""Pixels to network input: colour order, normalisation, clean padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from cascade_tf.layers.base import Layer
from cascade_tf.structures import ImageBatch, Tensor


@keras.saving.register_keras_serializable(package="cascade_tf")
class PixelNormalization(Layer):
    """Normalises RGB pixels as a backbone's weights expect them and sets the padding to zero.

    Zero is the mean colour after normalisation, so that the padding looks alike whatever the batch holds.

    Args:
        order: ``"RGB"`` or ``"BGR"``, the channel order of the result.
        mean: subtracted per channel, in that order, on the scale 0..255.
        std: divisor per channel, in that order.

    Raises:
        ValueError: unknown order, or not three positive ``std`` values.
    """

    kind = "inputs"

    def __init__(
        self,
        order: str = "BGR",
        mean: Sequence[float] = (103.53, 116.28, 123.675),
        std: Sequence[float] = (1.0, 1.0, 1.0),
        **kwargs: Any,
    ):
        kwargs.pop("dtype", None)
        # Pixels minus the mean stay float32: bfloat16 would round 0..255 to 8 bits before the first
        # convolution.
        super().__init__(dtype="float32", **kwargs)
        if order not in ("RGB", "BGR"):
            raise ValueError(f"order must be 'RGB' or 'BGR', got {order!r}")
        if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
            raise ValueError(
                f"mean and std need three numbers each, std positive; got {tuple(mean)}, {tuple(std)}"
            )
        self.order = order
        self.mean = tuple(float(value) for value in mean)
        self.std = tuple(float(value) for value in std)

    def call(self, images: Tensor, image_size: Tensor) -> Tensor:
        """Normalises a padded batch.

        Args:
            images: [B, H, W, 3] RGB in 0..255, any numeric type.
            image_size: [B, 2] (height, width) of the unpadded images.

        Returns:
            [B, H, W, 3] float32.
        """
        image_size = tf.cast(image_size, tf.float32)
        if self.order == "BGR":
            images = tf.reverse(images, axis=[-1])
        shape = tf.shape(images)
        # In rows of W * 3 values: broadcasting over a last axis of three takes three times as long.
        row_size = 3 * shape[2]
        rows = tf.cast(tf.range(shape[1]), tf.float32)[None, :] < image_size[:, :1]
        columns = tf.cast(tf.range(row_size) // 3, tf.float32)[None, :] < image_size[:, 1:]
        pixels = tf.reshape(tf.cast(images, tf.float32), [shape[0], shape[1], row_size])
        mean, std = (tf.tile(tf.constant(values), shape[2:3]) for values in (self.mean, self.std))
        inside = rows[:, :, None] & columns[:, None, :]
        return tf.reshape(tf.where(inside, (pixels - mean) / std, 0.0), shape)

    def normalize(self, batch: ImageBatch) -> Tensor:
        """``call`` on an ImageBatch."""
        return self(batch.images, batch.image_size)
