"""A study's result as Markdown, for a README, a pull request or a note."""

from __future__ import annotations

import math
from collections.abc import Sequence

from cascade_tf.analysis.paired import PairedDifference
from cascade_tf.study.numbers import heading
from cascade_tf.study.result import StudyResult
from cascade_tf.study.tables import column_groups, other_numbers, paper_difference, rows_with, words_of

_NOTE = (
    "In percent, with half the width of the 95 % interval over the seeds (Student's t); in brackets what the "
    "paper has."
)
_DIFFERENCE_NOTE = "Paired by seed; in brackets the paper's difference."
_CLAIM_NOTE = "Sums are above zero where a claim is true, and their intervals decide."


def to_markdown(result: StudyResult) -> str:
    """Tables of means, of differences and of claims; boxes and masks each have their own.

    A row without one of a table's numbers is not in it.
    """
    study = result.study
    groups = column_groups(study)
    parts = [f"# Study: {study.name}"]
    for what, numbers in groups:
        title = f", {what}" if len(groups) > 1 else ""
        if means := _means(result, numbers):
            parts += [f"## Results{title}", means, _NOTE]
        if differences := _differences(result, numbers):
            parts += [f"## Differences{title}", differences, _DIFFERENCE_NOTE]
    if others := _others(result):
        parts += ["## Other numbers", others, _NOTE]
    if result.claims:
        parts += ["## Claims", _claims(result), _CLAIM_NOTE]
    return "\n\n".join(parts) + "\n"


def _means(result: StudyResult, numbers: Sequence[str]) -> str:
    rows = [
        [
            f"`{row.name}`",
            row.source,
            str(len(result.seeds[row.name])),
            *(_with_paper(result.means[row.name].get(name), row.paper.get(name)) for name in numbers),
        ]
        for row in rows_with(result.study, result.means, numbers)
    ]
    return _table(["row", "paper", "runs", *map(heading, numbers)], rows)


def _differences(result: StudyResult, numbers: Sequence[str]) -> str:
    rows = []
    for row in rows_with(result.study, result.differences, numbers):
        found, papers = result.differences[row.name], paper_difference(result.study, row)
        cells = (_with_paper(found.get(name), papers.get(name), signed=True) for name in numbers)
        rows.append([f"`{row.name}`", f"`{result.study.versus(row)}`", *cells])
    return _table(["row", "less", *map(heading, numbers)], rows)


def _others(result: StudyResult) -> str:
    rows = [
        [
            f"`{row.name}`",
            row.source,
            str(len(result.seeds[row.name])),
            name,
            _with_paper(value, row.paper.get(name)),
        ]
        for row, name, value in other_numbers(result)
        if value is not None
    ]
    return _table(["row", "paper", "runs", "number", "value"], rows)


def _claims(result: StudyResult) -> str:
    rows = []
    for claim, sums, verdict in result.claims:
        for index, (terms, found) in enumerate(zip(claim.sums, sums, strict=True)):
            first = (
                [f"*{claim.name}*: {claim.sentence}", claim.source, verdict.value] if not index else [""] * 3
            )
            runs = str(len(found.differences)) if found else "0"
            rows.append([*first, words_of(terms), runs, _cell(found, signed=True)])
    return _table(["claim", "paper", "verdict", "sum", "runs", "value"], rows)


def _with_paper(value: PairedDifference | None, paper: float | None, *, signed: bool = False) -> str:
    text = _cell(value, signed=signed)
    if paper is None or value is None:
        return text
    return f"{text} ({_minus(f'{paper:+.1f}' if signed else f'{paper:.1f}')})"


def _cell(value: PairedDifference | None, *, signed: bool = False) -> str:
    if value is None:
        return ""
    mean = _minus(f"{100 * value.mean:+.1f}" if signed else f"{100 * value.mean:.1f}")
    return mean if math.isnan(value.margin) else f"{mean} ± {100 * value.margin:.1f}"


def _minus(text: str) -> str:
    return text.replace("-", "−")


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Empty without rows."""
    if not rows:
        return ""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
