"""Boxes follow their image, by hand."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from cascade_tf.data.augment import flip_boxes, scale_boxes
from cascade_tf.ops.resize_and_pad import resize_and_pad


def test_each_axis_has_its_own_ratio():
    boxes = tf.constant([[0.0, 0.0, 64.0, 48.0], [16.0, 12.0, 32.0, 24.0]])
    scaled = scale_boxes(boxes, (48, 64), (20, 27))
    np.testing.assert_allclose(scaled, [[0, 0, 27, 20], [6.75, 5, 13.5, 10]], rtol=1e-7)


def test_the_border_stays_the_border_at_any_size():
    rng = np.random.default_rng(0)
    for height, width, new_height, new_width in rng.integers(1, 3000, (300, 4)):
        boxes = tf.constant([[0.0, 0.0, width, height]], tf.float32)
        scaled = scale_boxes(boxes, (int(height), int(width)), (int(new_height), int(new_width)))
        assert scaled.numpy().tolist() == [[0, 0, new_width, new_height]]


def test_flip():
    boxes = tf.constant([[0.0, 1.0, 10.0, 4.0], [3.5, 0.0, 4.0, 4.0]])
    flipped = flip_boxes(boxes, 10)
    assert flipped.numpy().tolist() == [[0, 1, 10, 4], [6, 0, 6.5, 4]]
    np.testing.assert_array_equal(flip_boxes(flipped, 10), boxes)


def test_a_flipped_box_covers_the_same_pixels():
    image = np.zeros((6, 11, 3), np.uint8)
    image[1:4, 2:7] = 255
    x1, y1, x2, y2 = flip_boxes(tf.constant([[2.0, 1.0, 7.0, 4.0]]), 11).numpy().astype(int)[0]
    flipped = resize_and_pad(image, (6, 11), flip=True, multiple=1).numpy()
    assert flipped[y1:y2, x1:x2].min() == 255
    assert flipped.sum() == flipped[y1:y2, x1:x2].sum()


def test_no_boxes():
    empty = tf.zeros([0, 4])
    assert flip_boxes(scale_boxes(empty, (4, 4), (8, 8)), 8).shape == (0, 4)
