"""Widths and heights of boxes as a cloud of points, as SVG text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cascade_tf.report.bars import axis_titles, figure, legend
from cascade_tf.report.cloud import thinned

_WIDTH, HEIGHT = 520, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 12, 48
_ANCHOR_COLOR = 5


class Cloud(NamedTuple):
    """Boxes of one kind.

    Attributes:
        name: shown in the legend.
        sides: [n, 2] width and height.
        color: number of the colour in the style sheet.
    """

    name: str
    sides: np.ndarray
    color: int = 0


def size_chart(title: str, clouds: Sequence[Cloud], anchors: np.ndarray, *, note: str = "") -> str:
    """Draws each box as a point and each anchor as a square, on logarithmic axes.

    Args:
        title: heading of the chart.
        clouds: of many boxes some are drawn, spread evenly over them.
        anchors: [A, 2] width and height; may be empty.
        note: one sentence under the title.

    Returns:
        An HTML ``figure``; empty text if there are no boxes.
    """
    shown = [cloud._replace(sides=thinned(cloud.sides)) for cloud in clouds]
    values = np.log2(np.concatenate([cloud.sides for cloud in shown] + [np.reshape(anchors, (-1, 2))]))
    if not any(len(cloud.sides) for cloud in shown):
        return ""
    low, high = math.floor(values.min()), max(math.ceil(values.max()), math.floor(values.min()) + 1)
    x_unit = (_WIDTH - _LEFT - _RIGHT) / (high - low)
    y_unit = (HEIGHT - _TOP - _BOTTOM) / (high - low)

    def place(sides: np.ndarray) -> np.ndarray:
        logarithms = np.log2(sides) - low
        return np.stack(
            [_LEFT + logarithms[:, 0] * x_unit, HEIGHT - _BOTTOM - logarithms[:, 1] * y_unit], axis=1
        )

    parts = [_grid(low, high, x_unit, y_unit)]
    for cloud in shown:
        path = "".join(f"M{x:.1f} {y:.1f}h.1" for x, y in place(cloud.sides))
        parts.append(f'<path class="cloud" style="--c:var(--s{cloud.color % 6})" d="{path}"></path>')
    for x, y in place(np.reshape(anchors, (-1, 2))):
        parts.append(
            f'<rect class="anchor" x="{x - 5:.1f}" y="{y - 5:.1f}" width="10" height="10" '
            f'style="--c:var(--s{_ANCHOR_COLOR})"></rect>'
        )
    margins = (_LEFT, _RIGHT, _TOP, _BOTTOM)
    parts.append(axis_titles(_WIDTH, HEIGHT, margins, "width, pixels", "height, pixels"))
    names = [(cloud.name, cloud.color) for cloud in shown]
    entries = [*names, *([("anchors", _ANCHOR_COLOR)] if len(anchors) else [])]
    return figure(title, note, legend(entries), "".join(parts), HEIGHT)


def _grid(low: int, high: int, x_unit: float, y_unit: float) -> str:
    parts = []
    for power in range(low, high + 1):
        x, y = _LEFT + (power - low) * x_unit, HEIGHT - _BOTTOM - (power - low) * y_unit
        text = f"{2.0**power:g}"
        parts.append(
            f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{HEIGHT - _BOTTOM}"></line>'
        )
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"></line>'
        )
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - _BOTTOM + 17}" text-anchor="middle">{text}</text>')
        parts.append(f'<text x="{_LEFT - 7}" y="{y:.1f}" dy="4" text-anchor="end">{text}</text>')
    return "".join(parts)
