"""What Keras keeps of each layer by itself, read off and given back to the layers inside of one."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import keras

State = Mapping[str, Mapping[str, Any]]
"""What the layers inside have otherwise than the layer around them, by their place."""


def state_inside(layer: keras.layers.Layer, apart: Collection[keras.layers.Layer]) -> State:
    """Which layers inside of a layer train, or compute, otherwise than the layer around them.

    A place is the numbers of the layers on the way, such as ``"2/0"``: names that Keras counts differ from
    process to process.

    Args:
        layer: in any state.
        apart: layers inside that are not looked into.

    Returns:
        ``trainable`` and ``dtype``, where they differ, by the place.
    """
    state = {}
    for place, inner, outer in _walk(layer, apart):
        differs: dict[str, Any] = {}
        if inner.trainable != outer.trainable:
            differs["trainable"] = inner.trainable
        if inner.dtype_policy != outer.dtype_policy:
            differs["dtype"] = keras.saving.serialize_keras_object(inner.dtype_policy)
        if differs:
            state[place] = differs
    return state


def restore_inside(layer: keras.layers.Layer, apart: Collection[keras.layers.Layer], state: State) -> None:
    """Gives the layers inside of a layer what ``state_inside`` found.

    Args:
        layer: with the layers inside made.
        apart: as in ``state_inside``.
        state: its result, whose policies may be objects already.
    """
    for place, inner, outer in _walk(layer, apart):
        differs = state.get(place, {})
        # From outside in: this changes the layers further inside, too.
        inner.trainable = differs.get("trainable", outer.trainable)
        policy = keras.dtype_policies.get(differs.get("dtype", outer.dtype_policy))
        if policy != inner.dtype_policy:
            inner.dtype_policy = policy


def layers_among(values: Any) -> Iterator[keras.layers.Layer]:
    """The layers in a value, also in lists, tuples and dicts of them."""
    if isinstance(values, keras.layers.Layer):
        yield values
    elif isinstance(values, (list, tuple, dict)):
        for value in values.values() if isinstance(values, dict) else values:
            yield from layers_among(value)


def _walk(
    layer: keras.layers.Layer, apart: Collection[keras.layers.Layer], prefix: str = ""
) -> Iterator[tuple[str, keras.layers.Layer, keras.layers.Layer]]:
    """Place, layer and the layer around it, from outside in."""
    for number, inner in enumerate(layer._flatten_layers(include_self=False, recursive=False)):
        # An input has nothing to train, and takes the global policy whatever the policy of its model.
        if inner in apart or isinstance(inner, keras.layers.InputLayer):
            continue
        place = f"{prefix}{number}"
        yield place, inner, layer
        yield from _walk(inner, apart, f"{place}/")
