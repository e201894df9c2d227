"""Pieces of HTML and the texts in them."""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

_MAX_PICTURE_SIDE = 1280


def table(header: Sequence[str], rows: Sequence[str]) -> str:
    """Returns a table whose first column names the rows; the rows are HTML."""
    head = "".join(f'<th scope="col">{html.escape(text)}</th>' for text in header)
    parts = f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return f'<div class="card scroll"><table>{parts}</table></div>'


def definitions(rows: Sequence[tuple[str, str]], kind: str = "") -> str:
    """Returns a list of names and what they stand for."""
    entries = "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>" for name, value in rows)
    return f'<dl class="{kind}">{entries}</dl>'


def dotted(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Returns (name, text) pairs; the names of nested mappings are joined by dots."""
    rows = []
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            rows += dotted(value, f"{name}.")
        elif isinstance(value, (list, tuple)):
            rows.append((name, ", ".join(map(str, value))))
        else:
            rows.append((name, str(value)))
    return rows


def data_url(picture: np.ndarray) -> str:
    """Returns a [H, W, 3] uint8 picture as a JPEG within the page, made smaller if it is large.

    Raises:
        ValueError: the picture has another type or shape.
    """
    picture = np.asarray(picture)
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise ValueError(f"a picture must be uint8 [H, W, 3], got {picture.dtype} {list(picture.shape)}")
    image = Image.fromarray(picture)
    image.thumbnail((_MAX_PICTURE_SIDE, _MAX_PICTURE_SIDE), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    image.save(data, "JPEG", quality=88, subsampling=0, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode("ascii")


def gallery(pictures: Sequence[tuple[str, np.ndarray]], kind: str = "") -> str:
    """Returns pictures with their captions, which the page enlarges on a click.

    Args:
        pictures: (caption, [H, W, 3] uint8 image).
        kind: ``"wide"`` for pictures that need more width.

    Raises:
        ValueError: a picture is not uint8 [H, W, 3].
    """
    figures = []
    for caption, picture in pictures:
        text = html.escape(caption)
        image = f'<img src="{data_url(picture)}" alt="{text}" loading="lazy">'
        figures.append(
            f'<figure class="card"><button type="button" aria-label="Enlarge: {text}">{image}</button>'
            f"<figcaption>{text}</figcaption></figure>"
        )
    return f'<div class="{f"gallery {kind}".strip()}">{"".join(figures)}</div>'


def duration(value: float | str) -> str:
    """Returns seconds as text for people; text stays as it is."""
    if isinstance(value, str):
        return value
    if value < 60:
        return f"{value:.1f} s"
    minutes, seconds = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s"


def percent(value: float) -> str:
    """Returns a fraction as a percentage with one digit; a dash for NaN."""
    return "–" if math.isnan(value) else f"{100 * value:.1f}"


def signed(value: float) -> str:
    """Returns a difference of fractions in percentage points, with its sign."""
    return "–" if math.isnan(value) else f"{100 * value:+.1f}".replace("-", "−")
