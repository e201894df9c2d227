"""The mean difference of two detectors over paired runs, and how sure it is (Student's t)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

CONFIDENCE = 0.95


class PairedDifference(NamedTuple):
    """What two detectors differ by, over runs of which each has a partner.

    Attributes:
        differences: [n] float64, of each pair.
        mean: of the differences.
        std: their standard deviation, over n - 1; NaN of one pair.
        margin: half the width of the interval around the mean; NaN of one pair.
    """

    differences: np.ndarray
    mean: float
    std: float
    margin: float

    @property
    def interval(self) -> tuple[float, float]:
        """The two ends of the interval."""
        return self.mean - self.margin, self.mean + self.margin


def paired_difference(
    baseline: Sequence[float], against: Sequence[float], confidence: float = CONFIDENCE
) -> PairedDifference:
    """Measures ``against - baseline`` over pairs.

    The interval is that of Student's t for the mean of the differences: what the two runs of a pair share,
    such as a seed, does not widen it.

    Args:
        baseline: n numbers.
        against: those of their partners, in the same order.
        confidence: how often such an interval holds the true mean, in (0, 1).

    Raises:
        ValueError: no pairs, numbers without a partner, a number that is not finite, or a confidence outside
            of (0, 1).
    """
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence: got {confidence}, expected a share between 0 and 1")
    if not baseline or len(baseline) != len(against):
        raise ValueError(f"got {len(baseline)} and {len(against)} numbers, expected pairs, one or more")
    differences = np.asarray(against, np.float64) - np.asarray(baseline, np.float64)
    if not np.isfinite(differences).all():
        raise ValueError(f"got differences of {differences.tolist()}, expected finite ones")
    count = len(differences)
    mean = float(differences.mean())
    if count == 1:
        return PairedDifference(differences, mean, math.nan, math.nan)
    std = float(differences.std(ddof=1))
    margin = student_quantile(0.5 + 0.5 * confidence, count - 1) * std / math.sqrt(count)
    return PairedDifference(differences, mean, std, margin)


def student_quantile(probability: float, degrees: int) -> float:
    """The value that a variable with Student's t distribution stays below with a probability.

    Args:
        probability: in (0, 1).
        degrees: of freedom, 1 or more.

    Raises:
        ValueError: an argument outside of its range.

    >>> round(student_quantile(0.975, 4), 4)
    2.7764
    """
    if not 0.0 < probability < 1.0 or degrees < 1:
        raise ValueError(
            f"got probability={probability}, degrees={degrees}; expected one in (0, 1) and 1 or more"
        )
    if probability < 0.5:
        return -student_quantile(1.0 - probability, degrees)
    # With t = sqrt(degrees) tan(angle) all values lie between two angles.
    wanted, low, high = 2.0 * probability - 1.0, 0.0, 0.5 * math.pi
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if _share_within(middle, degrees) < wanted else (low, middle)
    return math.sqrt(degrees) * math.tan(0.5 * (low + high))


def _share_within(angle: float, degrees: int) -> float:
    """Probability of ``|t| < sqrt(degrees) tan(angle)``, a finite sum (Abramowitz & Stegun, 26.7.3 and 4)."""
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = degrees % 2
    term, total = cosine if odd else 1.0, 0.0
    for power in range(odd, degrees - 1, 2):
        total += term
        term *= cosine**2 * (power + 1) / (power + 2)
    return (angle + sine * total) * 2.0 / math.pi if odd else sine * total
