"""What the page says of the numbers of a data set's own benchmark: a tile, tables, and how they went."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence

from cascade_tf.metrics.measurement import BenchmarkResult
from cascade_tf.report.charts import Series, line_chart
from cascade_tf.report.elements import table
from cascade_tf.report.history import History

_MOST_LINES = 6
"""Of a chart, as many as there are colours."""


def benchmark_tile(benchmarks: Mapping[str, BenchmarkResult]) -> str:
    """Returns the tile of the last result's main number, with its change since the first."""
    if not benchmarks:
        return ""
    first_name, first = next(iter(benchmarks.items()))
    last = list(benchmarks.values())[-1]
    value, change = last.numbers[last.judge], ""
    if len(benchmarks) > 1:
        gain = value - first.numbers[last.judge]
        better = -gain if last.lower_is_better else gain
        direction = "" if math.isnan(gain) or not gain else "up" if better > 0 else "down"
        change = f'<small class="{direction}">{_signed(gain)} over {html.escape(first_name)}</small>'
    number = f"<span>{html.escape(f'{last.protocol} · {last.judge}')}</span><b>{_number(value)}</b>"
    return f'<div class="card tile">{number}{change}</div>'


def benchmark_section(benchmarks: Mapping[str, BenchmarkResult]) -> str:
    """Returns the last result's whole table and, of several results, one that compares their main numbers."""
    if not benchmarks:
        return ""
    last = list(benchmarks.values())[-1]
    rows = [_row(title, [_cell(last.numbers[name]) for name in names]) for title, names in last.grid.rows]
    tables = table(("", *last.grid.columns), rows)
    if len(benchmarks) > 1:
        tables = table(("", *last.main), _comparison(benchmarks, last)) + tables
    note = '<p class="foot">In percent, as the benchmark gives them.</p>'
    return f"<section><h2>{html.escape(last.title)}</h2>{tables}{note}</section>"


def benchmark_chart(benchmarks: Mapping[str, BenchmarkResult], log: History) -> str:
    """Returns the main numbers over the steps of a training that was evaluated more than once."""
    if not benchmarks:
        return ""
    last = list(benchmarks.values())[-1]
    lines = [
        Series(name, *log.values(f"{last.protocol}/{name}"), color, markers=True)
        for color, name in enumerate(last.main[:_MOST_LINES])
    ]
    drawn = [line for line in lines if len(line.x) > 1]
    title = f"{last.title.partition(':')[0]} as training went on"
    return line_chart(title, drawn, x_label="step", y_label="%", digits=2) if drawn else ""


def _comparison(benchmarks: Mapping[str, BenchmarkResult], last: BenchmarkResult) -> list[str]:
    best = {}
    for name in last.main:
        known = [one.numbers[name] for one in benchmarks.values() if not math.isnan(one.numbers[name])]
        best[name] = (min if last.lower_is_better else max)(known, default=math.nan)
    rows = []
    for title, one in benchmarks.items():
        cells = [_cell(one.numbers[name], best=one.numbers[name] == best[name]) for name in last.main]
        rows.append(_row(title, cells))
    return rows


def _row(title: str, cells: Sequence[str]) -> str:
    return f'<tr><th scope="row">{html.escape(title)}</th>{"".join(cells)}</tr>'


def _cell(value: float, *, best: bool = False) -> str:
    mark = ' class="best"' if best else ""
    return f"<td{mark}>{_number(value)}</td>"


def _number(percent: float) -> str:
    return "–" if math.isnan(percent) else f"{percent:.2f}"


def _signed(percent: float) -> str:
    return "–" if math.isnan(percent) else f"{percent:+.2f}".replace("-", "−")
