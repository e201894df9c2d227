"""Draws one figure: outlines in units of the figure's own, soft edges, light and grain on its surface."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Colour = tuple[float, float, float]
"""RGB in 0..1."""

Points = Sequence[tuple[float, float]]

# Figures are drawn so many times as large, and shrunk; small ones need it more.
_FINE, _COARSE, _SMALL = 6, 3, 48.0


class Figure(NamedTuple):
    """What was drawn, a cut-out of the picture.

    Attributes:
        colours: [h, w, 3] float32 in 0..1.
        cover: [h, w] float32, how much of each pixel is covered.
        part: [h, w] bool, the pixels that are the object: all that are covered, or a face alone.
        left: of the cut-out in the picture, pixels.
        top: of the cut-out in the picture, pixels.
    """

    colours: np.ndarray
    cover: np.ndarray
    part: np.ndarray
    left: int
    top: int


class Pen:
    """Draws a figure that stands on the ground.

    A figure's units: x to the right from its middle, y upwards from the ground; one of them is ``scale``
    pixels.

    Args:
        x: the figure's middle in the picture, pixels.
        ground: where it stands in the picture, pixels.
        scale: pixels in a unit.
        reach: units that it takes to the left and to the right, and upwards.
        below: units that it takes below the ground: wheels and feet that come towards the viewer.
        mirrored: draw left what is said to be right.
    """

    def __init__(
        self,
        x: float,
        ground: float,
        scale: float,
        reach: tuple[float, float],
        *,
        below: float = 0.1,
        mirrored: bool = False,
    ) -> None:
        self.left = math.floor(x - reach[0] * scale) - 1
        self.top = math.floor(ground - reach[1] * scale) - 1
        self.width = math.ceil(x + reach[0] * scale) + 1 - self.left
        self.height = math.ceil(ground + below * scale) + 1 - self.top
        self._fine = _FINE if scale < _SMALL else _COARSE
        self._origin, self._scale = (x, ground), scale
        self._turn = -1.0 if mirrored else 1.0
        self._image = self._blank("RGBA")
        self._draw = ImageDraw.Draw(self._image)
        self._part: Image.Image | None = None

    def polygon(self, points: Points, colour: Colour) -> None:
        """Fills an outline."""
        self._draw.polygon(self._places(points), fill=_ink(colour))

    def box(self, x1: float, y1: float, x2: float, y2: float, colour: Colour, round_by: float = 0.0) -> None:
        """Fills a rectangle, its corners rounded by so many units."""
        radius = round_by * self._scale * self._fine
        self._draw.rounded_rectangle(self._frame(x1, y1, x2, y2), radius, fill=_ink(colour))

    def ellipse(self, x1: float, y1: float, x2: float, y2: float, colour: Colour) -> None:
        """Fills an ellipse that touches a rectangle."""
        self._draw.ellipse(self._frame(x1, y1, x2, y2), fill=_ink(colour))

    def line(self, points: Points, width: float, colour: Colour) -> None:
        """Draws a line with round ends, so many units wide."""
        places = self._places(points)
        thick = max(width * self._scale * self._fine, 1.0)
        self._draw.line(places, fill=_ink(colour), width=round(thick), joint="curve")
        for x, y in places:
            self._draw.ellipse((x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2), _ink(colour))

    def mark_ellipse(self, x1: float, y1: float, x2: float, y2: float) -> None:
        """Says that the object is what lies in an ellipse, and not all that is drawn."""
        self._part = self._part or self._blank("L")
        ImageDraw.Draw(self._part).ellipse(self._frame(x1, y1, x2, y2), fill=255)

    def figure(self, rng: np.random.Generator, *, blur: float = 0.0, light: float = 1.0) -> Figure:
        """Finishes the figure.

        Args:
            rng: source of the grain of its surface, and of where the light comes from.
            blur: radius in pixels by which it is out of focus.
            light: how bright it is lit.
        """
        image = self._image.resize((self.width, self.height), Image.Resampling.BOX)
        if blur > 0.0:
            image = image.filter(ImageFilter.GaussianBlur(blur))
        pixels = np.asarray(image, np.float32) / 255.0
        cover = pixels[..., 3]
        down = np.linspace(1.0 + rng.uniform(0.0, 0.2), 1.0 - rng.uniform(0.0, 0.2), self.height)
        side = np.linspace(-1.0, 1.0, self.width) * rng.uniform(-0.15, 0.15)
        grain = 0.04 * rng.standard_normal(cover.shape, np.float32)
        shade = (light * (down[:, None] + side + grain)).astype(np.float32)
        part = cover
        if self._part is not None:
            small = self._part.resize((self.width, self.height), Image.Resampling.BOX)
            part = np.asarray(small, np.float32) / 255.0
        # An object of less than a pixel is the pixel that it covers most.
        is_part = part >= min(0.5, float(part.max()))
        return Figure(np.clip(pixels[..., :3] * shade[..., None], 0, 1), cover, is_part, self.left, self.top)

    def _blank(self, mode: str) -> Image.Image:
        return Image.new(mode, (self.width * self._fine, self.height * self._fine))

    def _places(self, points: Points) -> list[tuple[float, float]]:
        return [
            (
                (self._origin[0] + self._turn * x * self._scale - self.left) * self._fine,
                (self._origin[1] - y * self._scale - self.top) * self._fine,
            )
            for x, y in points
        ]

    def _frame(self, x1: float, y1: float, x2: float, y2: float) -> tuple[float, float, float, float]:
        (ax, ay), (bx, by) = self._places([(x1, y1), (x2, y2)])
        return min(ax, bx), min(ay, by), max(ax, bx), max(ay, by)


def mixed(first: Colour, second: Colour, share: float) -> Colour:
    """A colour between two: ``share`` of the second."""
    r, g, b = (a + (b - a) * share for a, b in zip(first, second, strict=True))
    return r, g, b


def random_colour(rng: np.random.Generator, dullness: float = 0.5) -> Colour:
    """A colour of any brightness; the duller, the nearer to grey."""
    value = rng.uniform(0.08, 0.95)
    r, g, b = (np.clip(value + (1.0 - dullness) * rng.uniform(-0.4, 0.4, 3), 0.02, 0.98)).tolist()
    return r, g, b


def _ink(colour: Colour) -> tuple[int, int, int, int]:
    r, g, b = (round(min(max(channel, 0.0), 1.0) * 255) for channel in colour)
    return r, g, b, 255
