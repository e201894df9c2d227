"""Means and differences over the seeds of a study, and which claims they show."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple

import numpy as np

from cascade_tf.analysis.paired import PairedDifference, paired_difference
from cascade_tf.study.plan import Claim, Study

Numbers = Mapping[str, float]


class Verdict(Enum):
    """What the interval of a claim's sum says: it lies above zero, holds zero, or lies below."""

    SHOWN = "shown"
    NOT_SHOWN = "not shown"
    CONTRADICTED = "contradicted"
    UNDECIDED = "too few runs"


class Decided(NamedTuple):
    """A claim with what was found.

    Attributes:
        claim: the claim.
        found: its sum over the seeds, as fractions; None where no run has all of its numbers.
        verdict: what that says.
    """

    claim: Claim
    found: PairedDifference | None
    verdict: Verdict


@dataclasses.dataclass(frozen=True)
class StudyResult:
    """What is known of a study so far. Numbers are fractions.

    Attributes:
        study: what was compared.
        means: row -> number -> mean over the seeds that are there, with its interval (as the difference from
            zero).
        differences: row -> number -> difference from the row that it is compared with, over the seeds that
            both have; the baseline has none.
        claims: in the study's order.
        seeds: row -> the seeds that are there.
    """

    study: Study
    means: dict[str, dict[str, PairedDifference]]
    differences: dict[str, dict[str, PairedDifference]]
    claims: list[Decided]
    seeds: dict[str, list[int]]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for ``json``."""
        return {
            "study": self.study.name,
            "baseline": self.study.baseline,
            "rows": {
                row.name: {
                    "config": row.config,
                    "changes": [*self.study.changes, *row.changes],
                    "seeds": self.seeds[row.name],
                    "versus": self.study.versus(row),
                    "numbers": {name: _plain(value) for name, value in self.means[row.name].items()},
                    "differences": {
                        name: _plain(value) for name, value in self.differences.get(row.name, {}).items()
                    },
                    "paper": dict(row.paper),
                }
                for row in self.study.rows
            },
            "claims": [
                {
                    "name": one.claim.name,
                    "sentence": one.claim.sentence,
                    "source": one.claim.source,
                    "verdict": one.verdict.value,
                    **({"sum": _plain(one.found)} if one.found else {}),
                }
                for one in self.claims
            ],
        }


def summarize(study: Study, measured: Mapping[tuple[str, int], Numbers]) -> StudyResult:
    """Means and intervals of a study's numbers.

    Args:
        study: what was compared.
        measured: (row, seed) -> numbers as fractions, of the runs that have been measured.
    """
    seeds = {row.name: [seed for seed in study.seeds if (row.name, seed) in measured] for row in study.rows}
    means = {
        name: _over_seeds(study.numbers, [measured[name, seed] for seed in there])
        for name, there in seeds.items()
    }
    differences = {}
    for row in study.rows:
        if other := study.versus(row):
            shared = [seed for seed in seeds[row.name] if seed in seeds[other]]
            differences[row.name] = _over_seeds(
                study.numbers,
                [measured[row.name, seed] for seed in shared],
                [measured[other, seed] for seed in shared],
            )
    return StudyResult(
        study, means, differences, [_decide(one, study, measured) for one in study.claims], seeds
    )


def _over_seeds(
    names: Sequence[str], found: Sequence[Numbers], baseline: Sequence[Numbers] | None = None
) -> dict[str, PairedDifference]:
    result = {}
    for name in names:
        values = [one.get(name, math.nan) for one in found]
        others = [0.0] * len(values) if baseline is None else [one.get(name, math.nan) for one in baseline]
        if values and np.isfinite([*values, *others]).all():
            result[name] = paired_difference(others, values)
    return result


def _decide(claim: Claim, study: Study, measured: Mapping[tuple[str, int], Numbers]) -> Decided:
    sums = []
    for seed in study.seeds:
        values = [
            weight * measured.get((row, seed), {}).get(number, math.nan)
            for weight, row, number in claim.terms
        ]
        if np.isfinite(values).all():
            sums.append(math.fsum(values))
    if not sums:
        return Decided(claim, None, Verdict.UNDECIDED)
    found = paired_difference([0.0] * len(sums), sums)
    return Decided(claim, found, _verdict(found))


def _verdict(found: PairedDifference) -> Verdict:
    if math.isnan(found.margin):
        return Verdict.UNDECIDED
    low, high = found.interval
    if low > 0:
        return Verdict.SHOWN
    return Verdict.CONTRADICTED if high < 0 else Verdict.NOT_SHOWN


def _plain(value: PairedDifference) -> dict[str, Any]:
    return {
        "mean": value.mean,
        "margin": None if math.isnan(value.margin) else value.margin,
        "values": value.differences.tolist(),
    }
