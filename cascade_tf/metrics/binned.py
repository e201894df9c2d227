"""Shares above thresholds and means over bins."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np


def shares_above(overlaps: np.ndarray, thresholds: Iterable[float]) -> list[float]:
    """The share of hypotheses whose IoU is each threshold or more, 0..1; 0 of none.

    >>> shares_above(np.array([0.2, 0.5, 0.9, 0.6]), (0.5, 0.6))
    [0.75, 0.5]
    """
    return [float(np.mean(overlaps >= threshold)) if len(overlaps) else 0.0 for threshold in thresholds]


class Curve(NamedTuple):
    """Means of one quantity over bins of another.

    Attributes:
        centers: [k] of the bins.
        means: [k] NaN where a bin is empty.
        counts: [k] values in each.
    """

    centers: np.ndarray
    means: np.ndarray
    counts: np.ndarray


def binned_means(positions: np.ndarray, values: np.ndarray, edges: np.ndarray) -> Curve:
    """Means of values over bins of their positions.

    Args:
        positions: [n].
        values: [n].
        edges: [k + 1] rising; a bin holds its lower edge, the last one its upper edge too.
    """
    values = np.asarray(values, np.float64)
    counts, _ = np.histogram(positions, edges)
    sums, _ = np.histogram(positions, edges, weights=values)
    means = np.full(len(counts), np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return Curve((edges[:-1] + edges[1:]) / 2, means, counts)
