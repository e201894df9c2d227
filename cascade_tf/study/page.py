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
from cascade_tf.study.result import StudyResult, Verdict

_NOTE = "Means over the seeds in percent, with half the width of their 95 % interval (Student's t)."
_PAPER_NOTE = " Below a mean stands what the paper has, which was measured on other data."
_DIFFERENCE_NOTE = (
    "Each row less the one that it is compared with. Runs of one seed see the same images in the same order "
    "and are paired. A difference is coloured where its 95 % interval does not hold zero, green where it is "
    "for the better: less, where a number has an arrow down."
)
_CLAIM_NOTE = (
    "A claim is a sum of numbers that is above zero where it is true. It is shown where the 95 % interval of "
    "the sum lies above zero, contradicted where it lies below, and not shown otherwise."
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
        _mean_section(result),
        _difference_section(result),
        _chart_section(result),
        _claim_section(result),
        _row_section(result),
        _waiting_section(waiting),
    ]
    return write_atomically(path, document(f"Study: {study.name}", summary, sections))


def _mean_section(result: StudyResult) -> str:
    rows = []
    for row in result.study.rows:
        found = result.means[row.name]
        cells = [f"<td>{len(result.seeds[row.name])}</td>"]
        for name in result.study.numbers:
            paper = row.paper.get(name)
            below = "" if paper is None else f"<br><small>paper {paper:.1f}</small>"
            cells.append(f"<td>{_mean(found.get(name))}{below}</td>")
        rows.append(_line(row.name, cells))
    body = table(("", "runs", *map(heading, result.study.numbers)), rows)
    note = _NOTE + (_PAPER_NOTE if any(row.paper for row in result.study.rows) else "")
    return f'<section><h2>Results</h2>{body}<p class="foot">{note}</p></section>'


def _difference_section(result: StudyResult) -> str:
    rows = []
    for name, found in result.differences.items():
        cells = [_difference(number, found.get(number)) for number in result.study.numbers]
        other = html.escape(result.study.versus(result.study.row(name)))
        rows.append(_line(name, [f"<td>{other}</td>", *cells]))
    body = table(("", "less", *map(heading, result.study.numbers)), rows)
    return f'<section><h2>Differences</h2>{body}<p class="foot">{_DIFFERENCE_NOTE}</p></section>'


def _chart_section(result: StudyResult) -> str:
    """AP over the IoU threshold, where the study's numbers are of single thresholds."""
    at_iou = {
        name: int(match[2]) / 100 for name in result.study.numbers if (match := _AT_IOU.fullmatch(name))
    }
    boxes = {name: iou for name, iou in at_iou.items() if name.startswith("AP")}
    if len(boxes) < 2:
        return ""
    means = _chart("AP over IoU", "AP, %", result.means, boxes)
    gains = _chart("Differences", "points", result.differences, boxes, first_color=1)
    return f'<section><h2>Over the IoU threshold</h2><div class="pair">{means}{gains}</div></section>'


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
    for claim, found, verdict in result.claims:
        kind = _COLORS.get(verdict, "")
        cells = [
            f'<td class="{kind}">{verdict.value}</td>',
            f"<td>{_with_margin(found, signed)}</td>",
            f"<td>{html.escape(claim.source)}</td>",
        ]
        rows.append(_line(claim.sentence, cells))
    body = table(("", "verdict", "sum", "source"), rows)
    return f'<section><h2>Claims</h2>{body}<p class="foot">{_CLAIM_NOTE}</p></section>'


def _row_section(result: StudyResult) -> str:
    study = result.study
    entries = []
    for row in study.rows:
        stage = "" if row.stage is None else f" · measured after stage {row.stage}"
        settings = " ".join(("", *row.changes))
        entries.append((row.name, f"{row.config}{settings}{stage}{f' · {row.source}' if row.source else ''}"))
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


def _mean(value: PairedDifference | None) -> str:
    return _with_margin(value, percent)


def _difference(number: str, value: PairedDifference | None) -> str:
    kind = ""
    if value is not None and not math.isnan(value.margin):
        low, high = value.interval
        better, worse = (high < 0, low > 0) if lower_is_better(number) else (low > 0, high < 0)
        kind = "up" if better else "down" if worse else ""
    return f'<td class="{kind}">{_with_margin(value, signed)}</td>'


def _with_margin(value: PairedDifference | None, show: Callable[[float], str]) -> str:
    if value is None:
        return "–"
    margin = "" if math.isnan(value.margin) else f" <small>±{100 * value.margin:.1f}</small>"
    return f"{show(value.mean)}{margin}"
