"""Boxes whose right edge lies left of their left one, or whose lower one lies above their upper one."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from absl import logging


class NegativeSides:
    """Counts boxes with a negative width or height, and tells of them once.

    The benchmarks' own programs take such boxes, which overlap with nothing, so they stay. Where there are
    many, a column holds something else, such as widths in place of edges.
    """

    def __init__(self) -> None:
        self._count = 0
        self._first = ""

    def look(self, sides: np.ndarray, places: Sequence[str]) -> None:
        """Looks at some boxes.

        Args:
            sides: [n, 2] widths and heights.
            places: what messages call the record of each.
        """
        rows, columns = np.nonzero(sides < 0)
        if not len(rows):
            return
        if not self._count:
            name = ("width", "height")[columns[0]]
            self._first = f"{places[rows[0]]}: {name} is {sides[rows[0], columns[0]]:g}"
        self._count += len(np.unique(rows))

    def tell(self, source: str | os.PathLike[str]) -> None:
        """Warns of what was seen; nothing where all was well."""
        if self._count:
            boxes = "a box has" if self._count == 1 else f"{self._count} boxes have"
            logging.warning(
                "%s: %s a negative width or height and cannot overlap with anything; the first is %s",
                source,
                boxes,
                self._first,
            )
