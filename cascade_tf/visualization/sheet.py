"""Many pictures on one sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cascade_tf.visualization.colors import readable_on
from cascade_tf.visualization.labels import shorten
from cascade_tf.visualization.mask_drawing import Color
from cascade_tf.visualization.pictures import check_length, to_picture


def contact_sheet(
    pictures: Sequence[np.ndarray],
    captions: Sequence[str] | None = None,
    *,
    columns: int = 3,
    width: int = 1600,
    background: Color = (255, 255, 255),
) -> np.ndarray:
    """Arranges pictures in rows that all fill the same width, each row as high as its pictures ask for.

    Args:
        pictures: images [h, w, 3] or [h, w] uint8 of any sizes, at least one.
        captions: one line of text under each picture.
        columns: pictures in a row; the last row may have fewer, and is then as high as the row before.
        width: of the sheet in pixels.
        background: colour between the pictures.

    Returns:
        [height, width, 3] uint8.

    Raises:
        ValueError: there is no picture, or the lengths do not agree.
    """
    if not pictures or columns < 1:
        raise ValueError(f"a sheet needs pictures and columns, got {len(pictures)} and {columns}")
    check_length("captions", captions, len(pictures))
    cells = [to_picture(picture) for picture in pictures]
    gap = max(2, width // 100)
    font_size = max(11.0, width / 80)
    font = ImageFont.load_default(font_size)
    text_height = math.ceil(font_size * 1.9) if captions is not None else 0
    placed: list[tuple[Image.Image, int, int, str]] = []
    top, height = gap, 0.0
    for start in range(0, len(cells), columns):
        row = cells[start : start + columns]
        room = width - gap * (len(row) + 1)
        fitting = room / sum(cell.width / cell.height for cell in row)
        height = min(fitting, height) if len(row) < columns and start else fitting
        left = float(gap)
        for number, cell in enumerate(row, start=start):
            right = left + height * cell.width / cell.height
            size = (max(1, round(right) - round(left)), max(1, round(height)))
            caption = "" if captions is None else captions[number]
            placed.append((cell.resize(size, Image.Resampling.LANCZOS), round(left), top, caption))
            left = right + gap
        top += max(1, round(height)) + text_height + gap
    sheet = Image.new("RGB", (width, top), background)
    draw = ImageDraw.Draw(sheet)
    ink = readable_on(background)
    for cell, left_edge, top_edge, caption in placed:
        sheet.paste(cell, (left_edge, top_edge))
        text = shorten(caption, font, cell.width)
        middle = top_edge + cell.height + text_height / 2
        draw.text((left_edge + 1, middle), text, fill=ink, font=font, anchor="lm")
    return np.array(sheet)
