"""The maps that a region proposal network reads, and its convolutions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import keras

from cascade_tf.layers.map_order import fine_to_coarse

Map = TypeVar("Map")


def chosen_names(maps: Iterable[str], levels: Sequence[str] | None) -> tuple[str, ...]:
    """The names of the maps that a network reads, from fine to coarse: ``levels``, or if None all."""
    return fine_to_coarse(maps) if levels is None else tuple(levels)


def chosen_maps(features: Mapping[str, Map], names: Sequence[str]) -> list[Map]:
    """The maps, or their shapes, that a network reads, from fine to coarse.

    Args:
        features: by name.
        names: of ``chosen_names``.

    Raises:
        ValueError: one is missing.
    """
    missing = [name for name in names if name not in features]
    if missing:
        raise ValueError(f"levels: got {names}, expected some of the maps {', '.join(features)}")
    return [features[name] for name in names]


def channels_of(shape: Sequence[int | None]) -> int:
    """The number of channels of a map of this shape.

    Raises:
        ValueError: it is not known.
    """
    if shape[-1] is None:
        raise ValueError(f"the features need a known number of channels, got the shape {tuple(shape)}")
    return shape[-1]


def convolution(
    name: str,
    filters: int,
    kernel: int | Sequence[int],
    channels: int,
    *,
    dtype: Any,
    activation: str | None = None,
    deviation: float = 0.01,
) -> keras.layers.Conv2D:
    """A built convolution of stride 1 whose kernel is drawn from a normal distribution.

    Args:
        name: of the layer.
        filters: channels that come out.
        kernel: its side, or its (height, width), cells.
        channels: channels that go in.
        dtype: policy.
        activation: None is none.
        deviation: standard deviation of the kernel.
    """
    layer = keras.layers.Conv2D(
        filters,
        kernel,
        padding="same",
        activation=activation,
        kernel_initializer=keras.initializers.RandomNormal(stddev=deviation),
        name=name,
        dtype=dtype,
    )
    layer.build((None, None, None, channels))
    return layer
