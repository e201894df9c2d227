"""Settings as text: ``train.batch_size=4`` becomes a typed value, or an error that says what was meant.

A settings tree is made of dataclasses and of parts. The fields of the former and the signatures of the
latter's constructors are the schema; nothing is declared a second time here.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import itertools
import math
import types
import typing
from typing import Any

from cascade_tf.parts import Part, choose, expand, kind_of, may_be_absent, takes_part, unknown_setting

_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0")
_ABSENT = ("none", "null")


def apply_overrides(tree: Any, assignments: typing.Iterable[str]) -> Any:
    """Returns a copy of a settings tree with some settings replaced.

    Args:
        tree: a dataclass whose fields are values, dataclasses or parts.
        assignments: texts ``a.b=value``, applied in order, but those first that choose a part, whose settings
            others may change. Sequences are written with commas (``0.5,0.6``),
            those of sequences with brackets besides (``[0.1,0.2],[0.3,0.4]``), an absent value as ``none``,
            truth as ``true`` or ``false``, a part by its name (``vgg16``), which gives it its own defaults.
            ``a.*.b`` is every setting ``b`` at or below ``a``.

    Raises:
        ValueError: an assignment has no ``=``, names no setting, or its value has the wrong type.
    """
    for assignment in _parts_first(tree, assignments):
        tree = _assign(tree, assignment)
    return tree


def _assign(tree: Any, assignment: str) -> Any:
    name, equals, text = assignment.partition("=")
    name = name.strip()
    if not equals or not name:
        raise ValueError(f"got the override {assignment!r}, expected the form a.b=value")
    for path in expand(name, setting_names(tree) if "*" in name else ()):
        tree = _replace(tree, tree, path, path.split("."), text.strip())
    return tree


def _parts_first(tree: Any, assignments: typing.Iterable[str]) -> list[str]:
    """The assignments in their order, but those first that choose a part, a part before those inside it."""
    others = list(assignments)
    choices = []
    for assignment in sorted(others, key=lambda one: one.partition("=")[0].count(".")):
        if "=" in assignment and _chooses_part(tree, assignment.partition("=")[0].strip()):
            tree = _assign(tree, assignment)
            choices.append(assignment)
    return choices + [one for one in others if one not in choices]


def _chooses_part(tree: Any, name: str) -> bool:
    *groups, last = name.split(".")
    for group in groups:
        if group not in setting_types(tree) or not _is_group(_child(tree, group)):
            return False
        tree = _child(tree, group)
    return takes_part(setting_types(tree).get(last))


def changes(part: Part, assignments: typing.Iterable[str]) -> dict[str, Any]:
    """Returns the values that texts ``a.b=value`` give to settings of a part, by their dotted names.

    Raises:
        ValueError: as in `apply_overrides`, with names that begin with ``model.``.
    """
    found: dict[str, Any] = {}
    root = _Model(part)
    for assignment in _parts_first(root, [f"model.{one}" for one in assignments]):
        root = _assign(root, assignment)
        name = assignment.partition("=")[0].strip().removeprefix("model.")
        for path in expand(name, root.model.names()):
            found[path] = root.model.value(path)
    return found


@dataclasses.dataclass(frozen=True)
class _Model:
    """So that names in errors are those of the command line."""

    model: Part


def setting_types(tree: Any) -> dict[str, Any]:
    """Returns the type of each setting directly inside a dataclass or a part.

    The fields of a dataclass that carry ``metadata={"resolved": True}`` are no settings.
    """
    if isinstance(tree, Part):
        return tree.types
    hints = typing.get_type_hints(type(tree))
    return {f.name: hints[f.name] for f in dataclasses.fields(tree) if not f.metadata.get("resolved")}


def setting_names(tree: Any, prefix: str = "") -> list[str]:
    """Returns the dotted names of all settings of a tree, parts included, in order of declaration."""
    names = []
    for name, hint in setting_types(tree).items():
        child = _child(tree, name)
        names += [prefix + name] if takes_part(hint) or not _is_group(child) else []
        names += setting_names(child, f"{prefix}{name}.") if _is_group(child) else []
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


def _replace(root: Any, tree: Any, name: str, path: list[str], text: str) -> Any:
    hints = setting_types(tree)
    first, rest = path[0], path[1:]
    if first not in hints:
        raise unknown_setting(name, setting_names(root))
    child = _child(tree, first)
    if rest:
        if child is None and takes_part(hints[first]):
            part = ".".join(name.split(".")[: -len(rest)])
            raise ValueError(
                f"setting {name!r}: there is no {part}, expected one: choose it with {part}=NAME first"
            )
        if not _is_group(child):
            raise unknown_setting(name, setting_names(root))
        new = _replace(root, child, name, rest, text)
    elif takes_part(hints[first]):
        new = _convert_part(text, hints[first], child, name)
    elif _is_group(child):
        inside = ", ".join(setting_types(child))
        raise ValueError(f"setting {name!r} is a group: set one of {inside} as {name}.<setting>=value")
    else:
        new = convert(text, hints[first], name)
    return tree.replace({first: new}) if isinstance(tree, Part) else dataclasses.replace(tree, **{first: new})


def _child(tree: Any, name: str) -> Any:
    return tree.settings[name] if isinstance(tree, Part) else getattr(tree, name)


def _is_group(value: Any) -> bool:
    return isinstance(value, Part) or (dataclasses.is_dataclass(value) and not isinstance(value, type))


def _convert_part(text: str, hint: Any, present: Part | None, name: str) -> Part | None:
    if may_be_absent(hint) and text.lower() in _ABSENT:
        return None
    try:
        return choose(text, kind_of(hint, present))
    except ValueError as error:
        raise ValueError(f"setting {name!r}: {error}") from None


def _convert(value: Any, hint: Any) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return _convert_union(value, arguments)
    if origin is typing.Literal:
        return next(choice for choice in _matches(value, arguments))
    if hint is None or hint is type(None):
        return _expect(None, value is None or (isinstance(value, str) and value.lower() in _ABSENT))
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
        value = _split(value)
    items = list(_expect(value, isinstance(value, (list, tuple))))
    if not arguments or len(arguments) == 1:
        return tuple(_convert(item, arguments[0] if arguments else Any) for item in items)
    if arguments[-1] is Ellipsis:
        return tuple(_convert(item, arguments[0]) for item in items)
    _expect(items, len(items) == len(arguments))
    return tuple(_convert(item, argument) for item, argument in zip(items, arguments, strict=True))


def _split(text: str) -> list[str]:
    """The parts between a text's commas, but for those in brackets; brackets around all are left out."""
    text = text.strip()
    if text[:1] in ("(", "[") and _depths(text).index(0) == len(text) - 1:
        text = text[1:-1]
    text = text.strip().removesuffix(",")
    cuts = [place for place, depth in enumerate(_depths(text)) if depth == 0 and text[place] == ","]
    return [text[a + 1 : b].strip() for a, b in itertools.pairwise([-1, *cuts, len(text)])] if text else []


def _depths(text: str) -> list[int]:
    """How many brackets are open after each character.

    Raises:
        ValueError: not all are closed.
    """
    depths = list(itertools.accumulate((c in "([") - (c in ")]") for c in text))
    _expect(text, not depths or depths[-1] == 0)
    return depths


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
