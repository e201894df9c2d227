"""Numbers in sentences for people."""

from __future__ import annotations


def count_of(number: int, one: str, many: str) -> str:
    """A number with what it counts.

    Args:
        number: 0 or more.
        one: what follows a 1.
        many: what follows any other number.

    >>> count_of(1, "class", "classes"), count_of(1200, "object is", "objects are")
    ('1 class', '1,200 objects are')
    """
    return f"{number:,} {one if number == 1 else many}"
