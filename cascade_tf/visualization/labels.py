"""Labels of boxes: where they find a place, and how they look."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import ImageDraw

from cascade_tf.visualization.boxes import Area, Style
from cascade_tf.visualization.colors import readable_on
from cascade_tf.visualization.mask_drawing import Color

# A label is left out rather than hide more than this part of the labels of better detections.
MAX_LABEL_OVERLAP = 0.3
# Nor, where objects are filled, more than this part of one of them.
_MAX_COVER = 0.4


class Label(NamedTuple):
    """A line of text with its place in the picture."""

    text: str
    color: Color
    area: Area


def label_text(names: Sequence[str] | None, scores: np.ndarray | None, i: int) -> str:
    """Name and score of object ``i``, as far as they are known."""
    name = "" if names is None else str(names[i])
    score = "" if scores is None else f"{float(scores[i]):.2f}"
    return " ".join(part for part in (name, score) if part)


def place_label(
    labels: list[Label],
    text: str,
    color: Color,
    box: Area,
    style: Style,
    size: tuple[int, int],
    in_sight: np.ndarray,
) -> None:
    """Appends the label at the first free place near its box, if there is one.

    Objects in the areas ``in_sight`` [n, 4] must not vanish behind it.
    """
    if not text:
        return
    text = shorten(text, style.font, size[0] - 2 * style.margin)
    width = math.ceil(style.font.getlength(text)) + 2 * style.margin
    height = math.ceil(style.font.size * 1.12) + style.margin
    x1, y1, x2, y2 = box
    edge = style.line // 2 + max(1, style.line // 3)
    left, right = x1 - edge, x2 + edge - width + 1
    above, below = y1 - edge - height, y2 + edge + 1
    inside_top, inside_bottom = y1 + edge + 1, y2 - edge - height
    corners = [(left, above), (right, above), (left, below), (right, below)]
    if x2 - x1 > width and y2 - y1 > 2 * height:
        corners[2:2] = [(x1 + edge + 1, inside_top), (x1 + edge + 1, inside_bottom)]
    corners += [(x2 + edge + 1, y1), (x1 - edge - width, y1)]
    best, least = None, MAX_LABEL_OVERLAP
    for x, y in corners:
        area = _shift_inside((x, y, x + width, y + height), size)
        moved = 0.02 * (abs(area[0] - x) / width + 4 * abs(area[1] - y) / height)
        hidden = max((hidden_part(label.area, area) for label in labels), default=0.0)
        hidden = max(hidden, _covered_part(in_sight, area) * MAX_LABEL_OVERLAP / _MAX_COVER)
        if hidden + moved < least:
            best, least = area, hidden + moved
        if least == 0:
            break
    if best is not None:
        labels.append(Label(text, color, best))


def _shift_inside(area: Area, size: tuple[int, int]) -> Area:
    x = min(max(area[0], 0), max(size[0] - (area[2] - area[0]), 0))
    y = min(max(area[1], 0), max(size[1] - (area[3] - area[1]), 0))
    return x, y, x + area[2] - area[0], y + area[3] - area[1]


def hidden_part(a: Area, b: Area) -> float:
    """Intersection of two areas over the smaller of them."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    smaller = min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))
    return max(width, 0) * max(height, 0) / max(smaller, 1)


def _covered_part(objects: np.ndarray, area: Area) -> float:
    """The largest part of one of the areas [n, 4] that lies in another."""
    begin, end = objects[:, :2], objects[:, 2:] + 1
    covered = np.maximum(np.minimum(end, area[2:]) - np.maximum(begin, area[:2]), 0).prod(axis=1)
    return float(np.max(covered / (end - begin).prod(axis=1), initial=0.0))


def draw_label(draw: ImageDraw.ImageDraw, label: Label, style: Style) -> None:
    """A rounded plate of the object's colour with the text on it."""
    x1, y1, x2, y2 = label.area
    radius = max(1, style.margin // 2)
    draw.rounded_rectangle((x1, y1, x2 - 1, y2 - 1), radius, fill=(*label.color, 235))
    middle = (y1 + y2) / 2
    ink = readable_on(label.color)
    draw.text((x1 + style.margin, middle), label.text, fill=ink, font=style.font, anchor="lm")


def shorten(text: str, font: Any, width: float) -> str:
    """One line of text that fits, with an ellipsis where something had to go."""
    text = " ".join(text.split())
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…" if text else ""
