"""What lies around the objects of a street: sky, houses, ground, and things that look a little like them."""

from __future__ import annotations

import numpy as np
from PIL import Image

from cascade_tf.data.scenes.pen import Colour, Figure, Pen, mixed, random_colour


def street(rng: np.random.Generator, height: int, width: int, horizon: float, vanishing: float) -> np.ndarray:
    """A road between pavements and houses.

    Args:
        rng: source of everything that is chosen.
        height: of the picture, pixels.
        width: of the picture, pixels.
        horizon: row of the horizon.
        vanishing: column where the road ends.

    Returns:
        [H, W, 3] float32 in 0..1.
    """
    surface = np.empty((height, width, 3), np.float32)
    sky = np.array(mixed((0.55, 0.68, 0.85), (0.8, 0.8, 0.8), rng.random()), np.float32)
    surface[:] = sky * (1.0 + 0.1 * clouds(rng, height, width, 5))[..., None]
    _houses(surface, rng, horizon)
    _ground(surface, rng, horizon, vanishing)
    return surface


def room(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A wall, lawn or curtain out of focus, [H, W, 3] float32."""
    first, second = (np.array(random_colour(rng), np.float32) for _ in range(2))
    blend = np.clip(0.5 + 0.6 * clouds(rng, height, width, int(rng.integers(3, 12))), 0.0, 1.0)[..., None]
    surface = first * blend + second * (1.0 - blend)
    for _ in range(rng.integers(4, 14)):
        x1, y1 = rng.integers(0, width), rng.integers(0, height)
        block = surface[y1 : y1 + rng.integers(8, height // 2), x1 : x1 + rng.integers(8, width // 3)]
        block += (np.array(random_colour(rng), np.float32) - block) * np.float32(rng.uniform(0.2, 0.8))
    return surface


def clouds(rng: np.random.Generator, height: int, width: int, cells: int) -> np.ndarray:
    """Smooth noise in about -1..1, [H, W] float32, ``cells`` grains across."""
    coarse = Image.fromarray(rng.uniform(-1.0, 1.0, (cells, cells)).astype(np.float32))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))


def tree(rng: np.random.Generator, x: float, ground: float, height: float) -> Figure:
    """A trunk as wide as somebody is, with leaves; units are its height."""
    pen = Pen(x, ground, height, (0.4, 1.05))
    trunk = mixed((0.28, 0.2, 0.14), (0.5, 0.46, 0.4), rng.random())
    pen.polygon([(-0.035, 0.0), (-0.025, 0.6), (0.025, 0.6), (0.035, 0.0)], trunk)
    green = mixed((0.12, 0.28, 0.1), (0.45, 0.45, 0.15), rng.random())
    for _ in range(14):
        along, up, radius = rng.uniform(-0.25, 0.25), rng.uniform(0.55, 0.9), rng.uniform(0.07, 0.14)
        shade = mixed(green, (0.0, 0.0, 0.0), rng.uniform(0.0, 0.45))
        pen.ellipse(along - radius, up - radius, along + radius, up + radius, shade)
    return pen.figure(rng)


def post(rng: np.random.Generator, x: float, ground: float, height: float) -> Figure:
    """A sign, a bollard, a bin or a dressed stand: as high as somebody is, with something like a head."""
    pen = Pen(x, ground, height, (0.3, 1.05))
    kind = rng.integers(4)
    colour, metal = random_colour(rng, 0.2), mixed((0.3, 0.3, 0.32), (0.6, 0.6, 0.62), rng.random())
    if kind == 0:
        pen.line([(0.0, 0.0), (0.0, 0.8)], 0.035, metal)
        pen.ellipse(-0.12, 0.74, 0.12, 0.98, colour)
        pen.ellipse(-0.08, 0.78, 0.08, 0.94, (0.92, 0.92, 0.9))
    elif kind == 1:
        pen.box(-0.1, 0.0, 0.1, 0.78, metal, 0.05)
        pen.ellipse(-0.09, 0.74, 0.09, 0.92, mixed(metal, (0.0, 0.0, 0.0), 0.4))
    elif kind == 2:
        pen.box(-0.16, 0.05, 0.16, 0.86, colour, 0.04)
        pen.box(-0.18, 0.82, 0.18, 0.95, mixed(colour, (0.0, 0.0, 0.0), 0.5), 0.04)
    else:
        # A coat on a stand: all of somebody but arms, legs and a face.
        pen.line([(0.0, 0.0), (0.0, 0.9)], 0.035, metal)
        pen.polygon([(-0.11, 0.78), (0.11, 0.78), (0.13, 0.35), (-0.13, 0.35)], colour)
        pen.ellipse(-0.04, 0.82, 0.04, 0.95, metal)
    return pen.figure(rng)


def barrier(rng: np.random.Generator, x: float, ground: float, height: float) -> Figure:
    """A wall, a hedge or a crate that hides legs; units are its height, up to three of which it is wide."""
    wide = rng.uniform(0.5, 1.5)
    pen = Pen(x, ground, height, (wide + 0.1, 1.05))
    kinds: tuple[Colour, ...] = ((0.2, 0.32, 0.14), (0.5, 0.3, 0.24), (0.55, 0.55, 0.53))
    colour = mixed(kinds[rng.integers(3)], random_colour(rng), 0.25)
    pen.box(-wide, 0.0, wide, 1.0, colour, 0.04)
    for up in np.arange(0.2, 1.0, 0.2).tolist():
        pen.line([(-wide, up), (wide, up)], 0.02, mixed(colour, (0.0, 0.0, 0.0), 0.25))
    return pen.figure(rng)


def _houses(surface: np.ndarray, rng: np.random.Generator, horizon: float) -> None:
    height, width = surface.shape[:2]
    left = 0
    while left < width:
        wide = int(rng.integers(width // 14 + 4, width // 5 + 8))
        top = int(horizon * rng.uniform(0.0, 0.85))
        bottom = min(int(horizon + 0.1 * height), height)
        block = surface[top:bottom, left : left + wide]
        wall = np.array(random_colour(rng, 0.75), np.float32) * 0.8
        block[:] = wall
        step = int(rng.integers(7, 18))
        window = wall * np.float32(rng.uniform(0.35, 1.4))
        for row in range(step // 2, block.shape[0] - step // 2, step):
            for column in range(step // 3, block.shape[1] - step // 2, step):
                block[row : row + step // 2, column : column + step // 2] = window
        left += wide
    rows = slice(0, min(int(horizon + 0.1 * height), height))
    surface[rows] *= 1.0 + 0.05 * rng.standard_normal(surface[rows].shape[:2], np.float32)[..., None]


def _ground(surface: np.ndarray, rng: np.random.Generator, horizon: float, vanishing: float) -> None:
    height, width = surface.shape[:2]
    top = int(horizon)
    down = (np.arange(top, height, dtype=np.float32) + 0.5 - horizon)[:, None]
    # Metres to the side of the road's middle: a metre is down / 1.65 pixels, as for a camera on a car's roof.
    aside = (np.arange(width, dtype=np.float32) + 0.5 - vanishing) * 1.65 / np.maximum(down, 0.5)
    away = 1.65 * height / np.maximum(down, 0.5)
    asphalt = np.array(mixed((0.28, 0.28, 0.29), (0.5, 0.49, 0.47), rng.random()), np.float32)
    pavement = np.array(mixed((0.5, 0.47, 0.43), random_colour(rng), 0.3), np.float32)
    is_road = np.abs(aside) < rng.uniform(3.5, 7.0)
    ground = np.where(is_road[..., None], asphalt, pavement)
    slabs = (np.abs(np.sin(aside * 2.2)) < 0.05) & ~is_road
    ground *= np.where(slabs, 0.85, 1.0)[..., None]
    dashes = (np.abs(aside) < 0.08) & (np.sin(away * 1.2) > 0.0)
    ground[dashes] = 0.8
    ground *= (1.0 + 0.08 * clouds(rng, height - top, width, 7))[..., None]
    ground *= 1.0 + 0.04 * rng.standard_normal(aside.shape, np.float32)[..., None]
    surface[top:] = ground
