"""Cars, vans and trucks from behind, from the front and from the side; units are metres."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cascade_tf.data.scenes.pen import Colour, Figure, Pen, mixed, random_colour

_BLACK: Colour = (0.05, 0.05, 0.06)
_GLASS: Colour = (0.16, 0.21, 0.26)
_RIM: Colour = (0.55, 0.56, 0.58)


class Build(NamedTuple):
    """What a vehicle measures, metres: length, width, height, and the height of its bonnet."""

    length: float
    width: float
    height: float
    bonnet: float


_BUILDS = {
    "Car": Build(4.2, 1.75, 1.5, 0.85),
    "Van": Build(4.9, 1.95, 2.1, 1.1),
    "Truck": Build(7.5, 2.4, 3.1, 1.2),
}
KINDS = tuple(_BUILDS)


def vehicle(rng: np.random.Generator, kind: str, x: float, ground: float, scale: float, view: str) -> Figure:
    """Draws a vehicle.

    Args:
        rng: source of everything that is chosen.
        kind: "Car", "Van" or "Truck".
        x: of its middle in the picture, pixels.
        ground: where its wheels stand, pixels.
        scale: pixels of a metre there.
        view: "rear", "front" or "side".
    """
    build = _BUILDS[kind]
    build = Build(*(side * rng.uniform(0.92, 1.08) for side in build))
    paint = random_colour(rng, float(rng.choice([0.95, 0.3])))
    if view == "side":
        pen = Pen(x, ground, scale, (build.length / 2 + 0.1, build.height + 0.1), mirrored=rng.random() < 0.5)
        (_car_side if kind == "Car" else _box_side)(pen, build, paint, rng)
    else:
        pen = Pen(x, ground, scale, (build.width / 2 + 0.2, build.height + 0.1))
        _end(pen, build, paint, rng, rear=view == "rear", tall=kind != "Car")
    return pen.figure(rng)


def _car_side(pen: Pen, build: Build, paint: Colour, rng: np.random.Generator) -> None:
    half, top, bonnet = build.length / 2, build.height, build.bonnet
    # An estate car's roof goes on to its rear.
    rear = -half + rng.choice([0.1, 0.45, 0.8])
    roof = [(rear + 0.35, top), (half - 1.75, top)]
    cabin = [(rear - 0.05, bonnet - 0.05), *roof, (half - 1.0, bonnet - 0.05)]
    pen.polygon(cabin, mixed(paint, _BLACK, 0.15))
    glass = [(rear + 0.2, bonnet), (rear + 0.42, top - 0.1), (half - 1.8, top - 0.1), (half - 1.2, bonnet)]
    pen.polygon(glass, _GLASS)
    middle = (rear + half) / 2 - 0.6
    pen.line([(middle, bonnet), (middle, top - 0.05)], 0.08, paint)
    pen.box(-half, 0.28, half, bonnet, paint, 0.22)
    pen.box(-half + 0.02, 0.24, half - 0.02, 0.4, mixed(paint, _BLACK, 0.6), 0.05)
    pen.line([(middle, 0.4), (middle, bonnet - 0.05)], 0.02, mixed(paint, _BLACK, 0.6))
    pen.box(half - 0.25, bonnet - 0.3, half, bonnet - 0.15, (0.9, 0.88, 0.75), 0.05)
    pen.box(-half, bonnet - 0.3, -half + 0.18, bonnet - 0.12, (0.6, 0.08, 0.08), 0.05)
    for x in (-half + 0.8, half - 0.85):
        _wheel(pen, x, 0.32)


def _box_side(pen: Pen, build: Build, paint: Colour, rng: np.random.Generator) -> None:
    """A van, or a truck whose cab stands before its load."""
    half, top = build.length / 2, build.height
    is_truck = top > 2.6
    cab, roof = (1.9, 2.5) if is_truck else (1.7, top)
    load = random_colour(rng, 0.7) if is_truck else paint
    pen.box(-half, 0.5 if is_truck else 0.3, half - cab + 0.1, top, load, 0.08)
    pen.polygon(
        [(half - cab, 0.3), (half - cab, roof), (half - 0.5, roof), (half - 0.05, build.bonnet), (half, 0.3)],
        paint,
    )
    pen.polygon(
        [
            (half - cab + 0.3, build.bonnet + 0.1),
            (half - cab + 0.3, roof - 0.2),
            (half - 0.6, roof - 0.2),
            (half - 0.25, build.bonnet + 0.1),
        ],
        _GLASS,
    )
    if not is_truck and rng.random() < 0.5:
        pen.box(-half + 0.3, build.bonnet + 0.1, half - cab - 0.2, roof - 0.25, _GLASS, 0.05)
    pen.box(-half, 0.3, half, 0.55, mixed(paint, _BLACK, 0.7), 0.05)
    for x in (-half + 1.0, half - 0.9):
        _wheel(pen, x, 0.45 if is_truck else 0.35)


def _end(pen: Pen, build: Build, paint: Colour, rng: np.random.Generator, *, rear: bool, tall: bool) -> None:
    half, top, waist = build.width / 2, build.height, build.bonnet
    for side in (-1, 1):
        pen.box(side * (half - 0.12) - 0.13, 0.0, side * (half - 0.12) + 0.13, 0.5, _BLACK, 0.05)
    inset = 0.06 if tall else 0.25
    pen.polygon([(-half, waist - 0.1), (-half + inset, top), (half - inset, top), (half, waist - 0.1)], paint)
    if top < 2.6 or not rear:
        glass = min(top, waist + 0.9) - 0.08
        pen.polygon(
            [
                (-half + 0.14, waist),
                (-half + inset + 0.1, glass),
                (half - inset - 0.1, glass),
                (half - 0.14, waist),
            ],
            _GLASS,
        )
    pen.box(-half, 0.25, half, waist, mixed(paint, _BLACK, 0.1), 0.12)
    pen.box(-half, 0.22, half, 0.42, mixed(paint, _BLACK, 0.6), 0.06)
    lamp: Colour = (0.7, 0.07, 0.06) if rear else (0.95, 0.93, 0.82)
    for side in (-1, 1):
        pen.box(side * (half - 0.02), waist - 0.28, side * (half - 0.32), waist - 0.1, lamp, 0.04)
    pen.box(-0.26, 0.45, 0.26, 0.56, (0.85, 0.85, 0.8))
    if not rear:
        pen.box(-half + 0.4, waist - 0.27, half - 0.4, waist - 0.14, _BLACK, 0.04)
    if rng.random() < 0.5:
        for side in (-1, 1):
            pen.box(side * half, waist + 0.02, side * (half + 0.15), waist + 0.15, _BLACK, 0.03)


def _wheel(pen: Pen, x: float, radius: float) -> None:
    pen.ellipse(x - radius, 0.0, x + radius, 2 * radius, _BLACK)
    pen.ellipse(x - radius * 0.6, radius * 0.4, x + radius * 0.6, radius * 1.6, _RIM)
    pen.ellipse(x - radius * 0.2, radius * 0.8, x + radius * 0.2, radius * 1.2, _BLACK)
