"""Masks of objects on a picture: a translucent fill and a contour in a colour of its own for each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

Color = tuple[int, int, int]

# In 1..255: the ground stays visible under a fill, and a rim parts a contour from ground of its own colour.
_FILL = 84
_RIM = 130
_INK: Color = (0, 0, 0)
# A contour thicker than this part of an object would hide it.
_MAX_CONTOUR = 0.08


class _Window(NamedTuple):
    """A part of a mask.

    Attributes:
        pixels: [h, w] bool.
        left: column of its first pixel in the whole.
        top: row of it.
    """

    pixels: np.ndarray
    left: int
    top: int


def spread_colors(boxes: np.ndarray, palette: Sequence[Color]) -> list[Color]:
    """Chooses a colour for each box such that boxes of one colour lie far apart.

    Args:
        boxes: [n, 4] (x1, y1, x2, y2), finite; the first ones choose first.
        palette: colours to choose from, in the order of preference.

    Returns:
        n colours; n is at most the palette's length where all differ.
    """
    chosen = np.zeros(len(boxes), np.int64)
    for i, box in enumerate(boxes):
        # A gap below zero is an overlap.
        gaps = np.maximum(box[:2] - boxes[:i, 2:], boxes[:i, :2] - box[2:]).max(axis=1)
        nearest = np.full(len(palette), np.inf)
        np.minimum.at(nearest, chosen[:i], gaps)
        chosen[i] = nearest.argmax()
    return [palette[index] for index in chosen.tolist()]


def paint_mask(picture: Image.Image, mask: Any, color: Color, line: int, size: tuple[int, int]) -> None:
    """Paints one object's pixels.

    Args:
        picture: RGB, painted on; it may be larger than the image that the mask belongs to.
        mask: [H, W] array, true where the object is, or COCO's run lengths of it.
        color: of the fill and the contour.
        line: width of the contour in pixels of the picture; small objects get a thinner one.
        size: (height, width) of the image.

    Raises:
        ValueError: the mask is of another size.
    """
    window = _window(mask, size)
    if window is None:
        return
    scaled = _scale(window, size, picture.size)
    # Room for the rim, and for the contour of an object that ends with the window.
    pixels = np.pad(scaled.pixels, 1)
    width = max(1, min(line, round(_MAX_CONTOUR * math.sqrt(np.count_nonzero(pixels)))))
    inside = pixels
    for _ in range(width):
        inside = inside & _all_neighbours(inside)
    place = (scaled.left - 1, scaled.top - 1)
    rim = ~pixels & ~_all_neighbours(~pixels)
    picture.paste(_INK, place, Image.fromarray(np.where(rim, _RIM, 0).astype(np.uint8)))
    opacity = np.where(inside, _FILL, np.where(pixels, 255, 0)).astype(np.uint8)
    picture.paste(color, place, Image.fromarray(opacity))


def _window(mask: Any, size: tuple[int, int]) -> _Window | None:
    """The smallest part that holds all of the object's pixels; None if it has none."""
    if isinstance(mask, Mapping):
        mask = coco_mask.decode(dict(mask))
    pixels = np.asarray(mask)
    if pixels.shape != tuple(size):
        raise ValueError(f"a mask must be [H, W] = {list(size)} as its image, got {list(pixels.shape)}")
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    if not rows.size:
        return None
    part = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return _Window(part.astype(bool), int(columns[0]), int(rows[0]))


def _scale(window: _Window, size: tuple[int, int], picture_size: tuple[int, int]) -> _Window:
    """The same in pixels of an enlarged picture, with a smooth outline."""
    if picture_size == tuple(size[::-1]):
        return window
    # A pixel of ground around the object, for the outline to run to, but none outside the image.
    end = np.add((window.top, window.left), window.pixels.shape)
    before, after = np.minimum((window.top, window.left), 1), np.minimum(size - end, 1)
    image = Image.fromarray(np.pad(window.pixels, np.stack([before, after], 1)).astype(np.uint8) * 255)
    corner = np.array([window.left, window.top]) - before[::-1]
    scale = np.array(picture_size) / size[::-1]
    first = np.maximum(np.ceil(corner * scale), 0).astype(int)
    last = np.minimum(np.floor((corner + image.size) * scale), picture_size).astype(int)
    # Rounding must not lead out of the image.
    source = np.clip(np.concatenate([first / scale - corner, last / scale - corner]), 0, image.size * 2)
    enlarged = image.resize(tuple(last - first), Image.Resampling.BILINEAR, box=tuple(source.tolist()))
    return _Window(np.asarray(enlarged) >= 128, int(first[0]), int(first[1]))


def _all_neighbours(pixels: np.ndarray) -> np.ndarray:
    """Whether all four neighbours are true; beyond the array they are what the pixel itself is."""
    every = pixels.copy()
    every[1:] &= pixels[:-1]
    every[:-1] &= pixels[1:]
    every[:, 1:] &= pixels[:, :-1]
    every[:, :-1] &= pixels[:, 1:]
    return every
