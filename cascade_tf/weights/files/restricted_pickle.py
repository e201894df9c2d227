"""Pickles from strangers: arrays and plain values come out, and nothing is ever called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cascade_tf.weights.files.pickle_machine import PickleMachine
from cascade_tf.weights.files.pickle_stream import RawString
from cascade_tf.weights.files.pickle_values import (
    Global,
    Inert,
    OrderedMapping,
    Placeholder,
    checked_key,
    pairs,
)
from cascade_tf.weights.files.pickled_arrays import NUMPY_GLOBALS
from cascade_tf.weights.files.raw_arrays import CopyBudget, shown

_MAX_DEPTH = 64
# An entry of a dict or set takes about so many bytes.
_ENTRY_BYTES = 100

# Classes that trainers leave in their checkpoints' metadata. Of an object only the class's name is kept.
_INERT_CLASSES = (
    "mmengine.logging.history_buffer.HistoryBuffer",
    "mmengine.config.config.ConfigDict",
    "mmengine.config.config.Config",
    "mmcv.utils.config.ConfigDict",
    "mmcv.utils.config.Config",
    "addict.addict.Dict",
)


def read_pickle(content: bytes | memoryview) -> Any:
    """Returns what a pickle holds, if that is arrays, plain values and containers of them.

    Every class and function that the pickle names is looked up in a short table of names, and stands for code
    of this package: no object of the pickle's choice is made and no function called. Array data is not
    copied, so the arrays keep ``content`` alive.

    Args:
        content: the pickle, of any protocol, from Python 2 (strings are read as latin-1) or 3.

    Returns:
        Nested dict, list, tuple, set and frozenset of None, bool, int, float, complex, str, bytes, NumPy
        scalars and read-only arrays. Objects of some known classes come as ``Inert``.

    Raises:
        ValueError: the pickle is truncated or broken, claims more data than there is, or names anything else.
    """
    budget = CopyBudget(len(content))
    return finished(run_pickle(memoryview(content), budget).run())


def run_pickle(
    content: memoryview,
    budget: CopyBudget,
    position: int = 0,
    more_globals: Mapping[str, Global] | None = None,
    load_persistent: Callable[[Any], Any] | None = None,
) -> PickleMachine:
    """Returns a machine that will run the pickle at ``position``; ``finished`` takes what it returns.

    Args:
        content: the file.
        budget: for copies.
        position: of the pickle.
        more_globals: what the pickle may name beside NumPy's functions and Python's containers.
        load_persistent: returns what a persistent id stands for; None refuses them.
    """
    table = {**_GLOBALS, **(more_globals or {})}

    def find_global(name: str) -> Global:
        if name not in table:
            # Without the quotes of repr, but with its escapes.
            raise ValueError(
                f"the pickle wants to call {shown(name)[1:-1]}, expected nothing but arrays and plain values"
            )
        return table[name]

    return PickleMachine(content, position, find_global, load_persistent, budget)


def finished(value: Any) -> Any:
    """Replaces every placeholder by what it stands for, in new containers.

    Raises:
        ValueError: a placeholder cannot be finished, or containers nest too deep or hold themselves.
    """
    return _finished(value, 0, {})


def _finished(value: Any, depth: int, done: dict[int, Any]) -> Any:
    if depth > _MAX_DEPTH:
        raise ValueError(f"the pickle nests deeper than {_MAX_DEPTH} levels, or a container holds itself")
    if isinstance(value, (dict, list, tuple, Placeholder, Global)):
        # What is shared stays shared: otherwise a few lists of lists become billions.
        if id(value) not in done:
            done[id(value)] = _made(value, depth + 1, done)
        return done[id(value)]
    return value


def _made(value: Any, depth: int, done: dict[int, Any]) -> Any:
    if isinstance(value, RawString):
        return value.decoded()
    if isinstance(value, dict):
        return {key: _finished(item, depth, done) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_finished(item, depth, done) for item in value)
    return Inert(value.name) if isinstance(value, Global) else value.finished()


def _ordered_dict(arguments: tuple, budget: CopyBudget) -> OrderedMapping:
    items = _single(arguments, list, ())
    budget.spend(_ENTRY_BYTES * len(items))
    if not all(isinstance(item, (list, tuple)) and len(item) == 2 for item in items):
        raise ValueError("broken pickle: an OrderedDict of something other than pairs")
    return OrderedMapping(pairs([part for item in items for part in item]))


def _counter(arguments: tuple, budget: CopyBudget) -> OrderedMapping:
    counts = _single(arguments, dict, {})
    budget.spend(_ENTRY_BYTES * len(counts))
    return OrderedMapping(counts)


def _default_dict(arguments: tuple, budget: CopyBudget) -> OrderedMapping:
    return OrderedMapping()


def _set(arguments: tuple, budget: CopyBudget) -> set:
    elements = _single(arguments, list, ())
    budget.spend(_ENTRY_BYTES * len(elements))
    return set(map(checked_key, elements))


def _frozenset(arguments: tuple, budget: CopyBudget) -> frozenset:
    return frozenset(_set(arguments, budget))


def _complex(arguments: tuple, budget: CopyBudget) -> complex:
    if len(arguments) != 2 or not all(type(part) is float for part in arguments):
        raise ValueError("broken pickle: a complex number of something other than two floats")
    return complex(*arguments)


def _empty_bytes(arguments: tuple, budget: CopyBudget) -> bytes:
    if arguments:
        raise ValueError("the pickle makes bytes of other values, which no checkpoint needs")
    return b""


def _single(arguments: tuple, kind: type, default: Any) -> Any:
    """The only argument of a container."""
    if not arguments:
        return default
    if len(arguments) > 1 or not isinstance(arguments[0], kind):
        raise ValueError(f"broken pickle: a container of {shown(arguments)}, expected one {kind.__name__}")
    return arguments[0]


def _inert_class(name: str) -> Global:
    return Global(name, lambda arguments, budget: Inert(name))


def _inert_attribute(arguments: tuple, budget: CopyBudget) -> Inert:
    """Objects of mmengine keep methods of their class; Python pickles a method as a call of getattr."""
    owner, name = arguments if len(arguments) == 2 else (None, None)
    if not isinstance(owner, Global) or owner.name not in _INERT_CLASSES or not isinstance(name, str):
        raise ValueError("the pickle wants to call builtins.getattr, which no checkpoint needs")
    return Inert(f"{owner.name}.{name}")


def _python_globals() -> dict[str, Global]:
    builders: dict[str, Callable[[tuple, CopyBudget], Any]] = {
        "set": _set,
        "frozenset": _frozenset,
        "complex": _complex,
        "bytes": _empty_bytes,
        "getattr": _inert_attribute,
    }
    table = {
        "collections.OrderedDict": Global("collections.OrderedDict", _ordered_dict),
        "collections.Counter": Global("collections.Counter", _counter),
        "collections.defaultdict": Global("collections.defaultdict", _default_dict),
    }
    # Python 2's name of the module is still what protocols up to 2 say.
    for module in ("builtins", "__builtin__"):
        table |= {f"{module}.{name}": Global(f"{module}.{name}", build) for name, build in builders.items()}
        # Mentioned as what a defaultdict makes.
        table |= {f"{module}.{name}": Global(f"{module}.{name}") for name in ("list", "dict", "int", "float")}
    return table


_GLOBALS = {**_python_globals(), **{name: _inert_class(name) for name in _INERT_CLASSES}, **NUMPY_GLOBALS}
