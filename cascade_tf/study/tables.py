"""What a study's tables have in them, however they are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cascade_tf.analysis.paired import PairedDifference
from cascade_tf.study.plan import Row, Study, Sum
from cascade_tf.study.result import StudyResult

MASKS = "mask_"
"""What the names of the numbers of masks begin with."""


def column_groups(study: Study) -> list[tuple[str, list[str]]]:
    """(what, numbers) of each table: boxes and masks by themselves where there are both."""
    boxes = [name for name in study.numbers if not name.startswith(MASKS)]
    masks = [name for name in study.numbers if name.startswith(MASKS)]
    return [(what, numbers) for what, numbers in (("boxes", boxes), ("masks", masks)) if numbers]


def rows_with(
    study: Study, values: Mapping[str, Mapping[str, PairedDifference]], numbers: Sequence[str]
) -> list[Row]:
    """The rows that have one of a table's numbers."""
    return [
        row
        for row in study.rows
        if not row.numbers and row.name in values and any(name in values[row.name] for name in numbers)
    ]


def other_numbers(result: StudyResult) -> list[tuple[Row, str, PairedDifference | None]]:
    """(row, number, value) of rows that have numbers of their own in place of the columns."""
    return [
        (row, name, result.means[row.name].get(name)) for row in result.study.rows for name in row.numbers
    ]


def paper_difference(study: Study, row: Row) -> dict[str, float]:
    """The paper's numbers of a row less those of the row that it is compared with."""
    other = study.versus(row)
    theirs = study.row(other).paper if other else {}
    return {name: value - theirs[name] for name, value in row.paper.items() if name in theirs}


def words_of(terms: Sum) -> str:
    """A sum as text: ``"cascade AP90 − baseline AP90"``."""
    text = ""
    for weight, row, number in terms:
        sign = "−" if weight < 0 else "+"
        factor = "" if abs(weight) == 1 else f"{abs(weight):.3g} × "
        text += f" {sign} {factor}{row} {number}"
    return text.removeprefix(" + ").strip()


def origin_of(row: Row) -> str:
    """Where a row's numbers come from: a configuration with changes, or how others' runs are measured."""
    if row.again is None:
        parts = [row.config, *row.changes]
    else:
        line = [f"line {row.again.line!r}"] if row.again.line else []
        parts = [f"runs of {row.again.row}:", row.again.program, *row.again.flags, *line]
    if row.stage is not None:
        parts.append(f"· measured after stage {row.stage}")
    return " ".join(parts + ([f"· {row.source}"] if row.source else []))
