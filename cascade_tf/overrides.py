"""Settings as text: ``train.batch_size=4`` becomes a typed value, or an error that says what was meant.

A settings tree is made of dataclasses and of ``functools.partial`` objects of recipe functions. The fields of
the former and the signatures of the latter are the schema; nothing is declared a second time here.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import difflib
import functools
import inspect
import math
import types
import typing
from typing import Any

# Arguments of a recipe that the data set decides: they are no settings.
DATA_ARGUMENTS = ("class_names", "category_ids")
_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0")


def apply_overrides(tree: Any, assignments: typing.Iterable[str]) -> Any:
    """Returns a copy of a settings tree with some settings replaced.

    Args:
        tree: a dataclass whose fields are values, dataclasses or partial recipes.
        assignments: texts ``a.b=value``, applied in order. Sequences are written with commas (``0.5,0.6``),
            an absent value as ``none``, truth as ``true`` or ``false``.

    Raises:
        ValueError: an assignment has no ``=``, names no setting, or its value has the wrong type.
    """
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        name = name.strip()
        if not equals or not name:
            raise ValueError(f"got the override {assignment!r}, expected the form a.b=value")
        tree = _replace(tree, tree, name, name.split("."), text.strip())
    return tree


def setting_types(tree: Any) -> dict[str, Any]:
    """Returns the type of each setting directly inside a dataclass or a partial recipe.

    The fields of a dataclass that carry ``metadata={"resolved": True}`` are no settings, and neither are the
    recipe's `DATA_ARGUMENTS`.
    """
    if isinstance(tree, functools.partial):
        return _recipe_types(tree.func)
    hints = typing.get_type_hints(type(tree))
    return {f.name: hints[f.name] for f in dataclasses.fields(tree) if not f.metadata.get("resolved")}


def setting_names(tree: Any, prefix: str = "") -> list[str]:
    """Returns the dotted names of all settings of a tree, in order of declaration."""
    names = []
    for name in setting_types(tree):
        child = None if isinstance(tree, functools.partial) else getattr(tree, name)
        names += setting_names(child, f"{prefix}{name}.") if _is_group(child) else [prefix + name]
    return names


def convert(value: Any, hint: Any, name: str, *, spelled: bool = True) -> Any:
    """Returns a text or a JSON value as the type that a setting is declared with.

    Args:
        value: text of the command line, or a value read from JSON.
        hint: the declared type; ``typing.Any`` takes the value as it is.
        name: the setting's name, for the error.
        spelled: whether the text ``none`` stands for an absent value, as on the command line. In JSON null
            does, and ``"none"`` is a text.

    Raises:
        ValueError: the value does not fit the type.
    """
    if not spelled and isinstance(value, str) and _takes_text(hint):
        return value
    try:
        return _convert(value, hint)
    except (ValueError, TypeError, OverflowError):
        raise ValueError(f"setting {name!r}: got {value!r}, expected {_describe(hint)}") from None


def _takes_text(hint: Any) -> bool:
    return hint is str or str in typing.get_args(hint)


def unknown_setting(name: str, known: typing.Iterable[str]) -> ValueError:
    """Returns the error for a name that is no setting, with the likeliest name that is one."""
    known = list(known)
    last = name.rpartition(".")[2]
    meant = [k for k in known if k.rpartition(".")[2] == last]
    meant = meant or difflib.get_close_matches(name, known, n=1)
    meant = meant or [
        k for k in known if difflib.get_close_matches(last, [k.rpartition(".")[2]], cutoff=0.75)
    ]
    hint = (
        f"did you mean {' or '.join(repr(m) for m in meant[:3])}?"
        if meant
        else f"known are {', '.join(known)}"
    )
    return ValueError(f"unknown setting {name!r}; {hint}")


def _replace(root: Any, tree: Any, name: str, path: list[str], text: str) -> Any:
    hints = setting_types(tree)
    first, rest = path[0], path[1:]
    if first not in hints:
        raise unknown_setting(name, setting_names(root))
    child = None if isinstance(tree, functools.partial) else getattr(tree, first)
    if _is_group(child):
        if not rest:
            inside = ", ".join(setting_types(child))
            raise ValueError(f"setting {name!r} is a group: set one of {inside} as {name}.<setting>=value")
        new = _replace(root, child, name, rest, text)
    elif rest:
        raise unknown_setting(name, setting_names(root))
    else:
        new = convert(text, hints[first], name)
    if isinstance(tree, functools.partial):
        return functools.partial(tree.func, *tree.args, **{**tree.keywords, first: new})
    return dataclasses.replace(tree, **{first: new})


def _is_group(value: Any) -> bool:
    return isinstance(value, functools.partial) or (
        dataclasses.is_dataclass(value) and not isinstance(value, type)
    )


def _recipe_types(recipe: typing.Callable) -> dict[str, Any]:
    parameters = inspect.signature(recipe, eval_str=True).parameters.values()
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    empty = inspect.Parameter.empty
    return {
        p.name: Any if p.annotation is empty else p.annotation for p in named if p.name not in DATA_ARGUMENTS
    }


def _convert(value: Any, hint: Any) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return _convert_union(value, arguments)
    if origin is typing.Literal:
        return next(choice for choice in _matches(value, arguments))
    if hint is None or hint is type(None):
        return _expect(None, value is None or (isinstance(value, str) and value.lower() in ("none", "null")))
    if (origin or hint) in (tuple, list, collections.abc.Sequence):
        return _convert_sequence(value, arguments)
    return _convert_scalar(value, hint)


def _convert_union(value: Any, choices: tuple) -> Any:
    # "none" would be a good string: try the absent value first.
    for choice in sorted(choices, key=lambda c: c is not type(None)):
        try:
            return _convert(value, choice)
        except (ValueError, TypeError, OverflowError):
            continue
    raise ValueError(value)


def _matches(value: Any, choices: tuple) -> list:
    found = [c for c in choices if value == c or (isinstance(value, str) and value == str(c))]
    return _expect(found, bool(found))


def _convert_sequence(value: Any, arguments: tuple) -> tuple:
    if isinstance(value, str):
        text = value.strip().removeprefix("(").removeprefix("[").removesuffix(")").removesuffix("]").strip()
        value = [part.strip() for part in text.removesuffix(",").split(",")] if text else []
    items = list(_expect(value, isinstance(value, (list, tuple))))
    if not arguments or len(arguments) == 1:
        return tuple(_convert(item, arguments[0] if arguments else Any) for item in items)
    if arguments[-1] is Ellipsis:
        return tuple(_convert(item, arguments[0]) for item in items)
    _expect(items, len(items) == len(arguments))
    return tuple(_convert(item, argument) for item, argument in zip(items, arguments, strict=True))


def _convert_scalar(value: Any, hint: Any) -> Any:
    if hint is bool:
        return _convert_truth(value)
    _expect(value, not isinstance(value, bool))
    if hint is int:
        whole = int(value)
        return _expect(whole, isinstance(value, str) or whole == value)
    if hint is float:
        number = float(value)
        return _expect(number, math.isfinite(number))
    return _expect(value, isinstance(hint, type) and isinstance(value, hint))


def _convert_truth(value: Any) -> bool:
    if not isinstance(value, str):
        return _expect(value, isinstance(value, bool))
    lower = value.lower()
    return _expect(lower in _TRUE, lower in _TRUE or lower in _FALSE)


def _expect(value: Any, condition: bool) -> Any:
    if not condition:
        raise ValueError(value)
    return value


def _describe(hint: Any) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    names = {
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        str: "a text",
        type(None): "none",
    }
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_describe(a) for a in arguments)
    if origin is typing.Literal:
        return f"one of {', '.join(repr(a) for a in arguments)}"
    if (origin or hint) in (tuple, list, collections.abc.Sequence):
        element = _describe(arguments[0]).removeprefix("a ") if arguments else "value"
        fixed = arguments and arguments[-1] is not Ellipsis and len(arguments) > 1
        return f"{len(arguments)} times {element}" if fixed else f"a comma-separated list, each a {element}"
    return names.get(hint, f"a {getattr(hint, '__name__', hint)}")
