"""The examples of a data set as tensors, so that a tf.data graph looks them up without Python."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from cascade_tf.data.examples import Example
from cascade_tf.structures import Tensor


class ExampleTable(NamedTuple):
    """M examples; the objects of all of them are concatenated.

    Attributes:
        paths: [M] string.
        ids: [M] int64.
        sizes: [M, 2] int32 (height, width) of the files, a NumPy array.
        offsets: [M + 1] int64; the objects of example i are rows ``offsets[i]`` to ``offsets[i + 1] - 1``.
        boxes: [*, 4] float32.
        classes: [*] int32.
        crowd: [*] bool.
        ignored: [*] bool.
        segmentations: for each example those of its objects, as in ``Example.segmentations``.
        capacity: G, no example has more objects.
    """

    paths: Tensor
    ids: Tensor
    sizes: np.ndarray
    offsets: Tensor
    boxes: Tensor
    classes: Tensor
    crowd: Tensor
    ignored: Tensor
    segmentations: tuple[tuple[Any, ...], ...]
    capacity: int

    @classmethod
    def of(cls, examples: Sequence[Example], max_boxes: int | None) -> ExampleTable:
        """Makes the table; of an example with more than ``max_boxes`` objects the largest stay.

        Raises:
            ValueError: there are no examples.
        """
        if not examples:
            raise ValueError("the data set has no images, expected at least one")
        most = max(len(example.boxes) for example in examples)
        capacity = max(most, 1) if max_boxes is None else max_boxes
        kept = [_largest(example.boxes, capacity) for example in examples]

        def joined(attribute: str) -> Tensor:
            pairs = zip(examples, kept, strict=True)
            return tf.constant(np.concatenate([getattr(example, attribute)[rows] for example, rows in pairs]))

        # Look-ups run where tf.data runs, whatever device is current while the table is made.
        with tf.device("CPU:0"):
            return cls(
                tf.constant([os.fsencode(example.path) for example in examples]),
                tf.constant([example.image_id for example in examples], tf.int64),
                np.array([(example.height, example.width) for example in examples], np.int32),
                tf.constant(np.concatenate([[0], np.cumsum([len(rows) for rows in kept])]), tf.int64),
                joined("boxes"),
                joined("classes"),
                joined("crowd"),
                joined("ignored"),
                tuple(
                    _chosen(example.segmentations, rows) for example, rows in zip(examples, kept, strict=True)
                ),
                capacity,
            )

    def path_of(self, index: Tensor) -> Tensor:
        """The file of an example, string scalar."""
        return self.paths[index]

    def size_of(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """The (height, width) of an example's file, int32 scalars."""
        size = tf.gather(self.sizes, index)
        return size[0], size[1]

    def objects_of(self, index: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The boxes [n, 4], classes [n], crowd marks [n] and ignored marks [n] of an example."""
        rows = slice(self.offsets[index], self.offsets[index + 1])
        return self.boxes[rows], self.classes[rows], self.crowd[rows], self.ignored[rows]


def _chosen(segmentations: Sequence[Any], rows: np.ndarray) -> tuple[Any, ...]:
    return tuple(segmentations[row] for row in rows) if segmentations else ()


def _largest(boxes: np.ndarray, count: int) -> np.ndarray:
    """Indices of the ``count`` largest boxes, in their old order."""
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return np.sort(np.argsort(-areas, kind="stable")[:count])
