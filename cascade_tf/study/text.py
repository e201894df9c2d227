"""A study's result as aligned text and as CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

from cascade_tf.analysis.paired import PairedDifference
from cascade_tf.study.numbers import heading
from cascade_tf.study.result import StudyResult
from cascade_tf.study.tables import column_groups, other_numbers, rows_with


def to_table(result: StudyResult) -> str:
    """The means of all rows, their differences from the baseline and the claims; in percent."""
    study, parts = result.study, []
    for _, numbers in column_groups(study):
        header = ["", "runs", *map(heading, numbers)]
        means = [
            [row.name, str(len(result.seeds[row.name])), *_cells(result.means[row.name], numbers)]
            for row in rows_with(study, result.means, numbers)
        ]
        parts.append(_align([header, *means]))
        differences = [
            [row.name, study.versus(row), *_cells(result.differences[row.name], numbers, signed=True)]
            for row in rows_with(study, result.differences, numbers)
        ]
        header = ["", "less", *map(heading, numbers)]
        parts.append(f"differences, paired by seed\n{_align([header, *differences], left=(0, 1))}")
        papers = [
            [row.name, row.source, *(_paper(row.paper, name) for name in numbers)]
            for row in study.rows
            if row.paper.keys() & set(numbers)
        ]
        if papers:
            parts.append(f"the paper's\n{_align([['', '', *numbers], *papers])}")
    if others := [
        [row.name, name, _cell(value), _paper(row.paper, name)] for row, name, value in other_numbers(result)
    ]:
        parts.append(_align([["", "number", "", "the paper's"], *others], left=(0, 1)))
    if result.claims:
        claims = [
            [one.verdict.value, one.claim.name, "; ".join(_cell(found, signed=True) for found in one.found)]
            for one in result.claims
        ]
        sentences = "\n".join(f"{one.claim.name}: {one.claim.sentence}" for one in result.claims)
        parts += [_align([["claim", "", "sums"], *claims], left=(0, 1, 2)), sentences]
    return "\n\n".join(parts)


def to_csv(result: StudyResult) -> str:
    """A line for each row and number, in percent, empty where there is none.

    It has the mean, half the width of its 95 % interval, the same of the difference from the row that the row
    is compared with, and the paper's number.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["row", "number", "runs", "mean", "margin", "difference", "difference_margin", "versus", "paper"]
    )
    for row in result.study.rows:
        for name in row.numbers or result.study.numbers:
            mean = result.means[row.name].get(name)
            difference = result.differences.get(row.name, {}).get(name)
            writer.writerow(
                [
                    row.name,
                    name,
                    len(result.seeds[row.name]),
                    *_columns(mean),
                    *_columns(difference),
                    result.study.versus(row),
                    row.paper.get(name, ""),
                ]
            )
    return text.getvalue()


def _columns(value: PairedDifference | None) -> tuple[str, str]:
    if value is None:
        return "", ""
    return f"{100 * value.mean:.3f}", "" if math.isnan(value.margin) else f"{100 * value.margin:.3f}"


def _cells(values: dict[str, PairedDifference], names: Sequence[str], *, signed: bool = False) -> list[str]:
    return [_cell(values.get(name), signed=signed) for name in names]


def _cell(value: PairedDifference | None, *, signed: bool = False) -> str:
    if value is None:
        return "-"
    mean = f"{100 * value.mean:+.1f}" if signed else f"{100 * value.mean:.1f}"
    return mean if math.isnan(value.margin) else f"{mean} ±{100 * value.margin:.1f}"


def _paper(numbers: object, name: str) -> str:
    value = numbers.get(name) if hasattr(numbers, "get") else None
    return "-" if value is None else f"{value:.1f}"


def _align(rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = (
        "  ".join(
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
    return "\n".join(lines)
