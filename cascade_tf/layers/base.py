"""What the layers of the package share: their base, and how they speak of wrong arguments."""

from __future__ import annotations

from typing import Any

import keras

from cascade_tf.layers.configured import Configured


def require(ok: bool, name: str, value: Any, expected: str) -> None:
    """Raises a ValueError with the argument, what it got and what it expects, unless ``ok``."""
    if not ok:
        raise ValueError(f"{name}: got {value!r}, expected {expected}")


def require_channels_last(data_format: str | None = None) -> None:
    """Raises a ValueError unless maps are [B, h, w, C].

    Args:
        data_format: what somebody wants; None: what Keras is set to.
    """
    name = "keras.config.image_data_format()" if data_format is None else "data_format"
    value = keras.config.image_data_format() if data_format is None else data_format
    require(value == "channels_last", name, value, "'channels_last': maps are [B, h, w, C]")


def arguments_of_keras(owner: str, given: dict[str, Any]) -> dict[str, Any]:
    """The further arguments of a functional model's constructor, which are Keras's.

    Keras ignores the names that it does not know. ``trainable=True``, the default, is left out: it would
    unfreeze what the constructor froze.

    Args:
        owner: name of the constructor.
        given: its ``**kwargs``.

    Raises:
        TypeError: there is one that is neither its own nor Keras's.
    """
    unknown = sorted(set(given) - {"name", "trainable", "dtype", "supports_masking", "inner_layers"})
    if unknown:
        raise TypeError(f"{owner} has no argument {', '.join(map(repr, unknown))}")
    return {name: value for name, value in given.items() if (name, value) != ("trainable", True)}


def set_implementation(model: keras.layers.Layer, implementation: str) -> None:
    """Chooses ``"auto"``, ``"custom"`` or ``"tensorflow"`` for every op inside a model or layer."""
    for layer in model._flatten_layers():
        if hasattr(layer, "implementation"):
            layer.implementation = implementation


class Layer(Configured, keras.layers.Layer):
    """A Keras layer whose constructor's arguments are its configuration."""

    def __init__(self, **kwargs: Any):
        require_channels_last(kwargs.get("data_format"))
        super().__init__(**kwargs)
