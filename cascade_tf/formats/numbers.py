"""Numbers in lines of text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from cascade_tf.coco_format.fields import A_NUMBER, wrong


def need_columns(words: Sequence[str], fields: Sequence[str], where: str) -> None:
    """Raises a ValueError unless a line has as many words as fields; see ``read_numbers``."""
    if len(words) != len(fields):
        counts = f"expected {len(fields)} columns, got {len(words)}"
        raise ValueError(f"{where}: {counts}; they are {', '.join(fields)}")


def read_numbers(words: Sequence[str], fields: Sequence[str], where: str) -> list[float]:
    """Returns the words of a line as numbers.

    Args:
        words: of the line.
        fields: what messages call them, one for each.
        where: what a message calls the line, such as ``"000001.txt, line 3"``.

    Raises:
        ValueError: there are more words or fewer, or one is no number that can be reckoned with.
    """
    need_columns(words, fields, where)
    for field, word in zip(fields, words, strict=True):
        if not is_number(word):
            raise ValueError(f"{where}: {wrong(field, word, A_NUMBER)}")
    return [float(word) for word in words]


def is_number(word: str) -> bool:
    """Whether a word is a number that can be reckoned with."""
    try:
        return math.isfinite(float(word))
    except ValueError:
        return False


def exact(numbers: Iterable[float]) -> str:
    """Returns numbers as words of a line, with as many digits as reading them back exactly takes.

    Fewer digits move boxes across thresholds and make scores equal that are not, so that a file of results
    would measure otherwise than the results themselves.

    >>> exact([0.5, 12, 1 / 3])
    '0.5 12.0 0.3333333333333333'
    """
    return " ".join(repr(float(number)) for number in numbers)
