"""A picture that is laid over from the back to the front, and knows which pixel shows which figure.

What is said of an object is counted from there: which part of it lies outside of the picture, which part is
hidden by others, and the boxes around all of it and around what can be seen.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from cascade_tf.data.scenes.pen import Figure

# A pixel belongs to a figure that covers at least this part of it.
_COVERED = 0.5
_NOBODY = -1


class Seen(NamedTuple):
    """What can be seen of a figure, counted in pixels.

    Attributes:
        box: (x1, y1, x2, y2) around all of it, beyond the picture too.
        visible_box: the same around the pixels that can be seen, None if none can.
        truncated: share of its pixels that lie outside of the picture.
        hidden: share of its pixels in the picture that others hide; 1 where it has none there.
    """

    box: tuple[int, int, int, int]
    visible_box: tuple[int, int, int, int] | None
    truncated: float
    hidden: float


class Canvas:
    """A picture in the making.

    Args:
        surface: [H, W, 3] float32 in 0..1, what lies behind all figures.
    """

    def __init__(self, surface: np.ndarray) -> None:
        self._image = np.array(surface, np.float32)
        self._owner: np.ndarray = np.full(surface.shape[:2], _NOBODY, np.int32)
        self._figures: list[Figure] = []

    @property
    def size(self) -> tuple[int, int]:
        """(height, width), pixels."""
        height, width = self._owner.shape
        return height, width

    def lay(self, figure: Figure, owner: int | None = None) -> int:
        """Lays a figure over all that were laid before, and returns its number.

        Args:
            figure: what is laid.
            owner: number of the figure whose pixels these are all the same: it is printed on that.
        """
        number = len(self._figures)
        self._figures.append(figure)
        rows, columns, inside = self._window(figure)
        cover = figure.cover[inside][..., None]
        image = self._image[rows, columns]
        image += (figure.colours[inside] - image) * cover
        self._owner[rows, columns][cover[..., 0] >= _COVERED] = number if owner is None else owner
        return number

    def darken(self, x: float, y: float, radii: tuple[float, float], strength: float) -> None:
        """Casts a soft shadow, an ellipse around (x, y)."""
        height, width = self.size
        reach_x, reach_y = 1.5 * radii[0], 1.5 * radii[1]
        rows = slice(max(int(y - reach_y), 0), min(int(y + reach_y) + 1, height))
        columns = slice(max(int(x - reach_x), 0), min(int(x + reach_x) + 1, width))
        down = (np.arange(height, dtype=np.float32)[rows, None] + 0.5 - y) / radii[1]
        right = (np.arange(width, dtype=np.float32)[columns] + 0.5 - x) / radii[0]
        shadow = np.clip(1.5 - np.hypot(down, right), 0.0, 1.0) * strength
        self._image[rows, columns] *= 1.0 - shadow[..., None]

    def seen(self, number: int) -> Seen:
        """Counts what can be seen of a figure, now that all are laid."""
        figure = self._figures[number]
        part = figure.part
        rows, columns, inside = self._window(figure)
        visible = part[inside] & (self._owner[rows, columns] == number)
        x1, y1, x2, y2 = tight_box(part)
        within = int(part[inside].sum())
        shown = None
        if visible.any():
            left, top, right, bottom = tight_box(visible)
            shown = (left + columns.start, top + rows.start, right + columns.start, bottom + rows.start)
        return Seen(
            (x1 + figure.left, y1 + figure.top, x2 + figure.left, y2 + figure.top),
            shown,
            1.0 - within / int(part.sum()),
            1.0 - int(visible.sum()) / within if within else 1.0,
        )

    def finish(self, rng: np.random.Generator) -> Image.Image:
        """The picture as a camera takes it: uneven light, not quite sharp, with noise."""
        height, width = self.size
        across = np.linspace(-1.0, 1.0, width, dtype=np.float32) * rng.uniform(-0.15, 0.15)
        down = np.linspace(-1.0, 1.0, height, dtype=np.float32)[:, None] * rng.uniform(-0.1, 0.1)
        lit = self._image * ((1.0 + across + down) * rng.uniform(0.75, 1.1))[..., None]
        tint = 1.0 + rng.uniform(-0.06, 0.06, 3).astype(np.float32)
        soft = Image.fromarray(_bytes(lit * tint)).filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.7)))
        noise = rng.uniform(0.01, 0.03) * rng.standard_normal((height, width, 3), np.float32)
        return Image.fromarray(_bytes(np.asarray(soft, np.float32) / 255.0 + noise))

    def _window(self, figure: Figure) -> tuple[slice, slice, tuple[slice, slice]]:
        """Rows and columns of the picture that a figure covers, and the same in the figure."""
        height, width = figure.cover.shape
        top, left = max(figure.top, 0), max(figure.left, 0)
        bottom = max(min(figure.top + height, self.size[0]), top)
        right = max(min(figure.left + width, self.size[1]), left)
        inside = (
            slice(top - figure.top, bottom - figure.top),
            slice(left - figure.left, right - figure.left),
        )
        return slice(top, bottom), slice(left, right), inside


def tight_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """(x1, y1, x2, y2) around the pixels of a mask that has some."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _bytes(image: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(image * 255.0), 0, 255).astype(np.uint8)
