"""Parts as values: a constructor with settings that is called later, by the part that it belongs to.

A detector is a tree of them: ``part(two_stage, backbone=part(ResNet, depth=101), ...)``. The constructors'
signatures are the schema of their settings, so that nothing is declared a second time. A constructor's own
parts are among its settings, and it calls them with what only it knows: a number of classes, a name.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import importlib
import inspect
import re
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

PACKAGE = "cascade_tf"
# Where parts live.
PACKAGES = ("backbones", "necks", "proposals", "pooling", "heads", "layers", "models")
# Arguments that the owner of a part or Keras decides: they are no settings.
_NOT_SETTINGS = (
    *("category_ids", "num_classifiers", "regresses"),
    *("name", "dtype", "supports_masking", "inner_layers"),
)
_SHOWN = 30
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """A constructor and some of its settings; the others have the constructor's defaults.

    Attributes:
        constructor: a class or function; those of its arguments that have a default are settings.
        given: the settings that differ from the defaults, among them ``Part`` values.
    """

    constructor: Callable[..., Any]
    given: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __call__(self, *arguments: Any, **more: Any) -> Any:
        """Calls the constructor.

        Args:
            *arguments: what its owner knows.
            **more: the same by name, and settings under dotted names that replace the part's.
        """
        own = {name: value for name, value in more.items() if name not in _arguments(self.constructor)}
        rest = {name: value for name, value in more.items() if name not in own}
        return self.constructor(*arguments, **self.replace(own).given, **rest)

    def __eq__(self, other: object) -> bool:
        """Whether they make the same."""
        if not isinstance(other, Part):
            return NotImplemented
        return self.constructor is other.constructor and self.settings == other.settings

    def __hash__(self) -> int:
        return hash(self.constructor)

    def asks_for(self, argument: str) -> bool:
        """Whether the constructor has an argument of this name that only the part's owner knows."""
        return argument in _arguments(self.constructor)

    @property
    def types(self) -> dict[str, Any]:
        """The declared type of each setting."""
        return _types(self.constructor)

    @property
    def settings(self) -> dict[str, Any]:
        """Every setting with its value, the constructor's defaults included."""
        return {**_defaults(self.constructor), **self.given}

    @property
    def name(self) -> str:
        """What the constructor is called, such as ``"ResNet"``."""
        return self.constructor.__name__

    def replace(self, settings: Mapping[str, Any]) -> Part:
        """The same part with other settings.

        Args:
            settings: values by name; ``"head.units"`` reaches into the part that is the setting ``head``, and
                ``"*.recompute"`` into every part, however deep, that has a setting of that name.

        Raises:
            TypeError: there is no such setting; the message says what may have been meant.
            ValueError: a part is put where one of another kind belongs.
        """
        part = self
        for name, value in settings.items():
            for path in expand(name, part.names()):
                part = part._with(path, value, part, name)
        return part

    def _with(self, path: str, value: Any, root: Part, name: str) -> Part:
        first, _, rest = path.partition(".")
        child = self.settings.get(first)
        if rest and isinstance(child, Part):
            value = child._with(rest, value, root, name)
        elif rest and child is None and takes_part(self.types.get(first)):
            absent = name.removesuffix(f".{rest}")
            raise TypeError(f"setting {name!r}: there is no {absent}, choose a part for it first")
        elif rest or first not in self.types:
            raise TypeError(str(unknown_setting(name, root.names())))
        else:
            check_kind(name, kind_of(self.types[first], child if isinstance(child, Part) else None), value)
        return Part(self.constructor, {**self.given, first: value})

    def walk(self, prefix: str = "") -> Iterator[tuple[str, Any]]:
        """Dotted names and values of all settings of this part and of those inside, parts included."""
        for name, value in self.settings.items():
            yield prefix + name, value
            if isinstance(value, Part):
                yield from value.walk(f"{prefix}{name}.")

    def names(self, prefix: str = "") -> list[str]:
        """Dotted names of all settings of this part and of those inside it."""
        return [name for name, _ in self.walk(prefix)]

    def value(self, path: str) -> Any:
        """The value of a setting by its dotted name; None where the part that would have it is not there."""
        value: Any = self
        for name in path.split("."):
            if not isinstance(value, Part):
                return None
            value = value.settings.get(name)
        return value


def expand(name: str, known: Iterable[str]) -> list[str]:
    """The settings that a name with ``*`` stands for, which matches any number of parts; else itself.

    Args:
        name: dotted, such as ``"heads.*.canonical_size"``.
        known: the dotted names of all settings.
    """
    if "*" not in name:
        return [name]
    pattern = re.compile(re.escape(name).replace(r"\*\.", r"(?:\w+\.)*"))
    return [one for one in known if pattern.fullmatch(one)] or [name]


def part(constructor: Callable[..., Any], /, **settings: Any) -> Part:
    """Returns a part.

    Args:
        constructor: a class or function of this package.
        **settings: those that differ from its defaults.

    Raises:
        TypeError: the constructor has no such setting.
    """
    return Part(constructor).replace(settings)


def of_kind(kind: str) -> Callable:
    """Marks a function as a constructor of a kind of parts: those of a kind can replace each other."""

    def mark(constructor: Any) -> Any:
        constructor.kind = kind
        return constructor

    return mark


def choose(name: str, kind: str | None) -> Part:
    """The part with a constructor's name and defaults, which ``--set model.backbone=vgg16`` puts in.

    Args:
        name: of a constructor; capitals and underscores may be left out.
        kind: that it has to be of; None: any.

    Raises:
        ValueError: there is no such part.
    """
    found = constructors(kind)
    for known, constructor in found.items():
        if _plain(known) == _plain(name):
            return Part(constructor)
    what = "a part" if kind is None else f"a part of the kind {kind!r}"
    raise ValueError(f"got {name!r}, expected {what}: {', '.join(sorted(found))}")


def check_kind(name: str, kind: str | None, value: Any) -> None:
    """Refuses a part of another kind than a setting has, where the setting has one.

    Args:
        name: of the setting.
        kind: see `kind_of`.
        value: of the setting; what is no part passes.

    Raises:
        ValueError: it is of another kind.
    """
    found = getattr(value.constructor, "kind", None) if isinstance(value, Part) else None
    if kind is not None and found is not None and found != kind:
        known = ", ".join(sorted(constructors(kind)))
        raise ValueError(
            f"setting {name!r}: got {value.name!r} of the kind {found!r}, "
            f"expected a part of the kind {kind!r}: {known}"
        )


def constructors(kind: str | None = None) -> dict[str, Callable[..., Any]]:
    """This package's constructors of parts by their names, all of them or those of one kind."""
    modules = [importlib.import_module(f"{PACKAGE}.{package}") for package in PACKAGES]
    public = [getattr(module, name) for module in modules for name in module.__all__]
    return {c.__name__: c for c in public if _is_constructor(c) and (kind is None or c.kind == kind)}


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def find_part(module_and_name: str) -> Part:
    """The part of a constructor that is named as `constructor_name` names it.

    Only public constructors of this package that are meant as parts are found: a file that somebody sends
    cannot make another machine call anything else.

    Raises:
        ValueError: there is no such part.
    """
    module_name, _, name = module_and_name.partition(":")
    found: Any = None
    inside = module_name.startswith(PACKAGE + ".") and all(p.isidentifier() for p in module_name.split("."))
    if inside and name.isidentifier() and not name.startswith("_"):
        try:
            found = getattr(importlib.import_module(module_name), name, None)
        except ModuleNotFoundError:
            found = None
    if not _is_constructor(found) or found.__module__ != module_name:
        raise ValueError(f"got the part {module_and_name!r}, expected a public part of {PACKAGE}")
    return Part(found)


def constructor_name(part: Part) -> str:
    """``module:name`` of a part's constructor.

    Raises:
        ValueError: it is no public part of this package.
    """
    name = f"{part.constructor.__module__}:{part.constructor.__qualname__}"
    find_part(name)
    return name


def unknown_setting(name: str, known: Iterable[str]) -> ValueError:
    """Returns the error for a name that is no setting, with the likeliest name that is one."""
    known = list(known)
    group, _, last = name.rpartition(".")
    meant = [k for k in known if k.rpartition(".")[2] == last]
    meant = meant or [
        k for k in known if difflib.get_close_matches(last, [k.rpartition(".")[2]], cutoff=0.75)
    ]
    meant = [k for k in meant if k.rpartition(".")[0] == group] or meant
    meant = meant or difflib.get_close_matches(name, known, n=1)
    hint = (
        f"did you mean {' or '.join(repr(m) for m in meant[:3])}?"
        if meant
        else f"known are {', '.join(known[:_SHOWN])}{', ...' if len(known) > _SHOWN else ''}"
    )
    return ValueError(f"unknown setting {name!r}; {hint}")


def _is_constructor(value: Any) -> bool:
    return (inspect.isfunction(value) or inspect.isclass(value)) and isinstance(
        getattr(value, "kind", None), str
    )


@functools.cache
def _parameters(constructor: Callable) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(constructor, eval_str=True).parameters
    return {
        name: parameter
        for name, parameter in parameters.items()
        if parameter.kind in _NAMED
        and parameter.default is not inspect.Parameter.empty
        and name not in _NOT_SETTINGS
    }


@functools.cache
def _arguments(constructor: Callable) -> frozenset[str]:
    """Arguments that are no settings: what the owner knows."""
    named = {n for n, p in inspect.signature(constructor).parameters.items() if p.kind in _NAMED}
    return frozenset(named | {"name", "dtype"}) - frozenset(_parameters(constructor))


def _defaults(constructor: Callable) -> dict[str, Any]:
    return {name: parameter.default for name, parameter in _parameters(constructor).items()}


def _types(constructor: Callable) -> dict[str, Any]:
    empty = inspect.Parameter.empty
    return {
        name: Any if parameter.annotation is empty else parameter.annotation
        for name, parameter in _parameters(constructor).items()
    }


def takes_part(hint: Any) -> bool:
    """Whether a declared type is that of a part, or of one that may be absent."""
    return hint is Part or Part in typing.get_args(_bare(hint))


def may_be_absent(hint: Any) -> bool:
    """Whether the declared type of a part allows none: ``Annotated[Part | None, "neck"]``, with the kind."""
    return type(None) in typing.get_args(_bare(hint))


def kind_of(hint: Any, present: Part | None) -> str | None:
    """The kind that a part has to be of: the declared one, else that of the part that is there."""
    for note in getattr(hint, "__metadata__", ()):
        return note
    return None if present is None else getattr(present.constructor, "kind", None)


def _bare(hint: Any) -> Any:
    return hint.__origin__ if typing.get_origin(hint) is typing.Annotated else hint
