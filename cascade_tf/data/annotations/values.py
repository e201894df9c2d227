"""Values of a record: what counts as a number, and how messages call records and values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cascade_tf.coco_format.numbers import as_flag

PLACE = "annotated_in"
"""Of records that are made of another layout's: the file, and what of it, that messages name."""


def record_name(kind: str, index: int, record: Any) -> str:
    """How a message calls a record: by place, since ids may be missing or wrong."""
    if isinstance(record, dict) and is_text(record.get(PLACE)):
        return record[PLACE]
    known = f" (id {record['id']!r})" if isinstance(record, dict) and "id" in record else ""
    return f"{kind}[{index}]{known}"


def is_integer(value: Any) -> bool:
    """Whether a value is an integer as JSON writes one, of 64 bits: tensors hold no others."""
    return isinstance(value, int) and not isinstance(value, bool) and -(1 << 63) <= value < 1 << 63


def is_text(value: Any) -> bool:
    """Whether a value is a text that is not empty and that files and terminals can hold, too."""
    # JSON can write halves of a character, such as "\\ud800", which have no UTF-8.
    return isinstance(value, str) and bool(value) and not any("\ud800" <= sign <= "\udfff" for sign in value)


def is_ignored(record: Mapping[str, Any]) -> bool:
    """Whether an annotation says that its object does not count, as the COCO protocol understands it."""
    return as_flag(record.get("ignore")) == 1


def some(values: list[int], limit: int = 10) -> str:
    """The first values in order, and how many there are if not all are shown."""
    shown = ", ".join(str(value) for value in sorted(values)[:limit])
    return shown + (f", ... ({len(values)} in all)" if len(values) > limit else "")


def first_names(names: Sequence[str], limit: int = 10) -> str:
    """The first names, and how many there are if not all are shown."""
    shown = ", ".join(names[:limit])
    return shown + (f", ... ({len(names)} in all)" if len(names) > limit else "")
