"""What every layer of the package shares: its constructor's arguments are its configuration."""

from __future__ import annotations

import inspect
from typing import Any

import keras


class Configured:
    """Derives ``get_config`` and ``from_config`` from the constructor's signature.

    A class that uses it keeps each constructor argument as an attribute of the same name. Arguments may be
    plain values, layers, or lists, tuples and dicts of them.
    """

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments as plain, serialisable values."""
        config = {}
        for name, parameter in inspect.signature(type(self).__init__).parameters.items():
            if name != "self" and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
                config[name] = _serialize(getattr(self, name))
        policy = getattr(self, "dtype_policy", None)
        return {"name": self.name, "dtype": _serialize(policy), **config}  # type: ignore[attr-defined]

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Constructs an object from ``get_config``'s result."""
        return cls(**{name: _deserialize(value) for name, value in config.items()})


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
    """The further arguments of a functional model's constructor: its name, and whether it trains.

    Keras ignores the names that it does not know. A policy changes nothing: the model's layers have theirs.

    Args:
        owner: name of the constructor.
        given: its ``**kwargs``.

    Raises:
        TypeError: there is one that is neither its own nor Keras's.
    """
    unknown = sorted(set(given) - {"name", "trainable", "dtype"})
    if unknown:
        raise TypeError(f"{owner} has no argument {', '.join(map(repr, unknown))}")
    return {name: value for name, value in given.items() if name != "dtype"}


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


def _serialize(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _serialize(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_serialize(item) for item in value]
    if hasattr(value, "get_config"):
        return keras.saving.serialize_keras_object(value)
    return value


def _deserialize(value: Any) -> Any:
    if isinstance(value, dict):
        if "class_name" in value and "config" in value:
            return keras.saving.deserialize_keras_object(value)
        return {key: _deserialize(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_deserialize(item) for item in value]
    return value
