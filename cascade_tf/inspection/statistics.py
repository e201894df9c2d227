"""How many images and objects a data set has, of which classes and sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cascade_tf.data.examples import Category, Example

SMALL, LARGE = 32.0**2, 96.0**2
"""COCO's limits between small, medium and large objects, areas in pixels."""


class ClassCount(NamedTuple):
    """How often a class occurs.

    Attributes:
        name: of the class.
        objects: neither crowds nor ignored.
        images: that have such an object.
    """

    name: str
    objects: int
    images: int


@dataclass(frozen=True, eq=False)
class Statistics:
    """Figures of n objects, neither crowds nor ignored, in m images.

    Attributes:
        image_sizes: [m, 2] int64 (height, width), pixels.
        counts: [m] objects of each image.
        boxes: [n, 4] float32 (x1, y1, x2, y2), pixels.
        image_index: [n] the image of each box, 0..m - 1.
        crowds: how many regions there are.
        ignored: how many objects nobody has to find.
        classes: in the order of the data set.
    """

    image_sizes: np.ndarray
    counts: np.ndarray
    boxes: np.ndarray
    image_index: np.ndarray
    crowds: int
    ignored: int
    classes: tuple[ClassCount, ...]

    @property
    def images(self) -> int:
        """How many images there are."""
        return len(self.image_sizes)

    @property
    def empty(self) -> int:
        """How many images have no object."""
        return int((self.counts == 0).sum())

    @property
    def objects(self) -> int:
        """How many objects there are."""
        return len(self.boxes)

    @property
    def sides(self) -> np.ndarray:
        """[n, 2] float64 width and height of the boxes."""
        return (self.boxes[:, 2:] - self.boxes[:, :2]).astype(np.float64)

    @property
    def scales(self) -> np.ndarray:
        """[n] square roots of the boxes' areas, pixels."""
        return np.sqrt(self.sides.prod(axis=1))

    @property
    def aspects(self) -> np.ndarray:
        """[n] height over width of the boxes."""
        sides = self.sides
        return sides[:, 1] / sides[:, 0]

    @property
    def by_size(self) -> dict[str, int]:
        """How many objects are small, medium and large by the areas of their boxes."""
        areas = self.sides.prod(axis=1)
        small, large = int((areas < SMALL).sum()), int((areas > LARGE).sum())
        return {"small": small, "medium": len(areas) - small - large, "large": large}


def measure_examples(examples: Sequence[Example], categories: Sequence[Category]) -> Statistics:
    """Counts and measures what is in some images.

    Args:
        examples: the images.
        categories: of the data set, class i is the i-th.
    """
    wanted = [~(example.crowd | example.ignored) for example in examples]
    counts = np.array([int(rows.sum()) for rows in wanted], np.int64)
    image_index = np.repeat(np.arange(len(examples)), counts)
    none = [np.zeros((0, 4), np.float32)], [np.zeros(0, np.int32)]
    pairs = list(zip(examples, wanted, strict=True))
    boxes = np.concatenate([example.boxes[rows] for example, rows in pairs] or none[0])
    classes = np.concatenate([example.classes[rows] for example, rows in pairs] or none[1])
    objects = np.bincount(classes, minlength=len(categories) + 1)
    # One row for each image and class that occurs in it.
    occurring = np.unique(np.stack([image_index, classes], axis=1), axis=0)[:, 1]
    images = np.bincount(occurring, minlength=len(categories) + 1)
    return Statistics(
        image_sizes=np.array([(e.height, e.width) for e in examples], np.int64).reshape(-1, 2),
        counts=counts,
        boxes=boxes,
        image_index=image_index,
        crowds=sum(int(example.crowd.sum()) for example in examples),
        ignored=sum(int(example.ignored.sum()) for example in examples),
        classes=tuple(
            ClassCount(category.name, int(objects[i]), int(images[i]))
            for i, category in enumerate(categories, start=1)
        ),
    )
