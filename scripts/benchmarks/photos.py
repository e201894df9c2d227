"""A data set of drawn photographs that costs an input pipeline what COCO's images cost.

The time of decoding follows the bytes and the pixels of a file. In photographs the strength of a spatial
frequency falls off as one over the frequency (Field, 1987), and so it does here; the contrast and the quality
are chosen for files of about 150 KB at 640 x 480, as those of COCO's train2017 are (18 GB, 118 287 images).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from cascade_tf.data.coco import CocoDataset
from cascade_tf.data.examples import Category, Example

# (height, width); half of the files are wide and half are tall.
SIZES = ((480, 640), (640, 480))
QUALITY = 90
CONTRAST = 32.0  # standard deviation of the brightness, grey levels
COLOUR = 8.0  # of the two colour channels

OBJECTS = 8  # of an image; COCO has 7.3
CORNERS = 20  # of a polygon
# Sides of the objects' boxes as a share of the image's, log-uniform between these.
SMALLEST, LARGEST = 0.02, 0.5


def write_photos(folder: Path, count: int, seed: int = 0) -> list[Path]:
    """Draws JPEG files into a folder and returns their paths."""
    rng = np.random.default_rng(seed)
    paths = [folder / f"{number}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        Image.fromarray(draw_photo(rng, *SIZES[number % len(SIZES)])).save(path, quality=QUALITY)
    return paths


def draw_photo(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Returns a [height, width, 3] uint8 picture with the frequencies of a photograph."""
    brightness, blue, red = (_pink_noise(rng, height, width) for _ in range(3))
    luma, cb, cr = 128 + CONTRAST * brightness, COLOUR * blue, COLOUR * red
    rgb = np.stack([luma + 1.402 * cr, luma - 0.344 * cb - 0.714 * cr, luma + 1.772 * cb], axis=-1)
    return np.clip(rgb, 0, 255).astype(np.uint8)


def _pink_noise(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    frequency[0, 0] = np.inf
    waves = rng.normal(size=frequency.shape) + 1j * rng.normal(size=frequency.shape)
    noise = np.fft.irfft2(waves / frequency, s=(height, width))
    return noise / noise.std()


def make_dataset(paths: Sequence[Path], seed: int = 0) -> CocoDataset:
    """Returns a data set of these images with drawn objects, each with one polygon."""
    rng = np.random.default_rng(seed)
    examples = tuple(_make_example(rng, number, path) for number, path in enumerate(paths))
    return CocoDataset((Category(1, "thing"),), examples, (), "")


def _make_example(rng: np.random.Generator, image_id: int, path: Path) -> Example:
    with Image.open(path) as image:
        width, height = image.size
    size = np.array([width, height], np.float64)
    sides = size * np.exp(rng.uniform(np.log(SMALLEST), np.log(LARGEST), (OBJECTS, 2)))
    low = rng.uniform(0, 1, (OBJECTS, 2)) * (size - sides)
    angles = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    rays = np.stack([np.cos(angles), np.sin(angles)], axis=-1) * rng.uniform(0.7, 1, (OBJECTS, CORNERS, 1))
    corners = low[:, None] + sides[:, None] * (0.5 + 0.5 * rays)
    return Example(
        image_id,
        str(path),
        height,
        width,
        np.concatenate([low, low + sides], axis=1).astype(np.float32),
        np.ones(OBJECTS, np.int32),
        np.zeros(OBJECTS, bool),
        np.zeros(OBJECTS, bool),
        tuple([polygon.ravel()] for polygon in corners),
    )
