"""What pickles hold, in a form that cannot do anything."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from cascade_tf.weights.files.pickle_stream import RawString
from cascade_tf.weights.files.raw_arrays import CopyBudget

_MAX_KEY = 1 << 60
_KEYS = (str, int, float, bytes, type(None))


class Placeholder:
    """What a pickle makes in several steps."""

    def set_state(self, state: Any) -> None:
        """Takes the state that the pickle sets.

        Raises:
            ValueError: it is none for this kind of value.
        """
        raise ValueError(f"the pickle sets the state of a {type(self).__name__}")

    def finished(self) -> Any:
        """The value that the placeholder stands for."""
        return self

    def described(self) -> str:
        """What it is, for a message."""
        return f"a {type(self).__name__}"


@dataclass(frozen=True)
class Global:
    """A class or function that a pickle may name, and what is made instead of calling it.

    Attributes:
        name: as the pickle says it, "module.name".
        build: takes the arguments and the budget for copies; None if the pickle may only mention the name.
    """

    name: str
    build: Callable[[tuple, CopyBudget], Any] | None = None

    def called(self, arguments: Any, budget: CopyBudget) -> Any:
        """The stand-in for a call.

        Raises:
            ValueError: the name may not be called, or not with these arguments.
        """
        if self.build is None:
            raise ValueError(f"the pickle wants to call {self.name}, which no checkpoint needs")
        if not isinstance(arguments, tuple):
            raise ValueError(
                f"the pickle calls {self.name} with a {type(arguments).__name__}, expected a tuple"
            )
        return self.build(arguments, budget)


class Inert(Placeholder):
    """An object of somebody's class, of which nothing but the name is kept.

    Args:
        name: the class.
    """

    def __init__(self, name: str):
        self.name = name

    def set_state(self, state: Any) -> None:
        """Drops the state."""

    def described(self) -> str:
        """The class, for a message."""
        return f"an object of {self.name}"


class OrderedMapping(dict, Placeholder):
    """A ``collections.OrderedDict``; torch hangs attributes on it, which are dropped."""

    def set_state(self, state: Any) -> None:
        """Drops the attributes."""

    def __repr__(self) -> str:
        return f"an OrderedDict of {len(self)} items"


def checked_key(key: Any) -> Any:
    """Returns a key of a dict or an element of a set.

    Raises:
        ValueError: it is no small scalar. Nested tuples can be made so that hashing them takes forever or
            overflows the stack, integers beyond 61 bits so that all have one hash.
    """
    if not isinstance(key, _KEYS) or (isinstance(key, int) and abs(key) > _MAX_KEY):
        kind = "long string" if isinstance(key, RawString) else type(key).__name__
        raise ValueError(f"the pickle has a {kind} as a key, expected a short string or a small number")
    return key


def pairs(values: list[Any]) -> Iterable[tuple[Any, Any]]:
    """Keys and values in turn to pairs.

    Raises:
        ValueError: the last key has no value, or a key is no plain scalar.
    """
    if len(values) % 2:
        raise ValueError("broken pickle: a key without a value")
    return zip(map(checked_key, values[::2]), values[1::2], strict=True)
