"""Crowded pavements, as CityPersons': upright boxes of one aspect ratio, and what can be seen of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image

from cascade_tf.data.scenes import people, surroundings
from cascade_tf.data.scenes.canvas import Canvas, Seen
from cascade_tf.data.scenes.pen import Pen, random_colour
from cascade_tf.formats.citypersons_annotations import CLASSES, AnnotatedImage

SIZE = (384, 768)
"""Height and width of a picture, pixels."""

ASPECT = 0.41
"""Width of a box in heights; CityPersons' boxes stand on the line from head to feet."""

# Heights of people, pixels, and of the camera, metres.
_HEIGHTS = (20.0, 300.0)
_CAMERA = 1.25
# Of whom less can be seen, nobody says whether it is somebody.
_LEAST_VISIBLE = 0.05
_REGION, _PEDESTRIAN, _RIDER, _SITTING, _GROUP = (
    CLASSES.index(name) for name in ("ignore region", "pedestrian", "rider", "sitting person", "people group")
)
_NOTHING = -1


class _Thing(NamedTuple):
    """What stands somewhere.

    Attributes:
        label: position in ``CLASSES``; -1 for what is none of them.
        x: its middle, pixels.
        tall: pixels of somebody of 1.7 metres there.
        group: number of the group whose member it is; -1: it is by itself.
        draws: what it is, for ``_draw``.
    """

    label: int
    x: float
    tall: float
    group: int = -1
    draws: str = "walker"


def draw_pedestrians(
    rng: np.random.Generator, size: tuple[int, int] = SIZE
) -> tuple[Image.Image, AnnotatedImage]:
    """Draws people on a pavement.

    Args:
        rng: source of everything that is chosen.
        size: (height, width), pixels.

    Returns:
        The picture, and its annotations as CityPersons has them, the nearest first; city and name are empty.
    """
    height, width = size
    horizon = height * rng.uniform(0.3, 0.4)
    canvas = Canvas(surroundings.street(rng, height, width, horizon, width * rng.uniform(0.2, 0.8)))
    laid: list[tuple[_Thing, int]] = []
    for thing in sorted(_choose(rng, height, width), key=lambda one: one.tall):
        ground = horizon + thing.tall * _CAMERA / 1.7
        canvas.darken(thing.x, ground, (0.2 * thing.tall, 0.05 * thing.tall), 0.4)
        laid.append((thing, _lay(canvas, thing, rng, ground)))
    rows = [
        row
        for thing, number in reversed(laid)
        if thing.label != _NOTHING and thing.group < 0
        for row in _row(thing.label, canvas.seen(number), size)
    ]
    for group in sorted({thing.group for thing, _ in laid} - {-1}):
        rows += _group([canvas.seen(number) for thing, number in laid if thing.group == group])
    table = np.array(rows, np.float64).reshape(-1, 9)
    labels = table[:, 0].astype(np.int64)
    return canvas.finish(rng), AnnotatedImage("", "", labels, table[:, 1:5], table[:, 5:])


def _choose(rng: np.random.Generator, height: int, width: int) -> list[_Thing]:
    # Nobody reaches beyond the upper and lower border.
    limit = min(_HEIGHTS[1], 0.78 * height)

    def tall() -> float:
        return float(np.exp(rng.uniform(np.log(_HEIGHTS[0]), np.log(limit))))

    things: list[_Thing] = []
    for _ in range(rng.integers(2, 7)):
        # People who walk together hide each other.
        near, x = tall(), rng.uniform(0, width)
        for _ in range(rng.integers(1, 5)):
            things.append(_Thing(_PEDESTRIAN, float(x), min(near * float(rng.uniform(0.93, 1.07)), limit)))
            x += rng.choice([-1.0, 1.0]) * near * rng.uniform(0.12, 0.4)
    for group in range(rng.integers(0, 3)):
        near, x = float(rng.uniform(_HEIGHTS[0], 60.0)), rng.uniform(0, width)
        for _ in range(rng.integers(5, 10)):
            aside = float(x + near * rng.uniform(-0.6, 0.6))
            things.append(_Thing(_GROUP, aside, near * float(rng.uniform(0.9, 1.1)), group))
    others = (
        (_RIDER, "rider", 3),
        (_SITTING, "sitter", 3),
        (_REGION, "poster", 2),
        (_NOTHING, "post", 6),
        (_NOTHING, "tree", 3),
        (_NOTHING, "barrier", 3),
        (_NOTHING, "bicycle", 2),
    )
    for label, draws, most in others:
        for _ in range(rng.integers(0, most)):
            things.append(_Thing(label, float(rng.uniform(0, width)), tall(), draws=draws))
    return things


def _lay(canvas: Canvas, thing: _Thing, rng: np.random.Generator, ground: float) -> int:
    x, tall = thing.x, thing.tall
    if thing.draws == "rider":
        return canvas.lay(people.rider(rng, x, ground, tall, float(rng.choice([0.2, 1.0]))))
    if thing.draws == "poster":
        # Somebody who is printed: looks like a pedestrian, and is none.
        pen = Pen(x, ground, tall, (0.35, 1.1))
        pen.box(-0.33, 0.0, 0.33, 1.08, random_colour(rng))
        number = canvas.lay(pen.figure(rng))
        printed = people.walker(rng, x, ground - 0.06 * tall, 0.92 * tall)
        # What is printed hides nothing of the poster: its pixels are the poster's.
        canvas.lay(printed, owner=number)
        return number
    draws = {
        "walker": people.walker,
        "sitter": people.sitter,
        "bicycle": people.bicycle,
        "post": surroundings.post,
        "barrier": surroundings.barrier,
        "tree": surroundings.tree,
    }
    sizes = {"tree": rng.uniform(2.0, 3.0), "barrier": rng.uniform(0.3, 0.6)}
    return canvas.lay(draws[thing.draws](rng, x, ground, float(tall * sizes.get(thing.draws, 1.0))))


def _row(label: int, seen: Seen, size: tuple[int, int]) -> list[tuple[float, ...]]:
    """Label, box and visible box of somebody, the boxes as x, y, width and height; nothing of the unseen."""
    if seen.visible_box is None:
        return []
    if 1.0 - seen.hidden < _LEAST_VISIBLE:
        return [(_REGION, *_sides(seen.visible_box), *_sides(seen.visible_box))]
    if label not in (_PEDESTRIAN, _RIDER):
        return [(label, *_sides(seen.visible_box), *_sides(seen.visible_box))]
    x1, y1, x2, y2 = seen.box
    middle, half = (x1 + x2) / 2, ASPECT * (y2 - y1) / 2
    box = middle - half, float(y1), middle + half, float(y2)
    if box[0] >= size[1] or box[2] <= 0.0:
        # Of somebody who strides into the picture a foot can be seen, and nothing of the box.
        return [(_REGION, *_sides(seen.visible_box), *_sides(seen.visible_box))]
    # A side that is seen to be the figure's is the box's: the box is wider or narrower than the figure.
    limits = (0.0, 0.0, float(size[1]), float(size[0]))
    visible = [
        whole if found == own else float(found)
        for whole, found, own in zip(box, seen.visible_box, seen.box, strict=True)
    ]
    for side, (limit, nearer) in enumerate(zip(limits, (max, max, min, min), strict=True)):
        visible[side] = nearer(nearer(visible[side], box[side]), limit)
    return [(label, *_sides(box), *_sides(tuple(visible)))]


def _group(members: list[Seen]) -> list[tuple[float, ...]]:
    """The row of a group: a box around all that can be seen of its members."""
    boxes = np.array([one.visible_box for one in members if one.visible_box is not None], np.float64)
    if not len(boxes):
        return []
    around = _sides((*boxes[:, :2].min(axis=0).tolist(), *boxes[:, 2:].max(axis=0).tolist()))
    return [(_GROUP, *around, *around)]


def _sides(box: tuple[float, ...]) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = box
    return x1, y1, x2 - x1, y2 - y1
