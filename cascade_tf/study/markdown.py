"""A study's result as Markdown, for a README, a pull request or a note."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from cascade_tf.analysis.paired import PairedDifference
from cascade_tf.study.numbers import heading
from cascade_tf.study.plan import Row, Study
from cascade_tf.study.result import StudyResult

_MASKS = "mask_"
_NOTE = (
    "In percent, with half the width of the 95 % interval over the seeds (Student's t); in brackets what the "
    "paper has."
)
_DIFFERENCE_NOTE = "Paired by seed; in brackets the paper's difference."
_CLAIM_NOTE = "The sum is above zero where the claim is true, and its interval decides."


def to_markdown(result: StudyResult) -> str:
    """Tables of means, of differences and of claims; boxes and masks each have their own.

    A row without one of a table's numbers is not in it.
    """
    study = result.study
    boxes = [name for name in study.numbers if not name.startswith(_MASKS)]
    masks = [name for name in study.numbers if name.startswith(_MASKS)]
    groups = [(numbers, what) for numbers, what in ((boxes, "Boxes"), (masks, "Masks")) if numbers]
    parts = [f"# Study: {study.name}"]
    for numbers, what in groups:
        title = f", {what.lower()}" if len(groups) > 1 else ""
        if means := _means(result, numbers):
            parts += [f"## Results{title}", means, _NOTE]
        if differences := _differences(result, numbers):
            parts += [f"## Differences{title}", differences, _DIFFERENCE_NOTE]
    if result.claims:
        rows = [
            [one.claim.sentence, one.claim.source, one.verdict.value, _cell(one.found, signed=True)]
            for one in result.claims
        ]
        parts += ["## Claims", _table(["claim", "paper", "verdict", "sum"], rows), _CLAIM_NOTE]
    return "\n\n".join(parts) + "\n"


def _means(result: StudyResult, numbers: Sequence[str]) -> str:
    rows = [
        [
            f"`{row.name}`",
            row.source,
            str(len(result.seeds[row.name])),
            *(_with_paper(found.get(name), row.paper.get(name)) for name in numbers),
        ]
        for row in result.study.rows
        if _has_some(found := result.means[row.name], numbers)
    ]
    return _table(["row", "paper", "runs", *map(heading, numbers)], rows)


def _differences(result: StudyResult, numbers: Sequence[str]) -> str:
    rows = []
    for name, found in result.differences.items():
        if not _has_some(found, numbers):
            continue
        row = result.study.row(name)
        papers = _paper_difference(result.study, row)
        cells = (_with_paper(found.get(number), papers.get(number), signed=True) for number in numbers)
        rows.append([f"`{name}`", f"`{result.study.versus(row)}`", *cells])
    return _table(["row", "less", *map(heading, numbers)], rows)


def _paper_difference(study: Study, row: Row) -> dict[str, float]:
    other = study.row(study.versus(row)).paper
    return {name: value - other[name] for name, value in row.paper.items() if name in other}


def _has_some(found: Mapping[str, PairedDifference], numbers: Sequence[str]) -> bool:
    return any(name in found for name in numbers)


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
