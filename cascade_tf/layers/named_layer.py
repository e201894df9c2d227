"""What a part says of its weights, so that checkpoints can be translated without knowing the part."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import keras


class NamedLayer(NamedTuple):
    """A layer with weights, as a part's ``named_layers`` lists it.

    Attributes:
        name: within the part, such as ``"lateral2"`` or ``"fc1"``; dots separate parts inside parts.
        layer: with a kernel, maybe a bias.
        norm: normalisation behind it; None or one without weights where there is none.
        cells: (height, width) of the pooled features that are its inputs, flattened as (row, column,
            channel); None where these are others.
        of_classes: whether the shape of its weights depends on the number of classes.
    """

    name: str
    layer: keras.layers.Layer
    norm: keras.layers.Layer | None = None
    cells: tuple[int, int] | None = None
    of_classes: bool = False


def inside(prefix: str, layers: Iterable[NamedLayer]) -> Iterator[NamedLayer]:
    """The named layers of a part inside another, which is called ``prefix`` there."""
    return (layer._replace(name=f"{prefix}.{layer.name}") for layer in layers)


def numbered(
    name: str, convs: Iterable[keras.layers.Layer], norms: Iterable[keras.layers.Layer]
) -> Iterator[NamedLayer]:
    """Layers in sequence, each with its normalisation, as ``name`` with their number from 1."""
    for number, (conv, norm) in enumerate(zip(convs, norms, strict=True), start=1):
        yield NamedLayer(f"{name}{number}", conv, norm)
