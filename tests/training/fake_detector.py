"""A detector's training interface in a few weights, and batches for it."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from cascade_tf.structures import ImageBatch, Targets


class FakeDetector(keras.Model):
    """Predicts the first box of an image from its mean colour; accepts any image size."""

    width = 5

    def __init__(self, norm=True, name="fake_detector", **kwargs):
        super().__init__(name=name, **kwargs)
        self.hidden = keras.layers.Dense(self.width, name="hidden")
        self.norm = (
            keras.layers.LayerNormalization(name="norm") if norm else keras.layers.Identity(name="norm")
        )
        self.box = keras.layers.Dense(4, name="box")
        self.build_parts()

    def build_parts(self):
        self.hidden.build((None, 3))
        self.norm.build((None, self.width))
        self.box.build((None, self.width))
        self.built = True

    def call(self, batch, training=False):
        colour = tf.reduce_mean(tf.cast(batch.images, tf.float32), [1, 2]) / 255.0
        return self.box(self.norm(self.hidden(colour), training=training))

    def compute_losses(self, batch, targets):
        boxes = tf.cast(self(batch, training=True), tf.float32)
        error = boxes - targets.boxes[:, 0] / 100.0
        losses = {
            "box": tf.reduce_mean(tf.reduce_sum(tf.square(error), -1)),
            "size": 0.5 * tf.reduce_mean(tf.abs(boxes[:, 2] - boxes[:, 0])),
        }
        return losses, {"error": tf.reduce_mean(tf.abs(error))}


def make_batch(step, batch_size=4, size=None, seed=7):
    """Batch number ``step`` of a data set that is a pure function of (seed, step)."""
    random = np.random.default_rng([seed, step])
    height, width = size or (int(random.integers(1, 4)) * 32, int(random.integers(1, 4)) * 32)
    images = random.integers(0, 256, [batch_size, height, width, 3]).astype(np.uint8)
    boxes = random.uniform(0, 100, [batch_size, 2, 4]).astype(np.float32)
    frame = np.full([batch_size, 2], (height, width), np.float32)
    ids = step * 1000 + np.arange(batch_size, dtype=np.int64)
    batch = ImageBatch(images, frame, frame, ids)
    flags = np.ones([batch_size, 2], bool)
    seeds = np.full([batch_size, 2], step, np.int32)
    targets = Targets(boxes, np.ones([batch_size, 2], np.int32), flags, ~flags, seeds)
    return tf.nest.map_structure(tf.constant, (batch, targets))


def element_spec(batch_size=4):
    def spec(shape, dtype):
        return tf.TensorSpec([batch_size, *shape], dtype)

    batch = ImageBatch(
        spec([None, None, 3], tf.uint8), spec([2], tf.float32), spec([2], tf.float32), spec([], tf.int64)
    )
    targets = Targets(
        spec([2, 4], tf.float32),
        spec([2], tf.int32),
        spec([2], tf.bool),
        spec([2], tf.bool),
        spec([2], tf.int32),
    )
    return batch, targets


def make_batches(start_step, batch_size=4, num_steps=None, change=lambda step, data: data):
    """The data set from batch ``start_step`` on."""

    def generate():
        step = start_step
        while num_steps is None or step < num_steps:
            yield change(step, make_batch(step, batch_size))
            step += 1

    return tf.data.Dataset.from_generator(generate, output_signature=element_spec(batch_size))


def poison(bad_step, image=0):
    """A change for `make_batches`: one box of that step is not a number."""

    def change(step, data):
        batch, targets = data
        if step != bad_step:
            return data
        boxes = targets.boxes.numpy()
        boxes[image] = np.nan
        return batch, targets._replace(boxes=tf.constant(boxes))

    return change
