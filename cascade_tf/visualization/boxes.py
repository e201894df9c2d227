"""Frames around objects, of the sizes that suit the picture."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np
from PIL import ImageDraw, ImageFont

from cascade_tf.visualization.colors import INK, PAPER
from cascade_tf.visualization.mask_drawing import Color

Area = tuple[int, int, int, int]
"""Left, top, right and bottom in whole pixels."""


class Style(NamedTuple):
    """Sizes in pixels.

    Attributes:
        line: width of a frame.
        font: of the labels.
        margin: around a label's text.
    """

    line: int
    font: Any
    margin: int


@functools.lru_cache(maxsize=32)
def style_of(size: tuple[int, int], density: float) -> Style:
    """What suits a picture of this (width, height) that is so many times as full as a roomy one."""
    reach = math.sqrt(size[0] * size[1]) / density
    font_size = min(max(12.0, reach / 38), 40.0)
    return Style(
        line=max(2, round(reach / 260)),
        font=ImageFont.load_default(font_size),
        margin=max(2, round(font_size * 0.28)),
    )


def visible_area(box: np.ndarray, size: tuple[int, int]) -> Area | None:
    """First and last pixel (x1, y1, x2, y2) of the visible part of a box; None where nothing is visible."""
    if not np.isfinite(box).all() or box[2] < box[0] or box[3] < box[1]:
        return None
    if box[2] < 0 or box[3] < 0 or box[0] >= size[0] or box[1] >= size[1]:
        return None
    x1, y1 = (min(max(round(value), 0), most - 1) for value, most in zip(box[:2], size, strict=True))
    x2, y2 = (min(max(round(value) - 1, 0), most - 1) for value, most in zip(box[2:], size, strict=True))
    return x1, y1, max(x1, x2), max(y1, y2)


def draw_box(draw: ImageDraw.ImageDraw, area: Area, color: Color, style: Style) -> None:
    """A coloured frame between two thin dark ones: it stands out on ground of its own colour too."""
    x1, y1, x2, y2 = area
    half = style.line // 2
    rim = max(1, style.line // 3)
    outer = (x1 - half - rim, y1 - half - rim, x2 + half + rim, y2 + half + rim)
    draw.rectangle(outer, outline=(*INK, 150), width=style.line + 2 * rim)
    draw.rectangle((x1 - half, y1 - half, x2 + half, y2 + half), outline=color, width=style.line)


def draw_thin_box(draw: ImageDraw.ImageDraw, area: Area, color: Color) -> None:
    """A faint frame: the contour says more."""
    draw.rectangle(area, outline=(*color, 170), width=1)


def draw_dashed(draw: ImageDraw.ImageDraw, area: Area, style: Style) -> None:
    """Short white strokes on a faint dark line: seen on any ground, lighter than a detection's frame."""
    x1, y1, x2, y2 = area
    width = max(1, style.line // 2)
    draw.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), outline=(*INK, 120), width=width + 2)
    stroke = 5 * width
    for start in range(x1, x2 + 1, 2 * stroke):
        end = min(start + stroke, x2)
        draw.rectangle((start, y1, end, y1 + width - 1), fill=PAPER)
        draw.rectangle((start, y2 - width + 1, end, y2), fill=PAPER)
    for start in range(y1, y2 + 1, 2 * stroke):
        end = min(start + stroke, y2)
        draw.rectangle((x1, start, x1 + width - 1, end), fill=PAPER)
        draw.rectangle((x2 - width + 1, start, x2, end), fill=PAPER)
