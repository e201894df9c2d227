"""Small pictures with their boxes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from PIL import Image

from cascade_tf.data.picture_files import SILENCE, decode_with_pillow, turn
from cascade_tf.data.shards.locations import read_picture
from cascade_tf.inspection.selection import Chosen
from cascade_tf.visualization import draw_detections

# At most so many pixels, and so long a side: a page has some thirty pictures and stays below 5 MB.
_PIXELS = 560 * 420
_LONG_SIDE = 1000
_SHORT_SIDE = 200
_NAMED_SIDE = 16


def draw_thumbnail(chosen: Chosen) -> tuple[str, np.ndarray]:
    """Returns a picture's caption, and the picture with its boxes as [H, W, 3] uint8.

    Objects have the colours of their classes, and large ones the names. What is ignored, and regions, are
    dashed.
    """
    example = chosen.example
    picture = Image.fromarray(_pixels(chosen))
    picture = picture.resize(_thumbnail_size(picture.size), Image.Resampling.BICUBIC, reducing_gap=2.0)
    boxes = example.boxes * (picture.width / example.width)
    hidden = example.crowd | example.ignored
    # A name would hide a smaller box, and its neighbours.
    large = (boxes[:, 2:] - boxes[:, :2]).min(axis=1) >= _NAMED_SIDE
    names = [
        chosen.class_names[number - 1] if named else ""
        for number, named in zip(example.classes[~hidden], large[~hidden], strict=True)
    ]
    drawn = draw_detections(
        np.asarray(picture),
        boxes[~hidden],
        names=names,
        classes=example.classes[~hidden],
        ground_truth=boxes[hidden],
        min_side=_SHORT_SIDE,
    )
    parts = [
        f"{chosen.split}: {Path(example.path).name}",
        f"{example.width} × {example.height}",
        "1 object" if len(names) == 1 else f"{len(names)} objects",
        *([f"{hidden.sum()} ignored (dashed)"] if hidden.any() else []),
    ]
    return ", ".join(parts), drawn


def _thumbnail_size(size: tuple[int, int]) -> tuple[int, int]:
    width, height = size
    scale = min(1.0, math.sqrt(_PIXELS / (width * height)), _LONG_SIDE / max(size))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _pixels(chosen: Chosen) -> np.ndarray:
    """The picture in the frame of its boxes."""
    example = chosen.example
    with SILENCE:
        stored, orientation = decode_with_pillow(read_picture(example.path))
    upright = turn(stored, orientation)
    fits = upright.shape[:2] == (example.height, example.width)
    return np.ascontiguousarray(upright if fits else stored)
