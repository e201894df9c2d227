"""Means and differences over the seeds of a study, and which claims they show."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple

import numpy as np

from cascade_tf.analysis.paired import PairedDifference, paired_difference
from cascade_tf.study.plan import Claim, Row, Study, Sum

Numbers = Mapping[str, float]


class Verdict(Enum):
    """What the intervals of a claim's sums say: all lie above zero, neither, or one lies below."""

    SHOWN = "shown"
    NOT_SHOWN = "not shown"
    CONTRADICTED = "contradicted"
    UNDECIDED = "too few runs"


class Decided(NamedTuple):
    """A claim with what was found.

    Attributes:
        claim: the claim.
        found: each of its sums over the seeds that have all of its numbers, as fractions; None without any.
        verdict: what they say.
    """

    claim: Claim
    found: tuple[PairedDifference | None, ...]
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
                    **_origin(self.study, row),
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
                    "sums": [
                        {"terms": terms, **(_plain(found) if found else {})}
                        for terms, found in zip(one.claim.sums, one.found, strict=True)
                    ],
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
        row.name: _over_seeds(
            row.numbers or study.numbers, [measured[row.name, seed] for seed in seeds[row.name]]
        )
        for row in study.rows
    }
    differences = {}
    for row in study.rows:
        if other := study.versus(row):
            shared = [seed for seed in seeds[row.name] if seed in seeds[other]]
            differences[row.name] = _over_seeds(
                row.numbers or study.numbers,
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
    found = tuple(_over_all(terms, study, measured) for terms in claim.sums)
    return Decided(claim, found, _verdict(found))


def _over_all(
    terms: Sum, study: Study, measured: Mapping[tuple[str, int], Numbers]
) -> PairedDifference | None:
    sums = []
    for seed in study.seeds:
        values = [
            weight * measured.get((row, seed), {}).get(number, math.nan) for weight, row, number in terms
        ]
        if np.isfinite(values).all():
            sums.append(math.fsum(values))
    return paired_difference([0.0] * len(sums), sums) if sums else None


def _verdict(found: Sequence[PairedDifference | None]) -> Verdict:
    intervals = [one.interval for one in found if one is not None and not math.isnan(one.margin)]
    if any(high < 0 for _, high in intervals):
        return Verdict.CONTRADICTED
    if len(intervals) < len(found):
        return Verdict.UNDECIDED
    return Verdict.SHOWN if all(low > 0 for low, _ in intervals) else Verdict.NOT_SHOWN


def _origin(study: Study, row: Row) -> dict[str, Any]:
    if row.again is not None:
        again = row.again
        return {
            "runs_of": again.row,
            "program": again.program,
            "flags": list(again.flags),
            "line": again.line,
        }
    return {"config": row.config, "changes": [*study.changes, *row.changes]}


def _plain(value: PairedDifference) -> dict[str, Any]:
    return {
        "mean": value.mean,
        "margin": None if math.isnan(value.margin) else value.margin,
        "values": value.differences.tolist(),
    }
