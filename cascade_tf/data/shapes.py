"""Outlines and surfaces of the objects in drawn scenes.

Everything is a function of points in the object's own frame, where its outline touches the unit circle; so a
pattern turns and grows with its object. Outlines are signed distances: negative inside, 0 on the border.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Field = np.ndarray  # [h, w] float32, one value for each pixel


def disc(x: Field, y: Field) -> Field:
    """A filled circle."""
    return np.hypot(x, y) - 1.0


def ring(x: Field, y: Field) -> Field:
    """A circle with a hole of not quite half its width."""
    return np.abs(np.hypot(x, y) - 0.72) - 0.28


def square(x: Field, y: Field) -> Field:
    """A square."""
    side = np.sqrt(0.5, dtype=np.float32)
    dx, dy = np.abs(x) - side, np.abs(y) - side
    return np.hypot(np.maximum(dx, 0), np.maximum(dy, 0)) + np.minimum(np.maximum(dx, dy), 0)


def triangle(x: Field, y: Field) -> Field:
    """An equilateral triangle."""
    return _polygon(x, y, _corners(3, (1.0,)))


def star(x: Field, y: Field) -> Field:
    """A star with five points."""
    return _polygon(x, y, _corners(5, (1.0, 0.48)))


def _corners(points: int, radii: tuple[float, ...]) -> np.ndarray:
    """Corners on circles in turn, the first one on top."""
    count = points * len(radii)
    angle = 2 * np.pi * np.arange(count) / count
    radius = np.array([radii[i % len(radii)] for i in range(count)])
    return np.stack([radius * np.sin(angle), -radius * np.cos(angle)], axis=1).astype(np.float32)


def _polygon(x: Field, y: Field, corners: np.ndarray) -> Field:
    nearest = np.full(x.shape, np.inf, np.float32)
    inside = np.zeros(x.shape, bool)
    for (ax, ay), (bx, by) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        ex, ey, px, py = bx - ax, by - ay, x - ax, y - ay
        along = np.clip((px * ex + py * ey) / (ex * ex + ey * ey), 0.0, 1.0)
        nearest = np.minimum(nearest, np.hypot(px - along * ex, py - along * ey))
        # Even-odd rule: count the edges that a ray to the right crosses.
        crosses = (ay > y) != (by > y)
        inside ^= crosses & (x < ax + ex * (y - ay) / (ey if ey else 1.0))
    return np.where(inside, -nearest, nearest)


def plain(x: Field, y: Field) -> Field:
    """One colour, a little lighter in the middle."""
    return 0.35 * np.hypot(x, y)


def stripes(x: Field, y: Field) -> Field:
    """Parallel bands."""
    return _step(np.sin(7.0 * x))


def checks(x: Field, y: Field) -> Field:
    """A chessboard."""
    return _step(np.sin(6.5 * x) * np.sin(6.5 * y) * 2.0)


def dots(x: Field, y: Field) -> Field:
    """Spots on a grid."""
    return _step(np.cos(9.0 * x) + np.cos(9.0 * y) - 0.6)


def spokes(x: Field, y: Field) -> Field:
    """Sectors around the centre."""
    return _step(np.sin(4.0 * np.arctan2(y, x)) * 2.0)


def waves(x: Field, y: Field) -> Field:
    """Bands around the centre."""
    return _step(np.sin(13.0 * np.hypot(x, y)))


def _step(value: Field) -> Field:
    """0 to 1 with a soft edge, so that small objects do not flicker."""
    return np.clip(0.5 + 2.5 * value, 0.0, 1.0)


OUTLINES: dict[str, Callable[[Field, Field], Field]] = {
    "disc": disc,
    "square": square,
    "triangle": triangle,
    "star": star,
    "ring": ring,
}
PATTERNS: tuple[Callable[[Field, Field], Field], ...] = (plain, stripes, checks, dots, spokes, waves)
