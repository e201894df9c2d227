"""Layers and models whose constructor's arguments are their configuration."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

import keras

from cascade_tf.layers.inner_layers import State, layers_among, restore_inside, state_inside

# For the type checker: a class has it beside a layer or model of Keras's, before that in the order of bases.
_KerasLayer: Any = object
_OF_KERAS = ("name", "trainable", "dtype", "activity_regularizer", "supports_masking", "inner_layers")
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_GIVEN_TWICE = re.compile(r"multiple values for (?:keyword )?argument '(\w+)'")


class Configured(_KerasLayer):
    """Derives ``get_config`` and ``from_config`` from the constructors' signatures.

    A class that uses it keeps each constructor argument as an attribute of the same name. Arguments may be
    plain values, layers, or lists, tuples and dicts of them. A subclass that hands ``**kwargs`` on has its
    parent's arguments too, but for those that it gives its parent itself.

    Beside the arguments a configuration has what Keras keeps of every layer: its name, policy, whether it
    trains and supports masks; and what the layers inside, which it made itself, have otherwise
    (``inner_layers``). A layer's ``trainable`` holds for layers inside that are made later.

    Args:
        dtype: Keras's policy; None: the global one.
        supports_masking: as Keras's attribute; None: what Keras makes of the class.
        inner_layers: see ``state_inside``; None: as the constructor and ``build`` make them.
    """

    name: Any
    trainable: Any
    _state_to_come: State | None = None

    def __init__(
        self,
        *args: Any,
        dtype: Any = None,
        supports_masking: bool | None = None,
        inner_layers: State | None = None,
        **kwargs: Any,
    ):
        super().__init__(*args, dtype=dtype, **kwargs)
        if dtype is not None and isinstance(self, keras.Model):
            # A functional model does not listen.
            self.dtype_policy = keras.dtype_policies.get(dtype)
        if supports_masking is not None:
            self.supports_masking = supports_masking
        if inner_layers is not None:
            self._restore(inner_layers)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments as plain, serialisable values.

        Raises:
            TypeError: an argument is not kept as an attribute, and no subclass says its value.
        """
        # A functional model would list its layers.
        config = dict(
            keras.layers.Layer.get_config(self) if isinstance(self, keras.Model) else super().get_config()
        )
        config["supports_masking"] = self.supports_masking
        inner = self._inner_state()
        if inner is not None:
            config["inner_layers"] = inner
        for name in constructor_arguments(type(self))[0]:
            if name in config:
                continue
            if hasattr(self, name):
                config[name] = _serialize(getattr(self, name))
            elif type(self).get_config is Configured.get_config:
                raise TypeError(
                    f"{type(self).__name__}: its argument {name!r} is not kept; set self.{name}, "
                    "or write a get_config that adds it"
                )
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Constructs an object from ``get_config``'s result."""
        names, hands_on = constructor_arguments(cls)
        arguments = {name: _deserialize(value) for name, value in config.items()}
        if not hands_on:
            arguments = {name: value for name, value in arguments.items() if name in names}
        layer, own = _construct(cls, arguments)
        if not hands_on:
            layer._adopt(config)
        # The parts that a subclass makes itself.
        for name in own if hands_on else names:
            _adopt_part(getattr(layer, name, None), config.get(name))
        return layer

    def _adopt(self, config: Mapping[str, Any]) -> None:
        """Takes what Keras keeps of a layer from the configuration of its like."""
        self.name = config.get("name", self.name)
        self.supports_masking = config.get("supports_masking", self.supports_masking)
        policy = keras.dtype_policies.get(_deserialize(config.get("dtype", self.dtype_policy)))
        if policy != self.dtype_policy:
            self.dtype_policy = policy
        if config.get("trainable", self.trainable) != self.trainable:
            self.trainable = config["trainable"]
        if "inner_layers" in config:
            self._restore(_deserialize(config["inner_layers"]))

    def _arguments_with_state(self) -> list[keras.layers.Layer]:
        """Layers inside that came as arguments and know their own state."""
        values = [getattr(self, name, None) for name in constructor_arguments(type(self))[0]]
        return [layer for layer in layers_among(values) if isinstance(layer, Configured)]

    def _inner_state(self) -> State | None:
        if self._state_to_come is not None:
            return _serialize(self._state_to_come)
        if not list(self._flatten_layers(include_self=False)):
            return None
        return state_inside(self, self._arguments_with_state())

    def _restore(self, state: State) -> None:
        """Applies a state now, or if the layers are not there yet when they are."""
        if self.built:
            restore_inside(self, self._arguments_with_state(), state)
        else:
            self._state_to_come = state

    def _post_build(self) -> None:
        super()._post_build()
        state, self._state_to_come = self._state_to_come, None
        if state is not None:
            restore_inside(self, self._arguments_with_state(), state)
        elif not self.trainable:
            # Keras tells it only the layers that are there when it is set, and not when it is set once more.
            for layer in self._flatten_layers(include_self=False):
                layer.trainable = False


def constructor_arguments(cls: type) -> tuple[list[str], bool]:
    """The names of all arguments of a class's constructor but Keras's own.

    Args:
        cls: whose constructor may hand ``**kwargs`` on to that of its parent.

    Returns:
        The names, and whether Keras's own arguments are handed on too.
    """
    names: list[str] = []
    for one in cls.__mro__:
        if one is Configured or one.__module__.partition(".")[0] == "keras":
            return names, True
        if "__init__" not in vars(one):
            continue
        parameters = list(inspect.signature(vars(one)["__init__"]).parameters.values())[1:]
        names += [
            p.name for p in parameters if p.kind in _NAMED and p.name not in names and p.name not in _OF_KERAS
        ]
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            return names, False
    return names, True


def _construct(cls: type, arguments: Mapping[str, Any]) -> tuple[Any, list[str]]:
    """Calls a constructor with all arguments but those that it gives its parent itself, and names these."""
    left = dict(arguments)
    own: list[str] = []
    while True:
        try:
            return cls(**left), own
        except TypeError as error:
            # No signature tells which these are.
            twice = _GIVEN_TWICE.search(str(error))
            if twice is None or twice[1] not in left:
                raise
            own.append(twice[1])
            del left[twice[1]]


def _adopt_part(made: Any, config: Any) -> None:
    """Gives a layer, or layers, what Keras keeps of those that a configuration is of."""
    if isinstance(made, (list, tuple)) and isinstance(config, (list, tuple)):
        for one, its_config in zip(made, config, strict=False):
            _adopt_part(one, its_config)
    elif isinstance(made, Configured) and isinstance(config, Mapping) and "config" in config:
        made._adopt(config["config"])
        for name in constructor_arguments(type(made))[0]:
            _adopt_part(getattr(made, name, None), config["config"].get(name))


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
