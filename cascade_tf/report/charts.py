"""Line charts as SVG text, coloured by the page's style sheet so that they follow light and dark mode."""

from __future__ import annotations

import dataclasses
import html
import json
import math
from collections.abc import Iterable, Sequence

# The drawing's own units. A narrow drawing keeps its letters readable on a telephone.
_WIDTH, _HEIGHT = 520, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 14, 12, 44


@dataclasses.dataclass(frozen=True)
class Series:
    """One line of a chart.

    Attributes:
        name: shown in the legend and beside the pointer; lines without a name are not.
        x: ascending positions.
        y: values, one per position; the line is broken where one is not finite.
        color: number of the colour in the style sheet.
        dashed: broken stroke.
        markers: a dot at each value.
        faint: a background trace; its highest twentieth does not stretch the vertical axis.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    color: int = 0
    dashed: bool = False
    markers: bool = False
    faint: bool = False


@dataclasses.dataclass(frozen=True)
class _Axis:
    """Maps ``low`` .. ``high`` to ``start`` .. ``end`` in the drawing."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def line_chart(
    title: str,
    series: Sequence[Series],
    *,
    x_label: str,
    y_label: str = "",
    digits: int = 2,
    from_zero: bool = True,
    x_ticks: Sequence[float] = (),
    y_ticks: Sequence[float] = (),
    note: str = "",
) -> str:
    """Draws a chart with its title and legend.

    Args:
        title: heading of the chart.
        series: the lines, in the order of the legend.
        x_label: what the horizontal axis shows.
        y_label: what the vertical axis shows.
        digits: decimals of the values shown beside the pointer.
        from_zero: the vertical axis includes 0.
        x_ticks: places of the marks on the horizontal axis; empty chooses round numbers.
        y_ticks: the same of the vertical axis, which then shows all of them.
        note: one sentence under the title.

    Returns:
        An HTML ``figure``; empty text if there is no finite value to draw.
    """
    points = [point for line in series for point in _points(line)]
    if not points:
        return ""
    x_axis = _axis([x for x, _ in points], _LEFT, _WIDTH - _RIGHT, x_ticks)
    heights = [y for line in series for y in _heights(line)] + [0.0] * from_zero
    y_axis = _axis(heights, _HEIGHT - _BOTTOM, _TOP, y_ticks)
    faint = "".join(_line(line, x_axis, y_axis) for line in series if line.faint)
    lines = "".join(_line(line, x_axis, y_axis) for line in series if not line.faint)
    inside = f"{_LEFT} {_TOP} {_WIDTH - _LEFT - _RIGHT} {_HEIGHT - _TOP - _BOTTOM}"
    left, top, width, height = inside.split()
    # The inner drawing cuts faint traces off at the axes.
    clipped = f'<svg x="{left}" y="{top}" width="{width}" height="{height}" viewBox="{inside}">{faint}</svg>'
    drawing = (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{html.escape(title)}">'
        f"{_grid(x_axis, y_axis)}{clipped}{lines}{_titles(x_label, y_label)}"
        f'<line class="cursor" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"></line></svg>'
    )
    values = html.escape(json.dumps(_values(series, x_axis, x_label, digits)))
    note = f"<p>{html.escape(note)}</p>" if note else ""
    heading = f"<h3>{html.escape(title)}</h3>{note}{_legend(series)}"
    return (
        f'<figure class="card chart"><figcaption>{heading}</figcaption>'
        f'<div class="plot" data-values="{values}">{drawing}</div></figure>'
    )


def _points(line: Series) -> list[tuple[float, float]]:
    pairs = zip(line.x, line.y, strict=True)
    return [(float(x), float(y)) for x, y in pairs if math.isfinite(x) and math.isfinite(y)]


def _heights(line: Series) -> list[float]:
    """The values that must fit into the chart."""
    values = sorted(y for _, y in _points(line))
    return values[: math.ceil(0.95 * len(values))] if line.faint else values


def _axis(values: Sequence[float], start: float, end: float, ticks: Sequence[float] = ()) -> _Axis:
    low, high = min(values), max(values)
    if ticks:
        low, high = min(low, *ticks), max(high, *ticks)
    if high == low:
        low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
    if not ticks:
        step = _round_step((high - low) / 5)
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        ticks = [i * step for i in range(first, last + 1)]
        if start > end:  # The vertical axis ends on a mark, the horizontal one with the data.
            low, high = ticks[0], ticks[-1]
    return _Axis(low, high, start, end, tuple(tick for tick in ticks if low <= tick <= high))


def _round_step(least: float) -> float:
    """The smallest of 1, 2, 2.5, 5 times a power of ten that is not below ``least``."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= least * (1 - 1e-9))


def _grid(x_axis: _Axis, y_axis: _Axis) -> str:
    parts = []
    for tick in y_axis.ticks:
        kind, y = "zero" if tick == 0 else "grid", f"{y_axis(tick):.1f}"
        parts.append(f'<line class="{kind}" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}"></line>')
        parts.append(f'<text x="{_LEFT - 7}" y="{y}" dy="4" text-anchor="end">{_number(tick)}</text>')
    for tick in x_axis.ticks:
        place = f'x="{x_axis(tick):.1f}" y="{_HEIGHT - _BOTTOM + 17}"'
        parts.append(f'<text {place} text-anchor="middle">{_number(tick)}</text>')
    return "".join(parts)


def _titles(x_label: str, y_label: str) -> str:
    place = f'x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 6}"'
    parts = f'<text class="axis" {place} text-anchor="middle">{html.escape(x_label)}</text>'
    if y_label:
        place = f'transform="translate(11 {(_TOP + _HEIGHT - _BOTTOM) / 2}) rotate(-90)"'
        parts += f'<text class="axis" {place} text-anchor="middle">{html.escape(y_label)}</text>'
    return parts


def _line(line: Series, x_axis: _Axis, y_axis: _Axis) -> str:
    path, down = [], False
    for x, y in zip(line.x, line.y, strict=True):
        finite = math.isfinite(x) and math.isfinite(y)
        if finite:
            path.append(f"{'L' if down else 'M'}{x_axis(x):.1f} {y_axis(y):.1f}")
        down = finite
    kind = "line" + " dashed" * line.dashed + " faint" * line.faint
    style = f'style="--c:var(--s{line.color % 6})"'
    parts = f'<path class="{kind}" {style} d="{"".join(path)}"></path>'
    if line.markers:
        for x, y in _points(line):
            parts += (
                f'<circle class="dot" {style} cx="{x_axis(x):.1f}" cy="{y_axis(y):.1f}" r="3.2"></circle>'
            )
    return parts


def _legend(series: Iterable[Series]) -> str:
    entries = [
        f'<li><i class="{"dashed" if line.dashed else ""}" style="--c:var(--s{line.color % 6})"></i>'
        f"{html.escape(line.name)}</li>"
        for line in series
        if line.name
    ]
    return f'<ul class="legend">{"".join(entries)}</ul>' if len(entries) > 1 else ""


def _values(series: Sequence[Series], x_axis: _Axis, x_label: str, digits: int) -> dict:
    """What the page shows beside the pointer: one column of texts per horizontal position."""
    named = [line for line in series if line.name]
    tables = [dict(_points(line)) for line in named]
    positions = sorted({x for table in tables for x in table})
    return {
        "width": _WIDTH,
        "x": [round(x_axis(x), 1) for x in positions],
        "label": [f"{x_label} {_number(x)}" for x in positions],
        "names": [line.name for line in named],
        "colors": [line.color % 6 for line in named],
        "y": [[f"{table[x]:.{digits}f}" if x in table else "" for x in positions] for table in tables],
    }


def _number(value: float) -> str:
    if abs(value) >= 10000:
        return f"{value / 1000:g}k"
    return f"{value:.4g}".replace("-", "−")
