"""Points of two kinds in a plane, as SVG text."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from cascade_tf.report.bars import axis_titles, figure, legend

_WIDTH, _HEIGHT = 520, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 12, 48
_MOST_POINTS = 1500
_MARKS = 5


def cloud_chart(
    title: str,
    clouds: Sequence[tuple[str, np.ndarray, int]],
    *,
    x_label: str,
    y_label: str,
    reach: float,
    note: str = "",
) -> str:
    """Draws points around the origin.

    Args:
        title: heading of the chart.
        clouds: (name, points [n, 2], number of the colour in the style sheet); of many points some are drawn,
            spread evenly over them.
        x_label: what the horizontal axis shows.
        y_label: what the vertical axis shows.
        reach: both axes go from minus this to this; what lies farther out is not drawn.
        note: one sentence under the title.

    Returns:
        An HTML ``figure``; empty text if there are no points.
    """
    if not any(len(points) for _, points, _ in clouds):
        return ""
    unit_x, unit_y = (_WIDTH - _LEFT - _RIGHT) / (2 * reach), (_HEIGHT - _TOP - _BOTTOM) / (2 * reach)
    parts = [_grid(reach, unit_x, unit_y)]
    for _, points, color in clouds:
        shown = thinned(points[(np.abs(points) <= reach).all(axis=1)])
        places = zip(
            _LEFT + (shown[:, 0] + reach) * unit_x, _TOP + (reach - shown[:, 1]) * unit_y, strict=True
        )
        path = "".join(f"M{x:.1f} {y:.1f}h.1" for x, y in places)
        parts.append(f'<path class="cloud" style="--c:var(--s{color % 6})" d="{path}"></path>')
    parts.append(axis_titles(_WIDTH, _HEIGHT, (_LEFT, _RIGHT, _TOP, _BOTTOM), x_label, y_label))
    entries = legend([(name, color) for name, _, color in clouds])
    return figure(title, note, entries, "".join(parts), _HEIGHT)


def thinned(points: np.ndarray, most: int = _MOST_POINTS) -> np.ndarray:
    """Some of many points [n, ...], ``most`` at most and spread evenly over them."""
    if len(points) <= most:
        return points
    return points[np.linspace(0, len(points) - 1, most).astype(int)]


def _grid(reach: float, unit_x: float, unit_y: float) -> str:
    step = 10 ** math.floor(math.log10(2 * reach / _MARKS))
    step *= next(factor for factor in (1, 2, 5, 10) if 2 * reach / (factor * step) <= _MARKS + 1)
    count = math.floor(reach / step + 1e-9)
    parts = []
    for value in (step * number for number in range(-count, count + 1)):
        x, y = _LEFT + (value + reach) * unit_x, _TOP + (reach - value) * unit_y
        kind = "grid zero" if value == 0 else "grid"
        bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
        parts.append(f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{bottom}"></line>')
        parts.append(f'<line class="{kind}" x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"></line>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 17}" text-anchor="middle">{value:g}</text>')
        parts.append(f'<text x="{_LEFT - 7}" y="{y:.1f}" dy="4" text-anchor="end">{value:g}</text>')
    return "".join(parts)
