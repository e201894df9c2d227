"""AlexNet as detectors use it: five convolutions at stride 16, no fully connected layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras

from cascade_tf.layers.base import arguments_of_keras, require, require_channels_last
from cascade_tf.layers.configured import Configured
from cascade_tf.layers.grouped_convolution import GroupedConv2D
from cascade_tf.layers.local_response_normalization import LocalResponseNormalization
from cascade_tf.layers.named_layer import NamedLayer
from cascade_tf.structures import Tensor

CHANNELS = (96, 256, 384, 384, 256)
"""Channels of the five convolutions."""
STRIDES = {"C1": 4, "C2": 8, "C3": 16, "C4": 16, "C5": 16}
"""Pixels per cell of their maps."""
_KERNELS = (11, 5, 3, 3, 3)
_GROUPS = (1, 2, 1, 2, 2)


@keras.saving.register_keras_serializable(package="cascade_tf")
class AlexNet(Configured, keras.Model):
    """AlexNet (Krizhevsky et al., 2012) up to conv5, as the authors' Caffe code runs it on whole images.

    conv1 pads its images, and the second pooling is 2x2, so that cells lie at multiples of the stride; the
    third pooling is left out. The second, fourth and fifth convolutions are in two groups, and normalisation
    of local responses follows the first two.

    A map is named by its convolution, after the ReLU: conv5 is C5 at stride 16.

    Call it on normalised images [B, H, W, 3]; it returns ``{"C5": [B, H/16, W/16, C]}`` and what else
    ``levels`` names.

    Args:
        channels: of the five convolutions; those of the second and of the last three are even.
        freeze_at: number of frozen convolutions; the authors' code trains all.
        levels: maps to return, some of C1 to C5.

    Raises:
        ValueError: other than five counts of channels, or one that does not fall into the groups;
            ``freeze_at`` outside 0..5; an unknown or no level.
        TypeError: an unknown argument.
    """

    kind = "backbone"

    def __init__(
        self,
        channels: Sequence[int] = CHANNELS,
        freeze_at: int = 0,
        levels: Sequence[str] = ("C5",),
        **kwargs: Any,
    ):
        require_channels_last()
        _check_channels(channels)
        require(0 <= freeze_at <= 5, "freeze_at", freeze_at, "0 to 5 convolutions")
        require(
            bool(levels) and set(levels) <= set(STRIDES), "levels", tuple(levels), f"some of {list(STRIDES)}"
        )
        policy = keras.dtype_policies.get(kwargs.get("dtype"))
        images = keras.Input((None, None, 3), name="images")
        # The convolution's own padding would depend on the size of the images.
        x = keras.layers.ZeroPadding2D(5, name="conv1_pad", dtype=policy)(images)
        maps = {}
        for number, filters in enumerate(channels, start=1):
            x = maps[f"C{number}"] = _convolution(x, number, filters, policy, frozen=number <= freeze_at)
            if number <= 2:
                x = LocalResponseNormalization(name=f"norm{number}", dtype=policy)(x)
                x = _pool1(x, policy) if number == 1 else _pool2(x, policy)
        super().__init__(
            inputs=images,
            outputs={name: maps[name] for name in sorted(levels)},
            **arguments_of_keras("AlexNet", kwargs),
        )
        self.channels = tuple(channels)
        self.freeze_at = freeze_at
        self.levels = tuple(sorted(levels))
        self.strides = {name: STRIDES[name] for name in self.levels}

    def named_layers(self) -> Iterator[NamedLayer]:
        """The convolutions, ``conv1`` to ``conv5``."""
        return (NamedLayer(layer.name, layer) for layer in self.layers if layer.variables)


def _check_channels(channels: Sequence[int]) -> None:
    groups = list(zip((3, *channels), channels, _GROUPS, strict=False))
    fits = all(count >= 1 and count % group == given % group == 0 for given, count, group in groups)
    require(
        len(channels) == 5 and fits,
        "channels",
        tuple(channels),
        f"five numbers whose convolutions fall into {_GROUPS} groups",
    )


def _convolution(x: Tensor, number: int, filters: int, policy: Any, frozen: bool) -> Tensor:
    groups = _GROUPS[number - 1]
    kind = keras.layers.Conv2D if groups == 1 else GroupedConv2D
    conv = kind(
        filters,
        _KERNELS[number - 1],
        strides=4 if number == 1 else 1,
        padding="valid" if number == 1 else "same",
        groups=groups,
        activation="relu",
        kernel_initializer=keras.initializers.VarianceScaling(2.0, "fan_out", "truncated_normal"),
        name=f"conv{number}",
        dtype=policy,
    )
    conv.trainable = not frozen
    return conv(x)


def _pool1(x: Tensor, policy: Any) -> Tensor:
    # Caffe's windows begin at the first cell, and the last may stick out; no activation is negative.
    x = keras.layers.ZeroPadding2D(((0, 1), (0, 1)), name="pool1_pad", dtype=policy)(x)
    return keras.layers.MaxPooling2D(3, strides=2, name="pool1", dtype=policy)(x)


def _pool2(x: Tensor, policy: Any) -> Tensor:
    return keras.layers.MaxPooling2D(2, padding="same", name="pool2", dtype=policy)(x)
