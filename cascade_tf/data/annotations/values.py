"""Values of a record: what counts as a number, and how messages call records and values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def record_name(kind: str, index: int, record: Any) -> str:
    """How a message calls a record: by place, since ids may be missing or wrong."""
    known = f" (id {record['id']!r})" if isinstance(record, dict) and "id" in record else ""
    return f"{kind}[{index}]{known}"


def is_integer(value: Any) -> bool:
    """Whether a value is an integer as JSON writes one, of 64 bits: tensors hold no others."""
    return isinstance(value, int) and not isinstance(value, bool) and -(1 << 63) <= value < 1 << 63


def is_text(value: Any) -> bool:
    """Whether a value is a text that is not empty and that files and terminals can hold, too."""
    # JSON can write halves of a character, such as "\\ud800", which have no UTF-8.
    return isinstance(value, str) and bool(value) and not any("\ud800" <= sign <= "\udfff" for sign in value)


def some(values: list[int], limit: int = 10) -> str:
    """The first values in order, and how many there are if not all are shown."""
    shown = ", ".join(str(value) for value in sorted(values)[:limit])
    return shown + (f", ... ({len(values)} in all)" if len(values) > limit else "")


def first_names(names: Sequence[str], limit: int = 10) -> str:
    """The first names, and how many there are if not all are shown."""
    shown = ", ".join(names[:limit])
    return shown + (f", ... ({len(names)} in all)" if len(names) > limit else "")
