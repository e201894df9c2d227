"""Detections and objects that meet: in the same image, or in the same image and class.

Most such meetings have few of either: those of about equal numbers are padded and looked at together, which
is why NumPy takes seconds where a loop over images takes a minute.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np


class Groups(NamedTuple):
    """Rows that share a key, group after group.

    Attributes:
        rows: [n] all rows, sorted by group.
        keys: [m] what is common to the rows of each group, rising.
        starts: [m] where in ``rows`` each group begins.
        counts: [m] how many rows it has.
    """

    rows: np.ndarray
    keys: np.ndarray
    starts: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, keys: np.ndarray, rows: np.ndarray) -> Groups:
        """Groups rows that are sorted by their keys."""
        return cls(rows, *np.unique(keys[rows], return_index=True, return_counts=True))

    def places(self, groups: np.ndarray) -> np.ndarray:
        """[groups, most] where in ``rows`` the members of some groups are, -1 as padding."""
        counts = self.counts[groups][:, None]
        columns = np.arange(counts.max(initial=0))
        return np.where(columns < counts, self.starts[groups][:, None] + columns, -1)


def meetings(found: Groups, present: Groups, most: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields places in ``found`` [N, D] and rows of objects [N, G] of meetings of about equal numbers.

    Both have -1 as padding.

    Args:
        found: the detections.
        present: the objects.
        most: pairs of a detection and an object that are yielded at once, for the sake of memory.
    """
    _, of_found, of_present = np.intersect1d(
        found.keys, present.keys, assume_unique=True, return_indices=True
    )
    counts = np.stack([found.counts[of_found], present.counts[of_present]], axis=1)
    # Numbers that the next power of two rounds up to the same.
    kinds, kind_of = np.unique(np.ceil(np.log2(counts)).astype(int), axis=0, return_inverse=True)
    for kind, (detections, objects) in enumerate(kinds):
        alike = np.flatnonzero(kind_of == kind)
        for start in range(0, len(alike), size := max(1, most >> (detections + objects))):
            some = alike[start : start + size]
            places = present.places(of_present[some])
            yield found.places(of_found[some]), np.where(places < 0, -1, present.rows[places])
