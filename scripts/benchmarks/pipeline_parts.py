"""The parts of the input pipeline, each by itself on what the part before it gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from cascade_tf.data import augment
from cascade_tf.data.coco import CocoDataset
from cascade_tf.data.masks import mask_function
from cascade_tf.data.plan import BatchPlan, aspect_buckets
from cascade_tf.data.table import ExampleTable
from cascade_tf.ops.decode import decode_image
from cascade_tf.ops.resize import pad_images, resize_image, shortest_edge_size
from cascade_tf.ops.resize_and_pad import resize_and_pad

MULTIPLE = 32  # the padded sides are multiples of this
# As many as COCO's train2017 has, wide and tall, and the steps that the pipeline plans at once.
PLANNED_IMAGES, PLANNED_STEPS = 118_287, 64

# Handles some images and returns their number.
Part = Callable[[], int]


class Parts:
    """Makes the parts for one data set and one size of the network's input.

    What goes into a part lies in memory, decoded or resized before, and each part runs in one thread.

    Args:
        dataset: what to read.
        short_side: length of the shorter side, pixels.
        max_side: limit of the longer side, pixels.
        batch_size: images in a batch.
    """

    def __init__(self, dataset: CocoDataset, short_side: int, max_side: int, batch_size: int) -> None:
        self._table = ExampleTable.of(dataset.examples, None)
        self._limits = short_side, max_side
        self._batch_size = batch_size
        # One orientation after the other, since a batch has one.
        examples = sorted(dataset.examples, key=lambda example: example.height > example.width)
        self._paths = [example.path for example in examples]
        contents = [Path(path).read_bytes() for path in self._paths]
        self._contents = tf.data.Dataset.from_tensor_slices(contents).cache()
        self._decoded = self._contents.map(decode_image).cache()
        self._resized = self._decoded.map(lambda image: self._fit(image)).cache()

    def needed(self) -> dict[str, Part]:
        """The parts of which the pipeline with boxes consists."""
        paths = tf.data.Dataset.from_tensor_slices(self._paths)
        batches = self._resized.padded_batch(
            self._batch_size, drop_remainder=len(self._paths) > self._batch_size
        )
        return {
            "plan (Python)": self._plan(),
            "read": self._part(paths.map(tf.io.read_file)),
            "decode": self._part(self._contents.map(decode_image)),
            "resize, flip and pad at once": self._part(self._decoded.map(lambda image: self._fit(image))),
            "boxes": self._part(self._indices().map(self._boxes)),
            "batch": self._part(batches, self._batch_size),
        }

    def others(self) -> dict[str, Part]:
        """Masks, and what takes the place of the C++ ops where they cannot be had."""
        sizes = self._decoded.map(lambda image: (image, self._size(image)))
        return {
            "masks": self._part(self._masks("auto")),
            "masks in Python, without the C++ op": self._part(self._masks("tensorflow")),
            "resize without the C++ op": self._part(
                sizes.map(lambda image, size: tf.cast(resize_image(image, size), tf.uint8))
            ),
            "flip without the C++ op": self._part(self._resized.map(lambda image: tf.reverse(image, [1]))),
            "pad without the C++ op": self._part(
                self._resized.map(lambda image: pad_images(image[:-1, :-1], MULTIPLE))
            ),
        }

    def _size(self, image: Any) -> Any:
        return tf.stack(shortest_edge_size(tf.shape(image)[0], tf.shape(image)[1], *self._limits))

    def _fit(self, image: Any) -> Any:
        # Mirrored, as every second image is: that takes no longer.
        return resize_and_pad(image, self._size(image), flip=True, multiple=MULTIPLE)

    def _indices(self) -> tf.data.Dataset:
        return tf.data.Dataset.range(len(self._paths), output_type=tf.int32)

    def _boxes(self, index: Any) -> Any:
        old = self._table.size_of(index)
        size = shortest_edge_size(*old, *self._limits)
        boxes = self._table.objects_of(index)[0]
        return augment.flip_boxes(augment.scale_boxes(boxes, old, size), size[1])

    def _masks(self, implementation: str) -> tf.data.Dataset:
        draw = mask_function(self._table, implementation=implementation)

        def masks(index: Any) -> Any:
            size = shortest_edge_size(*self._table.size_of(index), *self._limits)
            return draw(index, size, tf.constant(True), -(-tf.stack(size) // MULTIPLE) * MULTIPLE)[0]

        return self._indices().map(masks)

    def _part(self, dataset: tf.data.Dataset, images: int = 1) -> Part:
        """Runs through a data set once a call; ``images`` are in each of its elements."""
        elements = int(dataset.cardinality())
        # Only a number leaves the graph, for all elements at once.
        numbers = dataset.map(lambda result: tf.size(result, tf.int64)).repeat().batch(elements)
        options = tf.data.Options()
        # Nothing may run ahead while another part is measured.
        options.autotune.enabled = False
        options.experimental_optimization.inject_prefetch = False
        iterator = iter(numbers.with_options(options))

        def run() -> int:
            assert next(iterator).numpy().all()
            return elements * images

        return run

    def _plan(self) -> Part:
        sizes = np.where(np.arange(PLANNED_IMAGES)[:, None] % 3 == [0, 0], [640, 480], [480, 640])
        plan = BatchPlan(
            aspect_buckets(sizes, self._batch_size), self._batch_size, (self._limits[0],), True, 0
        )
        step = 0

        def run() -> int:
            nonlocal step
            plan.steps(step, PLANNED_STEPS)
            step += PLANNED_STEPS
            return PLANNED_STEPS * self._batch_size

        return run
