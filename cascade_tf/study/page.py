"""A study on one HTML page."""

from __future__ import annotations

import html
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cascade_tf.analysis.paired import PairedDifference
from cascade_tf.files import write_atomically
from cascade_tf.report.charts import Series, line_chart
from cascade_tf.report.elements import definitions, percent, signed, table
from cascade_tf.report.frame import document
from cascade_tf.study.numbers import heading, lower_is_better
from cascade_tf.study.plan import Study
from cascade_tf.study.result import StudyResult, Verdict
from cascade_tf.study.tables import (
    column_groups,
    origin_of,
    other_numbers,
    paper_difference,
    rows_with,
    words_of,
)
from cascade_tf.wording import count_of

_NOTE = "Means over the seeds in percent, with half the width of their 95 % interval (Student's t)."
_PAPER_NOTE = " Below a mean stands what the paper has, which was measured on other data."
_DIFFERENCE_NOTE = (
    "Each row less the one that it is compared with. Runs of one seed see the same images in the same order "
    "and are paired. A difference is coloured where its 95 % interval does not hold zero, green where it is "
    "for the better: less, where a number has an arrow down."
)
_CLAIM_NOTE = (
    "A claim has sums of numbers that are all above zero where it is true. It is shown where the 95 % "
    "intervals of all of them lie above zero, contradicted where one lies below, and not shown otherwise."
)
_AT_IOU = re.compile(r"(.*)AP(\d\d)")
_COLORS = {Verdict.SHOWN: "up", Verdict.CONTRADICTED: "down"}


def write_page(path: str | os.PathLike[str], result: StudyResult, *, waiting: Sequence[str] = ()) -> Path:
    """Writes the page (the whole file or none) and returns its path.

    Args:
        path: of the file.
        result: what is known so far.
        waiting: what is not measured yet, one line each.
    """
    study = result.study
    count = sum(len(seeds) for seeds in result.seeds.values())
    whole = len(study.rows) * len(study.seeds)
    summary = f"{len(study.rows)} rows with {len(study.seeds)} seeds; {count} of {whole} results are there."
    sections = [
        *(_mean_section(result, what, numbers) for what, numbers in column_groups(study)),
        *(_difference_section(result, what, numbers) for what, numbers in column_groups(study)),
        _other_section(result),
        _chart_section(result),
        _row_section(result),
        _waiting_section(waiting),
        _claim_section(result),
    ]
    return write_atomically(path, document(f"Study: {study.name}", summary, sections))


def _mean_section(result: StudyResult, what: str, numbers: Sequence[str]) -> str:
    rows = []
    for row in rows_with(result.study, result.means, numbers):
        found = result.means[row.name]
        cells = [f"<td>{len(result.seeds[row.name])}</td>"]
        cells += [f"<td>{_beside_paper(found.get(name), row.paper.get(name))}</td>" for name in numbers]
        rows.append(_line(row.name, cells))
    body = table(("", "runs", *map(heading, numbers)), rows)
    note = _NOTE + (_PAPER_NOTE if any(row.paper for row in result.study.rows) else "")
    return f'<section><h2>Results: {what}</h2>{body}<p class="foot">{note}</p></section>'


def _difference_section(result: StudyResult, what: str, numbers: Sequence[str]) -> str:
    rows = []
    for row in rows_with(result.study, result.differences, numbers):
        found, papers = result.differences[row.name], paper_difference(result.study, row)
        cells = [_difference(name, found.get(name), papers.get(name)) for name in numbers]
        rows.append(_line(row.name, [f"<td>{html.escape(result.study.versus(row))}</td>", *cells]))
    body = table(("", "less", *map(heading, numbers)), rows)
    return f'<section><h2>Differences: {what}</h2>{body}<p class="foot">{_DIFFERENCE_NOTE}</p></section>'


def _other_section(result: StudyResult) -> str:
    """The rows that have numbers of their own."""
    rows = [
        _line(
            row.name,
            [
                f"<td>{html.escape(row.source)}</td><td>{len(result.seeds[row.name])}</td>",
                f"<td>{html.escape(name)}</td><td>{_beside_paper(value, row.paper.get(name))}</td>",
            ],
        )
        for row, name, value in other_numbers(result)
    ]
    if not rows:
        return ""
    body = table(("", "source", "runs", "number", "value"), rows)
    return f'<section><h2>Other numbers</h2>{body}<p class="foot">{_NOTE}</p></section>'


def _chart_section(result: StudyResult) -> str:
    """AP over the IoU threshold, where the study's numbers are of single thresholds."""
    at_iou = {
        name: int(match[2]) / 100 for name in result.study.numbers if (match := _AT_IOU.fullmatch(name))
    }
    boxes = {name: iou for name, iou in at_iou.items() if name.startswith("AP")}
    if len(boxes) < 2:
        return ""
    figures = []
    for source, names in _chart_groups(result.study).items():
        title = f"AP over IoU{f', {source}' if source else ''}"
        means = {name: result.means[name] for name in names if result.means[name]}
        gains = {name: result.differences[name] for name in names if result.differences.get(name)}
        figures.append(_chart(title, "AP, %", means, boxes))
        figures.append(_chart(f"Differences{f', {source}' if source else ''}", "points", gains, boxes, 1))
    return f'<section><h2>Over the IoU threshold</h2><div class="pair">{"".join(figures)}</div></section>'


def _chart_groups(study: Study) -> dict[str, list[str]]:
    """The rows of each of the paper's tables and figures, with the baseline: six colours do for them."""
    groups: dict[str, list[str]] = {}
    for row in study.rows:
        if not row.numbers:
            groups.setdefault(row.source, [study.baseline])
            groups[row.source] += [row.name] if row.name != study.baseline else []
    return {source: names for source, names in groups.items() if len(names) > 1}


def _chart(
    title: str,
    unit: str,
    rows: Mapping[str, Mapping[str, PairedDifference]],
    numbers: Mapping[str, float],
    first_color: int = 0,
) -> str:
    lines = []
    for color, (row, found) in enumerate(rows.items(), start=first_color):
        values = [100 * found[name].mean if name in found else math.nan for name in numbers]
        lines.append(Series(row, list(numbers.values()), values, color % 6, dashed=color >= 6, markers=True))
    return line_chart(
        title, lines, x_label="IoU threshold", y_label=unit, digits=1, x_ticks=(0.5, 0.6, 0.7, 0.8, 0.9)
    )


def _claim_section(result: StudyResult) -> str:
    if not result.claims:
        return ""
    rows = []
    for claim, sums, verdict in result.claims:
        kind = _COLORS.get(verdict, "")
        lines = [
            f"{html.escape(words_of(terms))}: {_with_margin(found, signed)}"
            f" <small>{count_of(len(found.differences) if found else 0, 'run', 'runs')}</small>"
            for terms, found in zip(claim.sums, sums, strict=True)
        ]
        cells = [
            f'<td class="text">{html.escape(claim.sentence)}</td>',
            f'<td class="{kind}">{verdict.value}</td>',
            f'<td class="text">{"<br>".join(lines)}</td>',
            f"<td>{html.escape(claim.source)}</td>",
        ]
        rows.append(_line(claim.name, cells))
    body = table(("", "claim", "verdict", "sums", "source"), rows)
    return f'<section><h2>Claims</h2>{body}<p class="foot">{_CLAIM_NOTE}</p></section>'


def _row_section(result: StudyResult) -> str:
    study = result.study
    entries = [(row.name, origin_of(row)) for row in study.rows]
    if study.changes:
        entries.append(("all rows", " ".join(study.changes)))
    entries.append(("seeds", ", ".join(map(str, study.seeds))))
    return f"<section><h2>What was compared</h2>{definitions(entries)}</section>"


def _waiting_section(waiting: Sequence[str]) -> str:
    if not waiting:
        return ""
    items = "".join(f"<li>{html.escape(line)}</li>" for line in waiting)
    return f"<section><h2>Not measured yet</h2><ul>{items}</ul></section>"


def _line(name: str, cells: Sequence[str]) -> str:
    return f'<tr><th scope="row">{html.escape(name)}</th>{"".join(cells)}</tr>'


def _beside_paper(value: PairedDifference | None, paper: float | None) -> str:
    below = "" if paper is None else f"<br><small>paper {paper:.1f}</small>"
    return f"{_with_margin(value, percent)}{below}"


def _difference(number: str, value: PairedDifference | None, paper: float | None) -> str:
    kind = ""
    if value is not None and not math.isnan(value.margin):
        low, high = value.interval
        better, worse = (high < 0, low > 0) if lower_is_better(number) else (low > 0, high < 0)
        kind = "up" if better else "down" if worse else ""
    below = "" if paper is None else f"<br><small>paper {signed(paper / 100)}</small>"
    return f'<td class="{kind}">{_with_margin(value, signed)}{below}</td>'


def _with_margin(value: PairedDifference | None, show: Callable[[float], str]) -> str:
    if value is None:
        return "–"
    margin = "" if math.isnan(value.margin) else f" <small>±{100 * value.margin:.1f}</small>"
    return f"{show(value.mean)}{margin}"
