"""Fields of records that strangers wrote and that may be broken.

A complaint names the field, what it is and what is expected; who reads the file puts the file and the record
in front. All messages read alike: ``results.json: detection 3: score is 'high', expected a finite number``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Container, Iterator, Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np

from cascade_tf.coco_format.numbers import is_finite_number

A_NUMBER = "a finite number"
"""What is expected of most fields."""

_SHOWN = 80


def shown(value: Any) -> str:
    """A value as messages show it, no longer than a line."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def wrong(field: str, value: Any, expected: str) -> ValueError:
    """The complaint about a field.

    >>> str(wrong("score", "high", A_NUMBER))
    "score is 'high', expected a finite number"
    """
    return ValueError(f"{field} is {shown(value)}, expected {expected}")


@contextlib.contextmanager
def record_at(place: str, record: Any) -> Iterator[str]:
    """Puts the place of a record in front of what is said of its fields.

    Args:
        place: the file, and which of its records it is.
        record: what stands there.

    Yields:
        The place.

    Raises:
        ValueError: what stands there is no record, or the block raises one.
    """
    try:
        if not isinstance(record, Mapping):
            raise ValueError(f"is {shown(record)}, expected a record")
        yield place
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None


def need(record: Mapping[str, Any], field: str, expected: str) -> Any:
    """Returns a field that has to be there.

    Raises:
        ValueError: it is missing.
    """
    if field not in record:
        raise ValueError(f"{field} is missing, expected {expected}")
    return record[field]


def number_in(record: Mapping[str, Any], field: str) -> float:
    """Returns a field that is a number.

    Raises:
        ValueError: it is missing, none, or none that can be reckoned with.
    """
    value = need(record, field, A_NUMBER)
    if not is_finite_number(value):
        raise wrong(field, value, A_NUMBER)
    return float(value)


def box_in(record: Mapping[str, Any], field: str = "bbox", *, signed: bool = False) -> list[float]:
    """Returns a field that is a box: x, y, width, height.

    Args:
        record: with the box.
        field: its name.
        signed: whether width and height may be negative.

    Raises:
        ValueError: it is missing, or is none.
    """
    sides = "width, height" if signed else "width >= 0, height >= 0"
    expected = f"four finite numbers: x, y, {sides}"
    value = need(record, field, expected)
    if (
        not isinstance(value, (Sequence, np.ndarray))
        or len(value) != 4
        or not all(map(is_finite_number, value))
        or (not signed and min(value[2:]) < 0)
    ):
        raise wrong(field, value, expected)
    return [float(side) for side in value]


def own_id_in(record: Mapping[str, Any], before: Container[Any], *, text: bool = False) -> Any:
    """Returns the ``id`` of a record.

    Args:
        record: with the id.
        before: the ids of the records before it.
        text: whether an id may be a text.

    Raises:
        ValueError: it is missing, none, or that of a record before.
    """
    expected = "a whole number or a text" if text else "a whole number"
    value = need(record, "id", expected)
    if isinstance(value, bool) or not isinstance(value, (Integral, str) if text else Integral):
        raise wrong("id", value, expected)
    if value in before:
        raise wrong("id", value, "one that no record before it has")
    return value


def known_in(record: Mapping[str, Any], field: str, known: Container[Any], expected: str) -> Any:
    """Returns a field that is the id of something known.

    Args:
        record: with the id.
        field: its name.
        known: the ids that there are.
        expected: what these are, for messages.

    Raises:
        ValueError: it is missing, or is none of them.
    """
    value = need(record, field, expected)
    try:
        # True would be the same as 1.
        is_known = not isinstance(value, bool) and value in known
    except TypeError:  # a list is no id
        is_known = False
    if not is_known:
        raise wrong(field, value, expected)
    return value


def some(values: Sequence[Any], most: int = 5) -> str:
    """The first of some values, and how many there are if not all are shown."""
    rest = f", ... ({len(values)} in all)" if len(values) > most else ""
    return ", ".join(map(shown, values[:most])) + rest
