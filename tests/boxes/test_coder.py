"""Box offsets: numbers by hand, and the law that decoding inverts encoding."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.boxes import BoxCoder
from tests.boxes.examples import random_boxes
from tests.reference import cascade as reference

# float32 rounding of coordinates of up to a few hundred pixels.
PIXELS = 1e-3
PLAIN = (1.0, 1.0, 1.0, 1.0)
STDS = [PLAIN, (0.1, 0.1, 0.2, 0.2), (0.05, 0.05, 0.1, 0.1), (0.1 / 3, 0.1 / 3, 0.2 / 3, 0.2 / 3)]


def test_offsets_by_hand():
    box, target = tf.constant([10.0, 20, 30, 60]), tf.constant([15.0, 30, 25, 110])
    # Centres (20, 40) -> (20, 70), sides (20, 40) -> (10, 80).
    expected = [0.0, 0.75, math.log(0.5), math.log(2.0)]
    np.testing.assert_allclose(BoxCoder(PLAIN).encode(target, box), expected, rtol=1e-6)
    np.testing.assert_allclose(
        BoxCoder((0.1, 0.1, 0.2, 0.2)).encode(target, box),
        np.array(expected) / [0.1, 0.1, 0.2, 0.2],
        rtol=1e-6,
    )


def test_decode_by_hand():
    boxes = BoxCoder((0.1, 0.1, 0.2, 0.2)).decode(
        tf.constant([[1.0, -5.0, 0.0, 5 * math.log(3)]]), tf.constant([[0.0, 0, 10, 20]])
    )
    # Centre (5, 10) + (1, -10), sides (10, 60).
    np.testing.assert_allclose(boxes, [[1, -30, 11, 30]], atol=1e-5)


def test_zero_offsets_change_nothing():
    boxes = random_boxes(20, seed=3)
    np.testing.assert_allclose(BoxCoder().decode(tf.zeros([20, 4]), boxes), boxes, atol=1e-5)


@pytest.mark.parametrize("std", STDS)
def test_decode_inverts_encode(std):
    coder = BoxCoder(std)
    boxes, targets = random_boxes(50, seed=4, min_side=1), random_boxes(50, seed=5, min_side=1)
    np.testing.assert_allclose(coder.decode(coder.encode(targets, boxes), boxes), targets, atol=PIXELS)


@pytest.mark.parametrize("std", STDS)
def test_equals_loops(std):
    coder = BoxCoder(std)
    boxes, targets = random_boxes(30, seed=6, min_side=1), random_boxes(30, seed=7, min_side=1)
    encoded = [reference.encode(target, box, std) for target, box in zip(targets, boxes, strict=True)]
    np.testing.assert_allclose(coder.encode(targets, boxes), encoded, rtol=1e-4, atol=1e-4)
    deltas = np.random.default_rng(8).normal(0, 2, (30, 4)).astype(np.float32)
    decoded = [reference.decode(delta, box, std) for delta, box in zip(deltas, boxes, strict=True)]
    np.testing.assert_allclose(coder.decode(tf.constant(deltas), boxes), decoded, rtol=1e-4, atol=PIXELS)


def test_means_are_subtracted_before_the_division():
    mean, std = (0.1, -0.2, 0.05, 0.3), (0.1, 0.1, 0.2, 0.2)
    coder, plain = BoxCoder(std, mean=mean), BoxCoder(PLAIN)
    boxes, targets = random_boxes(30, seed=6, min_side=1), random_boxes(30, seed=7, min_side=1)
    expected = (plain.encode(targets, boxes).numpy() - mean) / std
    np.testing.assert_allclose(coder.encode(targets, boxes), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(coder.decode(coder.encode(targets, boxes), boxes), targets, atol=PIXELS)
    # No offset is the mean one.
    box = tf.constant([[0.0, 0, 20, 20]])
    moved = plain.decode(tf.constant([mean], tf.float32), box)
    np.testing.assert_allclose(coder.decode(tf.zeros([1, 4]), box), moved, rtol=1e-6)


def test_boxes_of_each_class():
    coder = BoxCoder()
    boxes = tf.constant(random_boxes(6, seed=9)[None])
    deltas = tf.constant(np.random.default_rng(10).normal(size=(1, 6, 12)).astype(np.float32))
    decoded = coder.decode(deltas, boxes)
    for k in range(3):
        one = slice(4 * k, 4 * k + 4)
        np.testing.assert_allclose(decoded[..., one], coder.decode(deltas[..., one], boxes), rtol=1e-6)


def test_growth_is_limited():
    box = tf.constant([[0.0, 0, 16, 16]])
    for huge in (1e3, np.inf):
        decoded = BoxCoder(PLAIN).decode(tf.constant([[0.0, 0, huge, huge]]), box)
        np.testing.assert_allclose(decoded, [[-492, -492, 508, 508]], rtol=1e-4)
    shrunk = BoxCoder(PLAIN).decode(tf.constant([[0.0, 0, -1e3, -1e3]]), box)
    np.testing.assert_array_equal(shrunk, [[8, 8, 8, 8]])


@pytest.mark.parametrize("box", [(3, 3, 3, 9), (9, 3, 3, 9), (np.nan, 3, 4, 9)])
def test_degenerate_boxes_encode_to_zero(box):
    box, good = tf.constant(box, tf.float32), tf.constant([0.0, 0, 5, 5])
    np.testing.assert_array_equal(BoxCoder().encode(good, box), [0, 0, 0, 0])
    np.testing.assert_array_equal(BoxCoder().encode(box, good), [0, 0, 0, 0])


@pytest.mark.parametrize("std", [(0.1, 0.1, 0.2), (0.1, 0.1, 0.2, 0.0), (1, 1, -1, 1)])
def test_wrong_statistics(std):
    with pytest.raises(ValueError, match="four positive numbers"):
        BoxCoder(std)


def test_wrong_means():
    with pytest.raises(ValueError, match="mean must be four numbers"):
        BoxCoder(mean=(0.0, 0.0))
