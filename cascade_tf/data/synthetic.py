"""Draws a data set of textured shapes: scenes at many scales, with occlusion, and exact annotations.

A mask holds the pixels whose centres lie inside an outline and are not hidden by another object; a box is the
tightest around the mask. Each picture is a function of the seed, its split and its number alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from cascade_tf.data import shapes
from cascade_tf.files import new_folder

CLASS_NAMES = tuple(shapes.OUTLINES)

_JPEG_QUALITY = 93


@dataclass(frozen=True)
class Arrangement:
    """How objects are placed.

    Attributes:
        sizes: smallest and largest object, diameter of the outline's circle as part of the image's shorter
            side.
        objects: fewest and most of an image, as far as there is room.
        least_visible: part of each object that is seen at least; what is hidden more is not drawn at all.
        least_side: of the box of what is seen, pixels.
    """

    sizes: tuple[float, float]
    objects: tuple[int, int]
    least_visible: float
    least_side: int


ARRANGEMENTS = {
    "shapes": Arrangement(sizes=(0.13, 0.72), objects=(3, 8), least_visible=0.45, least_side=8),
    "crowd": Arrangement(sizes=(0.12, 0.45), objects=(8, 16), least_visible=0.3, least_side=6),
}

# What a class looks like most of the time: hue (0..1) and pattern. The outline alone tells it for certain.
_LOOKS: dict[str, tuple[float, Callable[[np.ndarray, np.ndarray], np.ndarray]]] = {
    "disc": (0.99, shapes.stripes),
    "square": (0.58, shapes.checks),
    "triangle": (0.40, shapes.dots),
    "star": (0.13, shapes.plain),
    "ring": (0.80, shapes.spokes),
}
_TYPICAL = 0.8


@dataclass(frozen=True)
class _Thing:
    """An object of a scene, in pixels: centre, radius, the angle by which it is turned, and its looks."""

    name: str
    x: float
    y: float
    radius: float
    angle: float
    pattern: Callable[[np.ndarray, np.ndarray], np.ndarray]
    colours: tuple[np.ndarray, np.ndarray]

    def window(self, height: int, width: int, reach: float = 1.0) -> tuple[slice, slice]:
        """Rows and columns of the picture that lie within the radius and ``reach`` pixels of the centre."""
        far = self.radius + reach
        top, left = max(int(self.y - far), 0), max(int(self.x - far), 0)
        return slice(top, min(int(self.y + far) + 1, height)), slice(left, min(int(self.x + far) + 1, width))

    def frame(self, window: tuple[slice, slice], shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        """The pixel centres of a window in the frame of the object, which is moved by ``shift``."""
        rows, columns = (np.arange(side.start, side.stop, dtype=np.float32) + 0.5 for side in window)
        x, y = (columns - self.x - shift) / self.radius, (rows[:, None] - self.y - shift) / self.radius
        cos, sin = np.float32(np.cos(self.angle)), np.float32(np.sin(self.angle))
        return cos * x + sin * y, cos * y - sin * x

    def distance(self, window: tuple[slice, slice], shift: float = 0.0) -> np.ndarray:
        """Signed distance to the outline in pixels, negative inside."""
        return shapes.OUTLINES[self.name](*self.frame(window, shift)) * self.radius

    def mask(self, height: int, width: int) -> np.ndarray:
        """[H, W] bool, the pixels of the picture whose centres are inside."""
        mask = np.zeros((height, width), bool)
        window = self.window(height, width)
        mask[window] = self.distance(window) < 0.0
        return mask

    def area(self) -> float:
        """Pixels inside the outline, those beyond the picture's border included."""
        x, y = np.meshgrid(*[np.linspace(-1.0, 1.0, 64, dtype=np.float32)] * 2)
        return float((shapes.OUTLINES[self.name](x, y) < 0.0).mean()) * (2 * self.radius) ** 2


@dataclass(frozen=True)
class Scene:
    """A drawn picture.

    Attributes:
        image: [H, W, 3] uint8 RGB.
        names: class name of each of the n objects, from the one in front to the one at the back.
        masks: [n, H, W] bool, the visible pixels of each; no pixel is in two.
    """

    image: np.ndarray
    names: tuple[str, ...]
    masks: np.ndarray

    def boxes(self) -> np.ndarray:
        """[n, 4] int, tight (x1, y1, x2, y2) around each mask; pixel i covers i to i + 1."""
        return np.array([_tight_box(mask) for mask in self.masks], int).reshape(-1, 4)


def draw_scene(rng: np.random.Generator, height: int, width: int, kind: str = "shapes") -> Scene:
    """Draws one picture.

    Args:
        rng: source of everything that is chosen.
        height: of the picture, pixels.
        width: of the picture, pixels.
        kind: a name in ``ARRANGEMENTS``.
    """
    things, masks = _arrange(rng, height, width, ARRANGEMENTS[kind])
    image = _background(rng, height, width)
    for thing in reversed(things):
        _paint(image, thing, rng)
    pixels = np.clip(np.rint(image * 255.0), 0, 255).astype(np.uint8)
    return Scene(pixels, tuple(thing.name for thing in things), np.array(masks, bool))


def draw_dataset(
    folder: str | os.PathLike[str],
    *,
    num_train: int,
    num_val: int,
    kind: str = "shapes",
    image_size: tuple[int, int] = (224, 288),
    seed: int = 0,
    progress: Callable[[int], Any] = lambda count: None,
) -> None:
    """Draws a data set in COCO's layout: ``images/``, ``instances_train.json``, ``instances_val.json``.

    The same arguments give the same bytes. The folder appears when everything is in it, or not at all.

    Args:
        folder: where to; it must not exist or be empty.
        num_train: pictures to train on.
        num_val: pictures to validate on.
        kind: a name in ``ARRANGEMENTS``: ``"shapes"``, or ``"crowd"`` of more, smaller and more hidden ones.
        image_size: (height, width) of every picture, pixels.
        seed: of everything that is chosen, not negative.
        progress: called after each picture with 1.

    Raises:
        ValueError: a number is out of its range.
        FileExistsError: the folder holds something.
    """
    height, width = image_size
    if kind not in ARRANGEMENTS:
        raise ValueError(f"got kind={kind!r}, expected one of {', '.join(ARRANGEMENTS)}")
    if min(height, width) < 64 or num_train < 1 or num_val < 1 or seed < 0:
        raise ValueError(
            f"got num_train={num_train}, num_val={num_val}, image_size={image_size}, seed={seed}; expected "
            "at least one picture of each split, sides of at least 64 pixels and a seed of at least 0"
        )
    with new_folder(folder) as partial:
        (partial / "images").mkdir()
        # One row of ids through both splits, so that the splits may be joined.
        _draw_split(partial, "train", 1, num_train, kind, image_size, seed, progress)
        _draw_split(partial, "val", 1 + num_train, num_val, kind, image_size, seed, progress)


def _draw_split(
    folder: Path,
    split: str,
    first_id: int,
    count: int,
    kind: str,
    image_size: tuple[int, int],
    seed: int,
    progress: Callable[[int], Any],
) -> None:
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    most = ARRANGEMENTS[kind].objects[1]
    for number in range(count):
        scene = draw_scene(np.random.default_rng([seed, int(split == "val"), number]), *image_size, kind)
        name = f"{split}_{number:05d}.jpg"
        Image.fromarray(scene.image).save(folder / "images" / name, quality=_JPEG_QUALITY, subsampling=0)
        image_id = first_id + number
        images.append({"id": image_id, "file_name": name, "height": image_size[0], "width": image_size[1]})
        annotations.extend(_annotations(scene, image_id, most))
        progress(1)
    content = {
        "info": {"description": "Drawn scenes of textured shapes", "seed": seed, "split": split},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": i, "name": name} for i, name in enumerate(CLASS_NAMES, start=1)],
    }
    (folder / f"instances_{split}.json").write_text(json.dumps(content) + "\n", encoding="utf-8")


def _annotations(scene: Scene, image_id: int, most: int) -> list[dict[str, Any]]:
    records = []
    for index, (name, mask) in enumerate(zip(scene.names, scene.masks, strict=True)):
        x1, y1, x2, y2 = _tight_box(mask)
        encoded = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
        records.append(
            {
                "id": (image_id - 1) * most + index + 1,  # an image has no more objects than that
                "image_id": image_id,
                "category_id": CLASS_NAMES.index(name) + 1,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": int(mask.sum()),
                "iscrowd": 0,
                "segmentation": {"size": list(mask.shape), "counts": encoded["counts"].decode("ascii")},
            }
        )
    return records


def _tight_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _arrange(
    rng: np.random.Generator, height: int, width: int, arrangement: Arrangement
) -> tuple[list[_Thing], list[np.ndarray]]:
    """Places objects from the front to the back, each only if enough of it is seen."""
    fewest, most = arrangement.objects
    wanted = int(rng.integers(fewest, most + 1))
    smallest, largest = np.log(arrangement.sizes)
    sizes = np.exp(rng.uniform(smallest, largest, 5 * wanted)) * min(height, width)
    # Small things tend to lie in front, as nobody would see them behind large ones.
    depth = sizes * np.exp(rng.normal(0.0, 0.5, len(sizes)))
    depth[wanted:] += depth.max()
    hidden = np.zeros((height, width), bool)
    things: list[_Thing] = []
    masks: list[np.ndarray] = []
    for size in sizes[np.argsort(depth, kind="stable")]:
        thing = _choose(rng, height, width, float(size) / 2)
        mask = thing.mask(height, width)
        visible = mask & ~hidden
        if _is_seen(thing, visible, arrangement):
            hidden |= mask
            things.append(thing)
            masks.append(visible)
        if len(things) == wanted:
            break
    return things, masks


def _is_seen(thing: _Thing, visible: np.ndarray, arrangement: Arrangement) -> bool:
    if visible.sum() < arrangement.least_visible * thing.area():
        return False
    x1, y1, x2, y2 = _tight_box(visible)
    return min(x2 - x1, y2 - y1) >= arrangement.least_side


def _choose(rng: np.random.Generator, height: int, width: int, radius: float) -> _Thing:
    name = CLASS_NAMES[rng.integers(len(CLASS_NAMES))]
    hue, pattern = _LOOKS[name]
    hue += rng.normal(0.0, 0.025)
    if rng.random() > _TYPICAL:
        hue = rng.random()
    if rng.random() > _TYPICAL:
        pattern = shapes.PATTERNS[rng.integers(len(shapes.PATTERNS))]
    main = _colour(hue, rng.uniform(0.70, 0.95), rng.uniform(0.80, 1.0))
    second = _colour(hue + rng.normal(0.0, 0.03), rng.uniform(0.10, 0.45), rng.uniform(0.9, 1.0))
    if rng.random() < 0.4:
        second = main * rng.uniform(0.40, 0.60)
    margin = 0.4 * radius
    return _Thing(
        name,
        rng.uniform(margin, width - margin),
        rng.uniform(margin, height - margin),
        radius,
        rng.uniform(0.0, 2 * np.pi),
        pattern,
        (main, second),
    )


def _colour(hue: float, saturation: float, value: float) -> np.ndarray:
    """HSV to RGB, all in 0..1; the hue wraps around."""
    corner = np.clip(np.abs((hue + np.array([0.0, 2 / 3, 1 / 3])) % 1.0 * 6.0 - 3.0) - 1.0, 0.0, 1.0)
    return (value * (1.0 - saturation * (1.0 - corner))).astype(np.float32)


def _background(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A dull surface: a gradient, soft clouds, a weave and grain."""
    hue, value = rng.random(), rng.uniform(0.25, 0.80)
    first = _colour(hue, rng.uniform(0.05, 0.28), value)
    second = _colour(hue + rng.normal(0.0, 0.08), rng.uniform(0.05, 0.28), value * rng.uniform(0.65, 1.0))
    angle = rng.uniform(0.0, 2 * np.pi)
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    along = (np.cos(angle) * (x / width - 0.5) + np.sin(angle) * (y / height - 0.5)) * 0.7 + 0.5
    clouds = _clouds(rng, height, width, int(rng.integers(3, 9)))
    blend = np.clip(along + 0.5 * clouds, 0.0, 1.0)[..., None]
    surface = first * blend + second * (1.0 - blend)
    turn = rng.uniform(0.0, np.pi)
    u, v = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
    weave = _weave(rng, u, v) * rng.uniform(0.02, 0.07)
    grain = 0.012 * rng.standard_normal((height, width), np.float32)
    return surface * (1.0 + weave + grain)[..., None]


def _clouds(rng: np.random.Generator, height: int, width: int, cells: int) -> np.ndarray:
    """Smooth noise in about -1..1, ``cells`` grains across."""
    coarse = Image.fromarray(rng.uniform(-1.0, 1.0, (cells, cells)).astype(np.float32))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))


def _weave(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    period = 2 * np.pi / rng.uniform(7.0, 22.0)
    kind = rng.integers(4)
    if kind == 0:  # cloth
        return np.sin(u * period) * np.sin(v * period)
    if kind == 1:  # planks
        return np.sign(np.sin(u * period * 0.4)) * 0.6 + 0.4 * np.sin(
            v * 0.05 + 3.0 * np.sin(u * period * 0.2)
        )
    if kind == 2:  # tiles
        seams = np.minimum(np.abs(np.sin(u * period * 0.3)), np.abs(np.sin(v * period * 0.3)))
        return np.where(seams < 0.08, -1.5, 0.2)
    return np.sin(u * period + 2.0 * np.sin(v * period * 0.3))  # ripples


def _paint(image: np.ndarray, thing: _Thing, rng: np.random.Generator) -> None:
    """Lays an object and its shadow over the picture, in place."""
    height, width = image.shape[:2]
    shift, softness = 2.0 + 0.05 * thing.radius, 3.0 + 0.10 * thing.radius
    window = thing.window(height, width, reach=shift + softness)
    shadow = np.clip(0.5 - thing.distance(window, shift) / softness, 0.0, 1.0)
    image[window] *= 1.0 - 0.42 * shadow[..., None]

    window = thing.window(height, width)
    distance = thing.distance(window)
    x, y = thing.frame(window)
    share = thing.pattern(x, y)[..., None]
    surface = thing.colours[0] * (1.0 - share) + thing.colours[1] * share
    # Light from the upper left, in the picture's frame, and a darker rim.
    rows, columns = (np.arange(side.start, side.stop, dtype=np.float32) for side in window)
    lit = (thing.x - columns + thing.y - rows[:, None]) / (2 * thing.radius)
    rim = np.clip(-distance / (1.5 + 0.03 * thing.radius), 0.0, 1.0)
    grain = 0.015 * rng.standard_normal(distance.shape, np.float32)
    shade = (1.0 + 0.14 * np.clip(lit, -1.0, 1.0) + grain) * (0.55 + 0.45 * rim)
    cover = np.clip(0.5 - distance, 0.0, 1.0)[..., None]
    image[window] += (surface * shade[..., None] - image[window]) * cover
