"""Numbers as labelling tools write them in JSON: as text, and whole numbers as fractions."""

from __future__ import annotations

import math
import re
import sys
from numbers import Integral, Real
from typing import Any

# Whole numbers above are no ids: tensors hold them in 64 bits.
_MOST = 2**63
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?\s*", re.ASCII)
_MOST_CHARACTERS = 40
_FLAGS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}


def as_integer(value: Any) -> int | None:
    """Returns the whole number that a value stands for; None where it is none.

    >>> [as_integer(value) for value in (7, 7.0, "7", "7.0", 7.5, True, None, "seven")]
    [7, 7, 7, 7, None, None, None, None]
    """
    number = as_number(value)
    if number is None or isinstance(number, Integral):
        return None if number is None else int(number)
    return int(number) if abs(number) < _MOST and number == int(number) else None


def as_number(value: Any) -> Any:
    """Returns the number that a value stands for, a number as it is; None where it is none.

    >>> [as_number(value) for value in (7, 0.5, "30.4", " 1e2 ", "1,5", "nan", True, None)]
    [7, 0.5, 30.4, 100.0, None, None, None, None]
    """
    if isinstance(value, str):
        if len(value) > _MOST_CHARACTERS or not _NUMBER.fullmatch(value):
            return None
        return int(value) if value.strip().lstrip("+-").isdigit() else float(value)
    return value if isinstance(value, Real) and not isinstance(value, bool) else None


def is_finite_number(value: Any) -> bool:
    """Whether a value is a number, and finite as a float."""
    number: Any = value if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    # Whole numbers of hundreds of digits are more than any float.
    return bool(-sys.float_info.max <= number <= sys.float_info.max)


def as_flag(value: Any) -> int | None:
    """Returns 0 or 1 for what stands for it, null for 0; None for everything else.

    >>> [as_flag(value) for value in (None, True, 1.0, "0", "false", 2, "maybe")]
    [0, 1, 1, 0, 0, None, None]
    """
    if value is None or isinstance(value, bool):
        return int(bool(value))
    if isinstance(value, str):
        return _FLAGS.get(value.strip().lower())
    number = as_integer(value)
    return number if number in (0, 1) else None
