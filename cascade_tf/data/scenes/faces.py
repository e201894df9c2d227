"""Faces, as WIDER FACE's: from tiny ones in stands to portraits, blurred, hidden, or none at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from PIL import Image

from cascade_tf.data.scenes import heads, surroundings
from cascade_tf.data.scenes.canvas import Canvas, Seen
from cascade_tf.formats.widerface_annotations import MARKS, AnnotatedFaces

SIZE = (288, 384)
"""Height and width of a picture, pixels; the heights differ by a quarter."""

# Share of a face up to which it is not hidden, and up to which partly; of invalid ones more is hidden.
_FREE, _PARTLY, _INVALID = 0.03, 0.3, 0.85
# Faces that are lower are invalid, pixels.
_LOWEST = 6
_EMPTY = 0.06


class _Event(NamedTuple):
    """Faces of an event.

    Attributes:
        rows: of people, as few and as many.
        heights: of the faces in pixels, those of the last row and of the first.
        gap: between the faces of a row, in heights.
        kept: share of the places that are taken.
    """

    rows: tuple[int, int]
    heights: tuple[tuple[float, float], tuple[float, float]]
    gap: tuple[float, float]
    kept: float


EVENTS: Mapping[str, str] = {
    "stands": "0--Stands",
    "street": "1--Street",
    "team": "2--Team",
    "portrait": "3--Portrait",
}
"""Folders of the pictures, by what they show."""

_EVENTS = {
    "stands": _Event((6, 11), ((5.0, 10.0), (14.0, 34.0)), (1.0, 1.6), 0.75),
    "street": _Event((2, 5), ((8.0, 20.0), (30.0, 90.0)), (1.2, 3.0), 0.45),
    "team": _Event((2, 3), ((20.0, 32.0), (30.0, 50.0)), (1.15, 1.6), 0.9),
    "portrait": _Event((1, 2), ((60.0, 90.0), (90.0, 190.0)), (1.0, 1.8), 0.6),
}


def draw_faces(
    rng: np.random.Generator, event: str, size: tuple[int, int] = SIZE
) -> tuple[Image.Image, AnnotatedFaces]:
    """Draws people of whom the faces matter.

    Args:
        rng: source of everything that is chosen.
        event: one of ``EVENTS``.
        size: (height, width), pixels; the height is about so large.

    Returns:
        The picture, and its annotations as WIDER FACE has them, the nearest first; without a name.
    """
    height, width = int(size[0] * rng.uniform(0.75, 1.25)), size[1]
    canvas = Canvas(surroundings.room(rng, height, width))
    places = sorted(_places(rng, _EVENTS[event], height, width), key=lambda place: place[1])
    is_empty = rng.random() < _EMPTY
    laid: list[tuple[heads.Portrait, int]] = []
    for x, chin, tall in places:
        draw = rng.random()
        if is_empty or draw < 0.12:
            canvas.lay(heads.back_of_head(rng, x, chin, tall))
        elif draw < 0.2:
            canvas.lay(heads.round_thing(rng, x, chin, tall))
        else:
            portrait = _portrait(rng)
            laid.append((portrait, canvas.lay(heads.head(rng, x, chin, tall, portrait))))
            if rng.random() < 0.15:
                canvas.lay(heads.cover(rng, x, chin, tall))
    rows = [
        row for portrait, number in reversed(laid) for row in _row(portrait, canvas.seen(number), canvas.size)
    ]
    table = np.array(rows, np.float64).reshape(-1, 4 + len(MARKS))
    marks = {mark: table[:, 4 + i].astype(np.int64) for i, mark in enumerate(MARKS)}
    return canvas.finish(rng), AnnotatedFaces(EVENTS[event], "", table[:, :4], marks)


def _places(
    rng: np.random.Generator, event: _Event, height: int, width: int
) -> list[tuple[float, float, float]]:
    """Middle, chin and height of each face, the rows from the back to the front."""
    count = int(rng.integers(event.rows[0], event.rows[1] + 1))
    last, first = (rng.uniform(*heights) for heights in event.heights)
    first = min(first, 0.6 * height)
    sizes = np.geomspace(first, min(last, first), count)[::-1]
    # The front row stands so that its faces are in the picture; the rows behind it reach higher.
    lowest = rng.uniform(0.7, 0.95) * height
    chins = np.linspace(lowest, 0.3 * height, count)[::-1]
    places = []
    for chin, tall in zip(chins.tolist(), sizes.tolist(), strict=True):
        gap = rng.uniform(*event.gap) * tall
        for x in np.arange(rng.uniform(-0.5, 0.5) * gap, width + 0.3 * tall, gap).tolist():
            if rng.random() < event.kept:
                own = tall * float(np.exp(rng.normal(0.0, 0.1)))
                aside, down = rng.normal(0.0, 0.15, 2) * tall
                places.append((float(x + aside), float(chin + down), own))
    return places


def _portrait(rng: np.random.Generator) -> heads.Portrait:
    return heads.Portrait(
        blur=int(rng.choice(3, p=(0.6, 0.25, 0.15))),
        exaggerated=bool(rng.random() < 0.1),
        extreme_light=bool(rng.random() < 0.1),
        turned=bool(rng.random() < 0.2),
    )


def _row(portrait: heads.Portrait, seen: Seen, size: tuple[int, int]) -> list[tuple[float, ...]]:
    """Box and marks of a face; nothing of one that cannot be seen."""
    if seen.visible_box is None:
        return []
    x1, y1 = max(seen.box[0], 0), max(seen.box[1], 0)
    x2, y2 = min(seen.box[2], size[1]), min(seen.box[3], size[0])
    gone = 1.0 - (1.0 - seen.truncated) * (1.0 - seen.hidden)
    marks = {
        "blur": portrait.blur,
        "expression": int(portrait.exaggerated),
        "illumination": int(portrait.extreme_light),
        "invalid": int(gone > _INVALID or y2 - y1 < _LOWEST),
        "occlusion": int(gone > _FREE) + int(gone > _PARTLY),
        "pose": int(portrait.turned),
    }
    return [(x1, y1, x2 - x1, y2 - y1, *(marks[mark] for mark in MARKS))]
