"""VGG16 as detectors use it: thirteen convolutions, no fully connected layers, frozen first groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras

from cascade_tf.layers.base import arguments_of_keras, require, require_channels_last
from cascade_tf.layers.configured import Configured
from cascade_tf.layers.named_layer import NamedLayer
from cascade_tf.structures import Tensor

CONVOLUTIONS = (2, 2, 3, 3, 3)
"""Convolutions in each of the five groups."""
CHANNELS = (64, 128, 256, 512, 512)
"""Channels of each group at full width."""
STRIDES = {"C2": 2, "C3": 4, "C4": 8, "C5": 16}
"""Pixels per cell of the last map of groups 2 to 5."""


@keras.saving.register_keras_serializable(package="cascade_tf")
class VGG16(Configured, keras.Model):
    """VGG16 (Simonyan & Zisserman, 2015) up to conv5_3, the backbone of the paper's single-level detectors.

    A map is named by its group of convolutions, after the last ReLU and before the pooling: conv4_3 is C4 at
    stride 8 and conv5_3 is C5 at stride 16, half of what ``ResNet``'s maps of the same names have.

    Pooling rounds odd sizes up, as Caffe does; with even sizes all implementations agree.

    Call it on normalised images [B, H, W, 3]; it returns ``{"C5": [B, H/16, W/16, C]}`` and what else
    ``levels`` names.

    Args:
        width: factor of the usual channel counts.
        channels: of the convolutions of each of the five groups; None: 64, 128, 256, 512 and 512 times
            ``width``.
        freeze_at: number of frozen groups; the authors' code freezes conv1 and conv2.
        levels: maps to return, some of C2 to C5. A detector without a neck uses all maps that it gets:
            Faster R-CNN wants C5 alone.

    Raises:
        ValueError: a width that is not positive, other than five counts of channels, ``freeze_at`` outside
            0..5, or an unknown or no level.
        TypeError: an unknown argument.
    """

    kind = "backbone"

    def __init__(
        self,
        width: float = 1.0,
        channels: Sequence[int] | None = None,
        freeze_at: int = 2,
        levels: Sequence[str] = ("C2", "C3", "C4", "C5"),
        **kwargs: Any,
    ):
        require_channels_last()
        require(width > 0, "width", width, "a positive factor")
        widths = channels or [max(1, round(count * width)) for count in CHANNELS]
        require(len(widths) == 5 and min(widths) >= 1, "channels", channels, "five numbers, 1 or more")
        require(0 <= freeze_at <= 5, "freeze_at", freeze_at, "0 to 5 groups")
        require(
            bool(levels) and set(levels) <= set(STRIDES), "levels", tuple(levels), f"some of {list(STRIDES)}"
        )
        policy = keras.dtype_policies.get(kwargs.get("dtype"))
        images = keras.Input((None, None, 3), name="images")
        maps = {}
        x = images
        for group, (convolutions, filters) in enumerate(zip(CONVOLUTIONS, widths, strict=True), start=1):
            if group > 1:
                x = keras.layers.MaxPooling2D(2, padding="same", name=f"pool{group - 1}", dtype=policy)(x)
            for number in range(1, convolutions + 1):
                name = f"conv{group}_{number}"
                x = _convolution(x, name, filters, policy, frozen=group <= freeze_at)
            maps[f"C{group}"] = x
        super().__init__(
            inputs=images,
            outputs={name: maps[name] for name in sorted(levels)},
            **arguments_of_keras("VGG16", kwargs),
        )
        self.width = width
        self.channels = channels
        self.freeze_at = freeze_at
        self.levels = tuple(sorted(levels))
        self.strides = {name: STRIDES[name] for name in self.levels}

    def named_layers(self) -> Iterator[NamedLayer]:
        """The convolutions, ``conv1_1`` to ``conv5_3``."""
        return (NamedLayer(layer.name, layer) for layer in self.layers if layer.variables)


def _convolution(x: Tensor, name: str, channels: int, policy: Any, frozen: bool) -> Tensor:
    conv = keras.layers.Conv2D(
        channels,
        3,
        padding="same",
        activation="relu",
        kernel_initializer=keras.initializers.VarianceScaling(2.0, "fan_out", "truncated_normal"),
        name=name,
        dtype=policy,
    )
    conv.trainable = not frozen
    return conv(x)
