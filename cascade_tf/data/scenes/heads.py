"""Heads with shoulders, and what looks like them; a unit is the height of the face, the ground the chin."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cascade_tf.data.scenes.pen import Colour, Figure, Pen, mixed, random_colour
from cascade_tf.data.scenes.people import choose_looks

_REACH = (1.15, 1.45)
_BELOW = 1.5
_DARK: Colour = (0.07, 0.05, 0.05)


class Portrait(NamedTuple):
    """How a face is shown.

    Attributes:
        blur: 0 is sharp, 1 a little blurred, 2 very much.
        exaggerated: whether its mouth is wide open.
        extreme_light: whether it is lit too little or too much.
        turned: whether it is seen from the side.
    """

    blur: int
    exaggerated: bool
    extreme_light: bool
    turned: bool


def head(rng: np.random.Generator, x: float, chin: float, height: float, portrait: Portrait) -> Figure:
    """Draws somebody down to the shoulders; the face alone is the object.

    Args:
        rng: source of everything that is chosen.
        x: middle of the face, pixels.
        chin: its lower end, pixels.
        height: from there to the forehead, pixels.
        portrait: how it is shown.
    """
    looks = choose_looks(rng)
    pen = Pen(x, chin, height, _REACH, below=_BELOW, mirrored=bool(rng.random() < 0.5))
    wide = rng.uniform(0.36, 0.42)
    _shoulders(pen, looks.top, mixed(looks.skin, (0.0, 0.0, 0.0), 0.25))
    locks = rng.choice([0.5, 0.3, -0.2])
    pen.ellipse(-wide - 0.09, 0.3, wide + 0.09, 1.2, looks.hair)
    pen.box(-wide - 0.09, locks, wide + 0.09, 0.75, looks.hair, 0.1)
    if portrait.turned:
        _profile(pen, looks.skin, looks.hair, wide, portrait)
    else:
        _front(pen, rng, looks.skin, looks.hair, wide, portrait)
    if rng.random() < 0.2:
        hat = random_colour(rng, 0.2)
        pen.box(-wide - 0.07, 0.88, wide + 0.07, 1.3, hat, 0.15)
        pen.line([(-wide - 0.25, 0.9), (wide + 0.25, 0.9)], 0.08, hat)
    pen.mark_ellipse(-wide, 0.0, wide, 1.0)
    light = float(rng.choice([0.35, 1.9])) if portrait.extreme_light else 1.0
    return pen.figure(rng, blur=portrait.blur * (0.3 + 0.03 * height), light=light)


def back_of_head(rng: np.random.Generator, x: float, chin: float, height: float) -> Figure:
    """Somebody who looks away: hair where the face would be."""
    looks = choose_looks(rng)
    pen = Pen(x, chin, height, _REACH, below=_BELOW)
    _shoulders(pen, looks.top, looks.skin)
    pen.ellipse(-0.45, -0.05, 0.45, 1.2, looks.hair)
    return pen.figure(rng)


def round_thing(rng: np.random.Generator, x: float, chin: float, height: float) -> Figure:
    """A ball, a clock or a balloon, of any colour, skin's too."""
    pen = Pen(x, chin, height, (0.55, 1.05))
    colour = choose_looks(rng).skin if rng.random() < 0.4 else random_colour(rng, 0.1)
    kind = rng.integers(3)
    if kind == 0:
        pen.ellipse(-0.5, 0.0, 0.5, 1.0, colour)
        pen.line([(-0.45, 0.4), (0.0, 0.55), (0.45, 0.35)], 0.04, _DARK)
        pen.line([(-0.1, 0.97), (0.02, 0.5), (-0.15, 0.05)], 0.04, _DARK)
    elif kind == 1:
        pen.ellipse(-0.5, 0.0, 0.5, 1.0, _DARK)
        pen.ellipse(-0.43, 0.07, 0.43, 0.93, mixed(colour, (1.0, 1.0, 1.0), 0.6))
        for angle in rng.uniform(0.0, 2 * np.pi, 2).tolist():
            hand = (0.32 * float(np.cos(angle)), 0.5 + 0.32 * float(np.sin(angle)))
            pen.line([(0.0, 0.5), hand], 0.05, _DARK)
    else:
        pen.ellipse(-0.39, 0.05, 0.39, 1.0, colour)
        pen.polygon([(-0.05, 0.0), (0.05, 0.0), (0.0, 0.08)], colour)
        pen.ellipse(-0.22, 0.6, -0.08, 0.85, mixed(colour, (1.0, 1.0, 1.0), 0.6))
    return pen.figure(rng)


def cover(rng: np.random.Generator, x: float, chin: float, height: float) -> Figure:
    """A scarf, a cup or a sheet of paper that somebody holds before their face."""
    pen = Pen(x + 0.3 * height * rng.uniform(-1.0, 1.0), chin, height, (0.7, 1.1), below=0.4)
    colour = random_colour(rng, 0.2)
    kind = rng.integers(3)
    if kind == 0:
        pen.box(-0.5, -0.3, 0.5, rng.uniform(0.2, 0.5), colour, 0.1)
    elif kind == 1:
        pen.polygon([(-0.2, 0.5), (0.2, 0.5), (0.15, -0.2), (-0.15, -0.2)], colour)
    else:
        pen.box(-0.5, -0.3, 0.5, rng.uniform(0.3, 0.9), mixed(colour, (1.0, 1.0, 1.0), 0.7))
    return pen.figure(rng)


def _shoulders(pen: Pen, cloth: Colour, neck: Colour) -> None:
    pen.box(-0.95, -1.5, 0.95, -0.25, cloth, 0.4)
    pen.box(-0.17, -0.4, 0.17, 0.2, neck, 0.05)


def _front(
    pen: Pen, rng: np.random.Generator, skin: Colour, hair: Colour, wide: float, portrait: Portrait
) -> None:
    shadow = mixed(skin, _DARK, 0.35)
    pen.ellipse(-wide, 0.0, wide, 1.0, skin)
    aside = rng.uniform(-0.06, 0.06)
    glasses = rng.random() < 0.2
    for side in (-1, 1):
        eye = aside + side * 0.17
        pen.line([(eye - 0.08, 0.7), (eye + 0.08, 0.7)], 0.035, mixed(hair, _DARK, 0.3))
        pen.ellipse(eye - 0.07, 0.55, eye + 0.07, 0.63, (0.92, 0.9, 0.88))
        pen.ellipse(eye - 0.03, 0.55, eye + 0.03, 0.63, _DARK)
        if glasses:
            pen.box(eye - 0.12, 0.5, eye + 0.12, 0.67, _DARK, 0.04)
    pen.line([(aside, 0.55), (aside + 0.03, 0.36), (aside - 0.02, 0.35)], 0.03, shadow)
    if portrait.exaggerated:
        pen.ellipse(aside - 0.13, 0.08, aside + 0.13, 0.28, (0.3, 0.07, 0.08))
        pen.box(aside - 0.09, 0.21, aside + 0.09, 0.25, (0.95, 0.94, 0.9))
    else:
        pen.line([(aside - 0.11, 0.21), (aside, 0.18), (aside + 0.11, 0.21)], 0.04, (0.55, 0.25, 0.24))
    if rng.random() < 0.15:
        pen.polygon([(-wide * 0.8, 0.3), (wide * 0.8, 0.3), (0.2, -0.08), (-0.2, -0.08)], hair)
        pen.line([(aside - 0.09, 0.2), (aside + 0.09, 0.2)], 0.035, (0.55, 0.25, 0.24))


def _profile(pen: Pen, skin: Colour, hair: Colour, wide: float, portrait: Portrait) -> None:
    pen.ellipse(-wide, 0.0, wide, 1.0, skin)
    pen.polygon([(wide * 0.85, 0.58), (wide + 0.13, 0.36), (wide * 0.85, 0.34)], skin)
    pen.box(-wide - 0.08, 0.25, -wide * 0.3, 1.0, hair, 0.15)
    pen.ellipse(-wide * 0.25, 0.4, wide * 0.05, 0.6, mixed(skin, _DARK, 0.2))
    pen.ellipse(wide * 0.5, 0.55, wide * 0.8, 0.63, (0.92, 0.9, 0.88))
    pen.ellipse(wide * 0.65, 0.55, wide * 0.8, 0.63, _DARK)
    pen.line([(wide * 0.45, 0.71), (wide * 0.85, 0.7)], 0.035, mixed(hair, _DARK, 0.3))
    if portrait.exaggerated:
        pen.ellipse(wide * 0.4, 0.1, wide * 0.85, 0.26, (0.3, 0.07, 0.08))
    else:
        pen.line([(wide * 0.5, 0.2), (wide * 0.82, 0.21)], 0.04, (0.55, 0.25, 0.24))
