"""Strides of the levels that a feature pyramid makes."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from cascade_tf.layers.map_order import fine_to_coarse


def pyramid_strides(
    strides: Mapping[str, float], first_level: int, num_extra_levels: int = 0, or_equal: bool = False
) -> dict[str, float]:
    """Pixels per cell of the levels ``P2``, ``P3`` and so on.

    Args:
        strides: of the maps that go in, whose names say their order.
        first_level: number of the finest level.
        num_extra_levels: coarser levels than the coarsest map, each of twice the stride.
        or_equal: takes maps of the same stride as the one before, too.

    Raises:
        ValueError: the strides do not double from map to map, so that their sums would not lie on each other.
    """
    names = fine_to_coarse(list(strides))
    values = [strides[name] for name in names]
    factors = (1, 2) if or_equal else (2,)
    if not all(
        coarse in [fine * factor for factor in factors] for fine, coarse in itertools.pairwise(values)
    ):
        raise ValueError(
            f"neck: got maps {', '.join(names)} of {', '.join(f'{value:g}' for value in values)} pixels per "
            f"cell, expected twice as many from map to map{' or as many' if or_equal else ''}"
        )
    values += [values[-1] * 2**number for number in range(1, num_extra_levels + 1)]
    return {f"P{level}": value for level, value in enumerate(values, start=first_level)}
