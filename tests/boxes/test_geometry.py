"""Areas, overlaps and clipping, by hand and against slow loops."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.boxes import area, clip_boxes, cover, is_proper, pairwise_iou
from tests.boxes.examples import random_boxes
from tests.reference import cascade as reference

# Quotients of float32 numbers of up to 1e4.
TOLERANCE = 1e-6

INF, NAN = np.inf, np.nan


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((1, 2, 4, 6), 12.0),
        ((1, 2, 1, 6), 0.0),
        ((4, 2, 1, 6), 0.0),
        ((4, 6, 1, 2), 0.0),
        ((0, 0, 0.5, 0.5), 0.25),
    ],
)
def test_area(box, expected):
    assert area(tf.constant(box, tf.float32)) == expected


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((-3, -3, 50, 50), (0, 0, 40, 30)),
        ((3, 4, 5, 6), (3, 4, 5, 6)),
        ((-9, -9, -5, -5), (0, 0, 1, 1)),
        ((60, 60, 70, 70), (39, 29, 40, 30)),
        ((60, 3, 70, 9), (39, 3, 40, 9)),
    ],
)
def test_inclusive_clipping_keeps_a_pixel(box, expected):
    clipped = clip_boxes(tf.constant([[box]], tf.float32), tf.constant([[30.0, 40.0]]), inclusive=True)
    np.testing.assert_array_equal(clipped[0, 0], expected)


@pytest.mark.parametrize(
    ("box", "inclusive", "expected"),
    [
        ((-3, -3, 50, 50), False, (0, 0, 41, 31)),
        ((-3, -3, 50, 50), True, (0, 0, 41, 31)),
        ((60, 60, 70, 70), False, (41, 31, 41, 31)),
        ((60, 60, 70, 70), True, (40, 30, 41, 31)),
    ],
)
def test_clipping_with_a_border(box, inclusive, expected):
    boxes, size = tf.constant([[box]], tf.float32), tf.constant([[30.0, 40.0]])
    np.testing.assert_array_equal(clip_boxes(boxes, size, inclusive, border=1.0)[0, 0], expected)


@pytest.mark.parametrize(("side", "expected"), [(1.0, True), (0.75, False), (0.0, False), (INF, False)])
def test_smallest_side(side, expected):
    for box in ((3, 3, 3 + side, 9), (3, 3, 9, 3 + side)):
        assert is_proper(tf.constant(box, tf.float32), min_side=1.0) == expected


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((0, 0, 2, 2), True),
        ((-5, -5, -1, -2), True),
        ((0, 0, 0, 2), False),
        ((0, 3, 2, 2), False),
        ((0, 0, INF, 2), False),
        ((NAN, 0, 2, 2), False),
        ((-INF, 0, 2, 2), False),
    ],
)
def test_is_proper(box, expected):
    assert bool(is_proper(tf.constant(box, tf.float32))) is expected


@pytest.mark.parametrize(
    ("box", "other", "expected"),
    [
        ((0, 0, 2, 2), (0, 0, 2, 2), 1.0),
        ((0, 0, 2, 2), (1, 1, 3, 3), 1.0 / 7.0),
        ((0, 0, 4, 4), (1, 1, 3, 3), 0.25),
        ((0, 0, 2, 2), (2, 0, 4, 2), 0.0),  # a common edge
        ((0, 0, 2, 2), (5, 5, 6, 6), 0.0),
        ((1, 1, 1, 1), (1, 1, 1, 1), 0.0),  # two equal points
        ((2, 2, 0, 0), (0, 0, 2, 2), 0.0),  # flipped
    ],
)
def test_iou_by_hand(box, other, expected):
    overlap = pairwise_iou(tf.constant([box], tf.float32), tf.constant([other], tf.float32))
    np.testing.assert_allclose(overlap, [[expected]], atol=TOLERANCE)


def test_iou_and_cover_equal_loops():
    boxes, others = random_boxes(23, seed=1), random_boxes(17, seed=2)
    expected = [[reference.iou(box, other) for other in others] for box in boxes]
    np.testing.assert_allclose(pairwise_iou(boxes, others), expected, atol=TOLERANCE)
    expected = [
        [reference.intersection(box, other) / reference.area(box) for other in others] for box in boxes
    ]
    np.testing.assert_allclose(cover(boxes, others), expected, atol=TOLERANCE)


def test_cover_is_a_share_of_the_first_box():
    small, large = tf.constant([[2.0, 2, 4, 4]]), tf.constant([[0.0, 0, 4, 3]])
    assert cover(small, large).numpy() == [[0.5]]
    np.testing.assert_allclose(cover(large, small), [[2.0 / 12.0]])
    assert cover(tf.constant([[2.0, 2, 2, 2]]), large).numpy() == [[0.0]]


def test_iou_of_a_batch_without_boxes():
    assert pairwise_iou(tf.zeros([2, 0, 4]), tf.zeros([2, 3, 4])).shape == (2, 0, 3)
    assert pairwise_iou(tf.zeros([2, 3, 4]), tf.zeros([2, 0, 4])).shape == (2, 3, 0)


def test_clip_uses_each_images_size():
    boxes = tf.constant([[[-3.0, -4, 50, 60]], [[-3.0, -4, 50, 60]], [[70.0, 80, 90, 99]]])
    sizes = tf.constant([[40.0, 45], [100, 20], [75, 65.5]])
    expected = [[[0, 0, 45, 40]], [[0, 0, 20, 60]], [[65.5, 75, 65.5, 75]]]
    np.testing.assert_array_equal(clip_boxes(boxes, sizes), expected)
    # Boxes of each class have one more axis.
    np.testing.assert_array_equal(clip_boxes(boxes[:, :, None], sizes)[:, :, 0], expected)
