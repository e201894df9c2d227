"""Bars as SVG text, in the colours of the page's style sheet."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import NamedTuple

_WIDTH = 520
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 8, 12, 44
_MARKS = 5


class Layer(NamedTuple):
    """One part of each bar.

    Attributes:
        name: shown in the legend.
        values: 0 or more, one for each bar.
        color: number of the colour in the style sheet.
    """

    name: str
    values: Sequence[float]
    color: int = 0


def bar_chart(
    title: str,
    labels: Sequence[str],
    layers: Sequence[Layer],
    *,
    x_label: str,
    y_label: str,
    note: str = "",
    height: int = 300,
) -> str:
    """Draws bars whose layers stand on each other.

    Args:
        title: heading of the chart.
        labels: of the bars.
        layers: from below.
        x_label: what the labels are.
        y_label: what the heights are.
        note: one sentence under the title.
        height: of the drawing, whose width is 520.

    Returns:
        An HTML ``figure``; empty text if all values are 0.
    """
    totals = [sum(values) for values in zip(*(layer.values for layer in layers), strict=True)]
    if not any(totals):
        return ""
    step = _round_step(max(totals) / _MARKS)
    marks = math.ceil(max(totals) / step)
    base = height - _BOTTOM
    unit, slot = (base - _TOP) / (marks * step), (_WIDTH - _LEFT - _RIGHT) / len(labels)
    parts = [_grid(marks, step, base, unit)]
    for i, label in enumerate(labels):
        left = _LEFT + i * slot
        parts.append(
            _bar(label, [(one, one.values[i]) for one in layers], left + 0.1 * slot, 0.8 * slot, base, unit)
        )
        place = f'x="{left + slot / 2:.1f}" y="{base + 17}"'
        parts.append(f'<text {place} text-anchor="middle">{html.escape(label)}</text>')
    parts.append(axis_titles(_WIDTH, height, (_LEFT, _RIGHT, _TOP, _BOTTOM), x_label, y_label))
    return figure(title, note, legend([(one.name, one.color) for one in layers]), "".join(parts), height)


def _bar(
    label: str, layers: Sequence[tuple[Layer, float]], left: float, width: float, base: float, unit: float
) -> str:
    """A bar that stands on ``base``, with its numbers beside the pointer."""
    lines = [f"{label}: {sum(value for _, value in layers):,.6g}"]
    if len(layers) > 1:
        lines += [f"{layer.name}: {value:,.6g}" for layer, value in layers]
    rectangles = ""
    for layer, value in layers:
        base -= value * unit
        rectangles += (
            f'<rect x="{left:.1f}" y="{base:.1f}" width="{width:.1f}" height="{value * unit:.1f}" '
            f'fill="var(--s{layer.color % 6})"></rect>'
        )
    return f"<g><title>{html.escape(chr(10).join(lines))}</title>{rectangles}</g>"


def figure(title: str, note: str, legend_text: str, drawing: str, height: int) -> str:
    """Returns a card with a heading, a sentence, a legend and a drawing of 520 units' width."""
    note = f"<p>{html.escape(note)}</p>" if note else ""
    return (
        f'<figure class="card chart"><figcaption><h3>{html.escape(title)}</h3>{note}{legend_text}'
        "</figcaption>"
        f'<svg class="drawing" viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{html.escape(title)}">'
        f"{drawing}</svg></figure>"
    )


def legend(entries: Sequence[tuple[str, int]]) -> str:
    """Returns names beside their colours; nothing for a single one."""
    items = "".join(
        f'<li><i style="--c:var(--s{color % 6})"></i>{html.escape(name)}</li>' for name, color in entries
    )
    return f'<ul class="legend">{items}</ul>' if len(entries) > 1 else ""


def axis_titles(
    width: int, height: int, margins: tuple[int, int, int, int], x_label: str, y_label: str
) -> str:
    """Returns the titles of both axes.

    Args:
        width: of the drawing.
        height: of the drawing.
        margins: at the left, right, top and bottom.
        x_label: what the horizontal axis shows.
        y_label: what the vertical axis shows.
    """
    left, right, top, bottom = margins
    below = f'x="{(left + width - right) / 2}" y="{height - 6}"'
    beside = f'transform="translate(11 {(top + height - bottom) / 2}) rotate(-90)"'
    return "".join(
        f'<text class="axis" {place} text-anchor="middle">{html.escape(text)}</text>'
        for place, text in ((below, x_label), (beside, y_label))
    )


def _grid(marks: int, step: float, base: float, unit: float) -> str:
    parts = []
    for i in range(marks + 1):
        y, kind = base - i * step * unit, "grid" if i else "zero"
        parts.append(
            f'<line class="{kind}" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"></line>'
        )
        text = f"{i * step / 1000:g}k" if i * step >= 10_000 else f"{i * step:g}"
        parts.append(f'<text x="{_LEFT - 7}" y="{y:.1f}" dy="4" text-anchor="end">{text}</text>')
    return "".join(parts)


def _round_step(least: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is not below ``least``, and not below 1."""
    power = 10.0 ** max(math.floor(math.log10(least)), 0)
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least)
