"""The account of an import: every tensor and every variable."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from absl import logging

SHOWN = 8


class ImportReport(NamedTuple):
    """What became of a checkpoint's tensors and of a model's variables.

    Attributes:
        source: name of the family.
        path: of the checkpoint.
        loaded: canonical name of a variable -> names of the tensors that it came from; none where the family
            implies a constant.
        unused: name of a tensor -> why it was not loaded.
        missing: canonical name of a variable that kept its initial value -> why.
        settings: what the weights expect of the network and its input, as arguments of ``cascade_rcnn_fpn``.
        assumed: those of a new detector's settings that neither the checkpoint nor the caller said, with the
            usual values that they got.
    """

    source: str
    path: str
    loaded: dict[str, tuple[str, ...]]
    unused: dict[str, str]
    missing: dict[str, str]
    settings: dict[str, Any]
    assumed: dict[str, Any]

    def to_text(self) -> str:
        """The report as lines: counts, and the names grouped by their reason."""
        lines = [f"{self.path} ({self.source}): loaded {len(self.loaded)} variables"]
        copies = loaded_twice(self.loaded)
        if copies:
            lines.append(f"  {len(copies)} tensors loaded into several variables each: {listed(copies)}")
        lines += _by_reason("not loaded", self.unused, "tensors")
        lines += _by_reason("left at their initial values", self.missing, "variables")
        if self.assumed:
            values = ", ".join(f"{name}={value}" for name, value in self.assumed.items())
            lines.append(f"  {len(self.assumed)} settings assumed, which weights do not tell: {values}")
        return "\n".join(lines)

    def to_lines(self) -> str:
        """One line for each variable, each tensor that was not loaded, and each setting that was assumed."""
        lines = [f"{name} <- {', '.join(sources) or 'a constant'}" for name, sources in self.loaded.items()]
        lines += [f"{name}: left at its initial value ({reason})" for name, reason in self.missing.items()]
        lines += [f"{name}: not loaded ({reason})" for name, reason in self.unused.items()]
        lines += [f"{name} = {value}: assumed" for name, value in self.assumed.items()]
        return "\n".join(lines) + "\n"


def loaded_twice(loaded: Mapping[str, tuple[str, ...]]) -> dict[str, list[str]]:
    """The tensors that several variables came from, each with these variables.

    >>> loaded_twice({"head1.fc1.bias": ("fc6_b",), "head2.fc1.bias": ("fc6_b",), "rpn.hidden.bias": ("b",)})
    {'fc6_b': ['head1.fc1.bias', 'head2.fc1.bias']}

    Args:
        loaded: see ``ImportReport``.
    """
    variables: dict[str, list[str]] = {}
    for name, tensors in loaded.items():
        for tensor in tensors:
            variables.setdefault(tensor, []).append(name)
    return {tensor: names for tensor, names in variables.items() if len(names) > 1}


def log_other_names(source: str, theirs: Iterable[str], ours: Iterable[str]) -> None:
    """Says in the log that classifiers keep their weights under other names of the classes.

    Args:
        source: of the weights.
        theirs: names of the weights' classes.
        ours: names of the detector's classes, as many.
    """
    logging.warning(
        "%s: its classifiers are kept for classes of other names: %s; in its own order they are: %s",
        source,
        ", ".join(ours),
        ", ".join(theirs),
    )


def listed(names: Iterable[str], limit: int = SHOWN) -> str:
    """The first names, and how many more there are.

    >>> listed(["a", "b", "c"], limit=2)
    'a, b and 1 more'
    """
    every = list(names)
    text = ", ".join(every[:limit])
    return text if len(every) <= limit else f"{text} and {len(every) - limit} more"


def _by_reason(title: str, reasons: Mapping[str, str], what: str) -> list[str]:
    groups: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        groups.setdefault(reason, []).append(name)
    return [f"  {len(names)} {what} {title} ({reason}): {listed(names)}" for reason, names in groups.items()]
