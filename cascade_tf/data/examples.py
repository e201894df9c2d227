"""One picture with its objects, in the frame of its file: what readers give and the pipeline takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Category:
    """A kind of object.

    Attributes:
        id: the data set's own id, any integer; ids need not be consecutive.
        name: a name that no other category of the data set bears.
    """

    id: int
    name: str


@dataclass(frozen=True, eq=False)
class Example:
    """An image file and its annotated objects; n may be 0.

    Attributes:
        image_id: the data set's id of the image.
        path: the image file.
        height: pixels of the picture that the boxes refer to: upright, or as stored (see `eval_batches`).
        width: likewise.
        boxes: [n, 4] float32 (x1, y1, x2, y2), pixels of the file, inside the image and not empty.
        classes: [n] int32 in 1..K: 1 is the first category; 0 is a crowd of which no class is known.
        crowd: [n] bool, a region of many objects rather than one object.
        ignored: [n] bool, an object that nobody has to find: neither learnt nor punished, and no crowd.
        segmentations: n objects' pixels as `compact_segmentation` gives them, None for a crowd; or empty
            where they were not asked for.
    """

    image_id: int
    path: str
    height: int
    width: int
    boxes: np.ndarray
    classes: np.ndarray
    crowd: np.ndarray
    ignored: np.ndarray
    segmentations: tuple[Any, ...] = ()
