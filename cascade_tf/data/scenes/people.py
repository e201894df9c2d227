"""People: walking, sitting, on a bicycle; units are their heights."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cascade_tf.data.scenes.pen import Colour, Figure, Pen, mixed, random_colour

_REACH = (0.36, 1.04)
_TYRE: Colour = (0.06, 0.06, 0.07)


class Looks(NamedTuple):
    """What somebody wears, and their skin and hair."""

    skin: Colour
    hair: Colour
    top: Colour
    legs: Colour
    shoes: Colour


def choose_looks(rng: np.random.Generator) -> Looks:
    """Anybody."""
    skin = mixed((0.95, 0.78, 0.66), (0.33, 0.2, 0.13), float(rng.beta(1.0, 1.6)))
    hair = mixed((0.08, 0.06, 0.05), (0.75, 0.6, 0.35), float(rng.beta(0.7, 2.0)))
    return Looks(skin, hair, random_colour(rng, 0.45), random_colour(rng, 0.8), random_colour(rng, 0.8))


def walker(rng: np.random.Generator, x: float, ground: float, height: float) -> Figure:
    """Somebody who stands or walks, with a coat, a skirt, a bag or nothing of these."""
    looks = choose_looks(rng)
    pen = Pen(x, ground, height, _REACH, mirrored=bool(rng.random() < 0.5))
    stride, swing = rng.uniform(0.0, 0.15), rng.uniform(-0.12, 0.12)
    wide = rng.uniform(0.085, 0.125)
    for side in (-1, 1):
        foot = side * (0.045 + stride * 0.75)
        knee = (side * (0.045 + stride * 0.5) + (0.02 if stride > 0.06 else 0.0), 0.25)
        shade = mixed(looks.legs, (0.0, 0.0, 0.0), 0.25 if side < 0 else 0.0)
        pen.line([(side * 0.035, 0.5), knee, (foot, 0.04)], 0.075, shade)
        pen.box(foot - 0.03, 0.0, foot + 0.065, 0.035, looks.shoes, 0.012)
    _arm(pen, looks, -wide - 0.02, swing)
    hem = float(rng.choice([0.47, 0.47, 0.4, 0.28]))
    pen.polygon([(-wide, 0.8), (wide, 0.8), (wide * 0.95, hem), (-wide * 0.95, hem)], looks.top)
    pen.ellipse(-wide, 0.72, wide, 0.86, looks.top)
    _arm(pen, looks, wide + 0.02, -swing)
    if rng.random() < 0.3:
        bag = random_colour(rng)
        pen.line([(-wide * 0.8, 0.8), (wide, 0.5)], 0.02, bag)
        pen.box(wide - 0.03, 0.4, wide + 0.09, 0.53, bag, 0.02)
    _head(pen, looks, rng, 0.0, 0.92)
    return pen.figure(rng)


def sitter(rng: np.random.Generator, x: float, ground: float, height: float) -> Figure:
    """Somebody on a bench, from the side; ``height`` is what it would be upright."""
    looks = choose_looks(rng)
    pen = Pen(x, ground, height, _REACH, mirrored=bool(rng.random() < 0.5))
    wood = mixed((0.4, 0.26, 0.14), random_colour(rng), 0.3)
    pen.line([(-0.1, 0.27), (-0.1, 0.0)], 0.03, wood)
    pen.line([(-0.2, 0.27), (0.16, 0.27)], 0.04, wood)
    pen.line([(-0.04, 0.31), (0.2, 0.3), (0.21, 0.05)], 0.085, looks.legs)
    pen.box(0.18, 0.0, 0.29, 0.04, looks.shoes, 0.012)
    pen.line([(-0.05, 0.32), (-0.07, 0.56)], 0.17, looks.top)
    pen.line([(-0.05, 0.56), (0.05, 0.42), (0.16, 0.4)], 0.05, mixed(looks.top, (0.0, 0.0, 0.0), 0.2))
    pen.ellipse(0.13, 0.37, 0.19, 0.43, looks.skin)
    _head(pen, looks, rng, -0.05, 0.72)
    return pen.figure(rng)


def rider(rng: np.random.Generator, x: float, ground: float, height: float, turn: float) -> Figure:
    """Somebody on a bicycle.

    Args:
        rng: source of everything that is chosen.
        x: of the middle.
        ground: where the wheels stand.
        height: from there to the head.
        turn: 0 is seen from the front, 1 from the side; the bicycle is so long.
    """
    looks, frame = choose_looks(rng), random_colour(rng, 0.2)
    pen = Pen(x, ground, height, (0.56, 1.04), mirrored=bool(rng.random() < 0.5))
    axle, radius = 0.3 * turn, 0.19
    for side in (-axle, axle):
        _wheel(pen, side, radius, max(radius * turn, 0.025))
    pen.line([(-axle, radius), (-0.08 * turn, 0.46), (0.22 * turn, 0.5), (axle, radius)], 0.025, frame)
    pen.line([(-0.08 * turn, 0.46), (0.02 * turn, 0.2), (0.22 * turn, 0.5)], 0.025, frame)
    spread = 0.07 * (1.0 - turn)
    pen.line(
        [(-0.08 * turn - spread, 0.52), (0.1 * turn - spread, 0.36), (0.03 * turn, 0.14)], 0.075, looks.legs
    )
    pen.line([(-0.06 * turn + spread, 0.52), (0.13 * turn + spread, 0.42), (0.05, 0.22)], 0.075, looks.legs)
    pen.box(-0.02 * turn - 0.02, 0.1, 0.09, 0.14, looks.shoes)
    pen.line([(-0.07 * turn, 0.53), (0.06 * turn, 0.78)], 0.17 - 0.02 * turn, looks.top)
    bar = (0.22 * turn, 0.56)
    pen.line([(0.05 * turn - spread, 0.76), (0.13 * turn - 2 * spread, 0.62), bar], 0.05, looks.top)
    pen.line([(0.05 * turn + spread, 0.76), (0.15 * turn + 2 * spread, 0.63), bar], 0.05, looks.top)
    _head(pen, looks, rng, 0.09 * turn, 0.92)
    return pen.figure(rng)


def bicycle(rng: np.random.Generator, x: float, ground: float, height: float) -> Figure:
    """A bicycle without its rider, whose head would be at ``height``."""
    frame = random_colour(rng, 0.2)
    pen = Pen(x, ground, height, (0.56, 0.7), mirrored=bool(rng.random() < 0.5))
    for side in (-0.3, 0.3):
        _wheel(pen, side, 0.19, 0.19)
    pen.line([(-0.3, 0.19), (-0.08, 0.46), (0.22, 0.5), (0.3, 0.19)], 0.025, frame)
    pen.line([(-0.08, 0.46), (0.02, 0.2), (0.22, 0.5), (0.22, 0.56)], 0.025, frame)
    pen.line([(-0.12, 0.5), (-0.04, 0.5)], 0.035, _TYRE)
    return pen.figure(rng)


def _wheel(pen: Pen, x: float, radius: float, wide: float) -> None:
    # A ring of short lines: the spokes leave the street behind the wheel to be seen.
    angles = np.linspace(0.0, 2 * np.pi, 25)
    rim = [(x + wide * float(np.cos(a)), radius + (radius - 0.015) * float(np.sin(a))) for a in angles]
    pen.line(rim, 0.03, _TYRE)
    for angle in angles[:12:3]:
        dx, dy = wide * float(np.cos(angle)), radius * float(np.sin(angle))
        pen.line([(x - dx, radius - dy), (x + dx, radius + dy)], 0.006, (0.5, 0.5, 0.52))


def _arm(pen: Pen, looks: Looks, shoulder: float, swing: float) -> None:
    hand = (shoulder + swing, 0.46)
    pen.line([(shoulder * 0.85, 0.79), (shoulder * 1.1 + swing * 0.3, 0.62), hand], 0.05, looks.top)
    pen.ellipse(hand[0] - 0.025, 0.42, hand[0] + 0.025, 0.48, looks.skin)


def _head(pen: Pen, looks: Looks, rng: np.random.Generator, x: float, y: float) -> None:
    """A head around (x, y), its top 0.08 above; seen from in front, from behind or with a hat."""
    pen.line([(x, y - 0.1), (x, y - 0.04)], 0.045, mixed(looks.skin, (0.0, 0.0, 0.0), 0.2))
    pen.ellipse(x - 0.055, y - 0.075, x + 0.055, y + 0.08, looks.hair)
    if rng.random() < 0.6:
        aside = rng.uniform(-0.02, 0.02)
        pen.ellipse(x - 0.045 + aside, y - 0.075, x + 0.045 + aside, y + 0.05, looks.skin)
    if rng.random() < 0.2:
        hat = random_colour(rng)
        pen.box(x - 0.05, y + 0.03, x + 0.05, y + 0.08, hat, 0.02)
        pen.line([(x - 0.07, y + 0.035), (x + 0.07, y + 0.035)], 0.02, hat)
