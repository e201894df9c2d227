"""A street from a car, as KITTI's: long boxes in perspective, cut off at the border and hidden by others."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image

from cascade_tf.data.scenes import people, surroundings, vehicles
from cascade_tf.data.scenes.canvas import Canvas, Seen
from cascade_tf.data.scenes.pen import Figure
from cascade_tf.formats.kitti import KittiObjects

SIZE = (256, 832)
"""Height and width of a picture, pixels."""

# Height of the camera over the street: what is as high reaches up to the horizon.
_CAMERA = 1.65
# Share of an object up to which it is fully visible, and up to which it is partly hidden.
_FULLY, _PARTLY = 0.05, 0.5
# What is hidden more, or so low, nobody labels as an object: it is a region in which there are some.
_UNSEEN, _LOWEST = 0.85, 8
_REGION = "DontCare"

Draw = Callable[[np.random.Generator, float, float, float], Figure]
"""A figure from its middle, its ground and the pixels of a metre."""


class _Thing(NamedTuple):
    """What stands somewhere in the street.

    Attributes:
        kind: KITTI's type, "" for what is none.
        away: metres from the camera.
        aside: metres to the right of the road's middle.
        half: of its width, metres.
        draw: draws it.
    """

    kind: str
    away: float
    aside: float
    half: float
    draw: Draw


def draw_street(rng: np.random.Generator, size: tuple[int, int] = SIZE) -> tuple[Image.Image, KittiObjects]:
    """Draws a street.

    Args:
        rng: source of everything that is chosen.
        size: (height, width), pixels.

    Returns:
        The picture, and its labels as KITTI has them, the nearest object first.
    """
    height, width = size
    horizon = height * rng.uniform(0.36, 0.46)
    vanishing = width * rng.uniform(0.4, 0.6)
    # A thing at the lower border of the picture is 4 metres away.
    focal = 4.0 * (height - horizon) / _CAMERA
    canvas = Canvas(surroundings.street(rng, height, width, horizon, vanishing))
    laid: list[tuple[str, int]] = []
    for thing in sorted(_choose(rng), key=lambda one: -one.away):
        scale = focal / thing.away
        x, ground = vanishing + thing.aside * scale, horizon + _CAMERA * scale
        canvas.darken(x, ground, (1.1 * thing.half * scale, 0.15 * scale), 0.45)
        number = canvas.lay(thing.draw(rng, x, ground, scale))
        if thing.kind:
            laid.append((thing.kind, number))
    objects = _label([(kind, canvas.seen(number)) for kind, number in reversed(laid)], size)
    return canvas.finish(rng), objects


def _choose(rng: np.random.Generator) -> list[_Thing]:
    """Things that do not stand in each other."""
    wanted: list[_Thing] = []
    for _ in range(rng.integers(4, 15)):
        wanted.append(_vehicle(rng))
    for _ in range(rng.integers(1, 9)):
        wanted.append(_person(rng))
    for _ in range(rng.integers(2, 8)):
        wanted.append(_neighbour(rng))
    chosen: list[_Thing] = []
    for thing in wanted:
        if all(
            abs(thing.away - one.away) > 1.2 or abs(thing.aside - one.aside) > 0.7 * (thing.half + one.half)
            for one in chosen
        ):
            chosen.append(thing)
    return chosen


def _distance(rng: np.random.Generator, nearest: float, farthest: float) -> float:
    return float(np.exp(rng.uniform(np.log(nearest), np.log(farthest))))


def _vehicle(rng: np.random.Generator) -> _Thing:
    kind = str(rng.choice(vehicles.KINDS, p=(0.78, 0.14, 0.08)))
    is_across = rng.random() < 0.3
    aside = float(rng.choice([-7.5, -5.0, -1.8, 1.8, 5.0, 7.5]) + rng.normal(0.0, 0.4))
    view = "side" if is_across else ("front" if aside < 0.0 and rng.random() < 0.7 else "rear")

    def draw(rng: np.random.Generator, x: float, ground: float, scale: float) -> Figure:
        return vehicles.vehicle(rng, kind, x, ground, scale, view)

    return _Thing(kind, _distance(rng, 4.5, 60.0), aside, 2.2 if is_across else 0.9, draw)


def _person(rng: np.random.Generator) -> _Thing:
    tall = float(rng.normal(1.72, 0.1))
    aside = float(rng.choice([-1.0, 1.0]) * rng.uniform(2.5, 9.0))
    kind = str(rng.choice(["Pedestrian", "Cyclist", "Person_sitting"], p=(0.6, 0.3, 0.1)))
    turn = float(rng.choice([0.15, 1.0]) * rng.uniform(0.8, 1.0))
    is_of = {"Pedestrian": people.walker, "Person_sitting": people.sitter}

    def draw(rng: np.random.Generator, x: float, ground: float, scale: float) -> Figure:
        if kind == "Cyclist":
            return people.rider(rng, x, ground, tall * scale, turn)
        return is_of[kind](rng, x, ground, tall * scale)

    return _Thing(kind, _distance(rng, 5.0, 35.0), aside, 0.8 * turn if kind == "Cyclist" else 0.25, draw)


def _neighbour(rng: np.random.Generator) -> _Thing:
    """Something that is no object of the benchmark: posts, trees, hedges and bicycles that nobody rides."""
    draws = (surroundings.post, surroundings.tree, surroundings.barrier, people.bicycle)
    number = int(rng.choice(4, p=(0.4, 0.3, 0.15, 0.15)))
    tall = float((1.7, rng.uniform(4.0, 7.0), rng.uniform(0.6, 1.0), 1.7)[number])

    def draw(rng: np.random.Generator, x: float, ground: float, scale: float) -> Figure:
        return draws[number](rng, x, ground, tall * scale)

    aside = float(rng.choice([-1.0, 1.0]) * rng.uniform(3.0, 9.0))
    return _Thing("", _distance(rng, 5.0, 40.0), aside, 0.3, draw)


def _label(seen: list[tuple[str, Seen]], size: tuple[int, int]) -> KittiObjects:
    types: list[str] = []
    rows: list[tuple[float, ...]] = []
    regions: list[tuple[float, ...]] = []
    for kind, one in seen:
        box = _clipped(one.box, size)
        if one.visible_box is None or box[2] - box[0] < 1 or box[3] - box[1] < 1:
            continue
        if one.hidden > _UNSEEN or one.truncated > _UNSEEN or box[3] - box[1] < _LOWEST:
            regions.append(one.visible_box)
            continue
        occluded = int(one.hidden > _FULLY) + int(one.hidden > _PARTLY)
        types.append(kind)
        rows.append((round(one.truncated, 2), occluded, *box))
    regions = _joined(regions)
    types += [_REGION] * len(regions)
    # The benchmark says -1 of what it does not know.
    rows += [(-1.0, -1.0, *box) for box in regions]
    table = np.array(rows, np.float64).reshape(-1, 6)
    return KittiObjects(np.array(types, str), table[:, 2:], table[:, 0], table[:, 1])


def _clipped(box: tuple[int, ...], size: tuple[int, int]) -> tuple[int, ...]:
    height, width = size
    return max(box[0], 0), max(box[1], 0), min(box[2], width), min(box[3], height)


def _joined(boxes: list[tuple[float, ...]]) -> list[tuple[float, ...]]:
    """Boxes that touch become the one around them."""
    joined: list[tuple[float, ...]] = []
    for box in boxes:
        for other in [one for one in joined if _touch(one, box)]:
            joined.remove(other)
            corners = np.array([box, other])
            box = (*corners[:, :2].min(axis=0).tolist(), *corners[:, 2:].max(axis=0).tolist())
        joined.append(box)
    return joined


def _touch(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]
