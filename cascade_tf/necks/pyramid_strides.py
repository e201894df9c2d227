"""Strides of the levels that a feature pyramid makes."""

from __future__ import annotations

import itertools
from collections.abc import Mapping


def pyramid_strides(
    strides: Mapping[str, float], first_level: int, num_extra_levels: int = 0
) -> dict[str, float]:
    """Pixels per cell of the levels ``P2``, ``P3`` and so on.

    Args:
        strides: of the maps that go in; their names sort from fine to coarse.
        first_level: number of the finest level.
        num_extra_levels: coarser levels than the coarsest map, each of twice the stride.

    Raises:
        ValueError: the strides do not double from map to map, so that their sums would not lie on each other.
    """
    names = sorted(strides)
    values = [strides[name] for name in names]
    if any(coarse != 2 * fine for fine, coarse in itertools.pairwise(values)):
        raise ValueError(
            f"neck: got maps {', '.join(names)} of {', '.join(f'{value:g}' for value in values)} pixels per "
            "cell, expected twice as many from map to map"
        )
    values += [values[-1] * 2**number for number in range(1, num_extra_levels + 1)]
    return {f"P{level}": value for level, value in enumerate(values, start=first_level)}
