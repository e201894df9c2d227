"""Numbers in lines of text."""

from __future__ import annotations

import math
from collections.abc import Iterable


def read_numbers(words: Iterable[str], where: str) -> list[float]:
    """Returns words of a line as numbers.

    Args:
        words: of the line.
        where: what a message calls it, such as ``"000001.txt, line 3"``.

    Raises:
        ValueError: one is not a number, or is none that can be reckoned with.
    """
    try:
        numbers = [float(word) for word in words]
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"{where}: numbers must be finite, got {numbers}")
    return numbers


def exact(numbers: Iterable[float]) -> str:
    """Returns numbers as words of a line, with as many digits as reading them back exactly takes.

    Fewer digits move boxes across thresholds and make scores equal that are not, so that a file of results
    would measure otherwise than the results themselves.

    >>> exact([0.5, 12, 1 / 3])
    '0.5 12.0 0.3333333333333333'
    """
    return " ".join(repr(float(number)) for number in numbers)
