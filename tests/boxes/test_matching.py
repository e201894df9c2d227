"""Assignment of objects to boxes and anchors: by hand, and against slow loops."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.boxes import Match, match_anchors, match_boxes
from cascade_tf.boxes.matching import gather_matched
from tests.boxes.examples import objects_of, random_boxes, targets
from tests.reference import cascade as reference

SQUARE = (0, 0, 10, 10)
# Boxes of the same height as SQUARE, whose IoU with it is their width / 10.
HALF, THIRD, SEVEN_TENTHS, NINE_TENTHS = ((0, 0, width, 10) for width in (5, 3, 7, 9))
FAR = (50, 50, 60, 60)


def match(boxes, some, **settings):
    result = match_boxes(tf.constant([boxes], tf.float32), some, **settings)
    return result.labels[0].numpy().tolist(), result.index[0].numpy().tolist(), result.iou[0].numpy()


@pytest.mark.parametrize(
    ("threshold", "labels"), [(0.5, [1, 1, 0, 0]), (0.9, [1, 0, 0, 0]), (0.3, [1, 1, 1, 0])]
)
def test_threshold_belongs_to_the_foreground(threshold, labels):
    found, index, iou = match([NINE_TENTHS, HALF, THIRD, FAR], targets([[(SQUARE, 4)]]), iou=threshold)
    assert found == labels
    assert index == [0, 0, 0, 0]
    np.testing.assert_allclose(iou, [0.9, 0.5, 0.3, 0.0], rtol=1e-6)


def test_largest_overlap_wins_and_the_first_of_equals():
    some = targets([[(FAR, 1), (SQUARE, 2), (NINE_TENTHS, 3), (SQUARE, 4)]])
    labels, index, _ = match([SQUARE, NINE_TENTHS, FAR], some, iou=0.5)
    assert labels == [1, 1, 1]
    assert index == [1, 2, 0]


def test_padding_is_no_object():
    some = targets([[(FAR, 1)]], size=3)
    # A box of the padding's coordinates overlaps nothing.
    labels, _, iou = match([(0, 0, 0, 0), SQUARE], some, iou=0.5)
    assert labels == [0, 0]
    np.testing.assert_array_equal(iou, [0, 0])
    hidden = some._replace(boxes=tf.constant([[FAR, SQUARE, SQUARE]], tf.float32))
    assert match([SQUARE], hidden, iou=0.5)[0] == [0]


@pytest.mark.parametrize("size", [0, 2])
def test_without_objects_all_is_background(size):
    some = targets([[]], size=size)
    labels, index, iou = match([SQUARE, FAR], some, iou=0.5)
    assert (labels, index) == ([0, 0], [0, 0])
    np.testing.assert_array_equal(iou, [0, 0])
    anchors = match_anchors(tf.constant([SQUARE, FAR], tf.float32), some)
    np.testing.assert_array_equal(anchors.labels, [[0, 0]])


def test_crowd_hides_background_alone():
    crowd = (0, 0, 10, 10)
    some = targets([[(crowd, 0), ((0, 0, 5, 10), 3)]])
    inside, mostly, partly = (6, 0, 9, 10), (6, 0, 11, 10), (6, 0, 16, 10)
    boxes = [(0, 0, 5, 10), inside, mostly, partly]
    labels, _, iou = match(boxes, some, iou=0.5)
    assert labels == [1, -1, -1, 0]
    assert match(boxes, some, iou=0.5, crowd_cover=0.9)[0] == [1, -1, 0, 0]
    assert match(boxes, some, iou=0.5, crowd_cover=None)[0] == [1, 0, 0, 0]
    np.testing.assert_array_equal(iou, [1, 0, 0, 0])


def test_matched_crowds_are_ignored_from_the_threshold_on():
    near, half = (0, 0, 10, 9), (0, 0, 5, 10)
    some = targets([[(FAR, 1), (SQUARE, 0), (SQUARE, 2), (NINE_TENTHS, 3)]])
    boxes = [SQUARE, near, half, NINE_TENTHS, FAR]
    settings = {"iou": 0.6, "crowd_cover": None}
    # The crowd is the first of two equals; only half of it is background.
    labels, index, iou = match(boxes, some, match_crowds=True, **settings)
    assert labels == [-1, -1, 0, 1, 1]
    assert index == [1, 1, 3, 3, 0]
    np.testing.assert_allclose(iou, [1, 0.9, 5 / 9, 1, 1], rtol=1e-6)
    assert match(boxes, some, **settings)[0] == [1, 1, 0, 1, 1]


def test_objects_to_ignore_are_matched_and_leave_background_over_them():
    """A crowd in their place would hide the half too, which it covers altogether."""
    half = (0, 0, 5, 10)
    some = targets([[(FAR, 1), (SQUARE, -2), (NINE_TENTHS, 3)]])
    boxes = [SQUARE, half, NINE_TENTHS, FAR]
    labels, index, iou = match(boxes, some, iou=0.6)
    assert labels == [-1, 0, 1, 1]
    assert index == [1, 2, 2, 0]
    np.testing.assert_allclose(iou, [1, 5 / 9, 1, 1], rtol=1e-6)
    crowd = targets([[(FAR, 1), (SQUARE, 0), (NINE_TENTHS, 3)]])
    assert match(boxes, crowd, iou=0.6)[0] == [1, -1, 1, 1]


def test_anchors_near_an_object_to_ignore_are_no_background():
    anchors = tf.constant([SQUARE, SEVEN_TENTHS, THIRD, (0, 0, 2.9, 10), FAR], tf.float32)
    found = match_anchors(anchors, targets([[(FAR, 1), (SQUARE, -1)]]))
    np.testing.assert_array_equal(found.labels, [[-1, -1, -1, 0, 1]])
    # What stands for an object goes on to do so.
    found = match_anchors(anchors, targets([[(SEVEN_TENTHS, 1), (SQUARE, -1)]]))
    assert found.labels[0, 1] == 1


@pytest.mark.parametrize("size", [0, 2])
def test_matched_crowds_without_objects(size):
    labels, index, iou = match([SQUARE, FAR], targets([[]], size=size), iou=0.5, match_crowds=True)
    assert (labels, index) == ([0, 0], [0, 0])
    np.testing.assert_array_equal(iou, [0, 0])


def test_anchors_between_the_thresholds_are_ignored():
    anchors = tf.constant([SQUARE, SEVEN_TENTHS, HALF, THIRD, (0, 0, 2.9, 10), FAR], tf.float32)
    found = match_anchors(anchors, targets([[(SQUARE, 1)]]))
    np.testing.assert_array_equal(found.labels, [[1, 1, -1, -1, 0, 0]])


def test_every_object_claims_its_best_anchors():
    # The second object overlaps two anchors by 0.3 and 0.2 at most; ties for the best are all claimed.
    anchors = tf.constant([SQUARE, (20, 0, 26, 10), (24, 0, 30, 10), (20, 0, 24, 10)], tf.float32)
    some = targets([[(SQUARE, 1), ((20, 0, 30, 20), 2), ((90, 90, 95, 95), 3)]])
    found = match_anchors(anchors, some)
    np.testing.assert_array_equal(found.labels, [[1, 1, 1, 0]])
    np.testing.assert_array_equal(found.index, [[0, 1, 1, 1]])
    strict = match_anchors(anchors, some, allow_low_quality=False)
    np.testing.assert_array_equal(strict.labels, [[1, -1, -1, 0]])


@pytest.mark.parametrize("claim", [False, True])
def test_an_object_that_nothing_overlaps(claim):
    anchors = tf.constant([[0.0, 0, 10, 10], [20, 20, 30, 30]])
    some = targets([[((90, 90, 95, 95), 1), ((0, 0, 10, 10), 2)], []], size=3)
    found = match_anchors(anchors, some, claim_untouched=claim)
    # The first anchor is the second object's; with the claim the second anchor is the first object's.
    np.testing.assert_array_equal(found.labels, [[1, 1 if claim else 0], [0, 0]])
    boxes = gather_matched(some.boxes, found)
    np.testing.assert_array_equal(boxes[0, 0], [0, 0, 10, 10])
    np.testing.assert_array_equal(boxes[0, 1], [90, 90, 95, 95] if claim else [0, 0, 0, 0])


def test_claimed_anchor_keeps_its_own_best_object():
    # The small object's best anchor overlaps the large one more.
    anchors = tf.constant([SQUARE], tf.float32)
    found = match_anchors(anchors, targets([[((0, 0, 2, 10), 1), (NINE_TENTHS, 2)]]))
    np.testing.assert_array_equal(found.labels, [[1]])
    np.testing.assert_array_equal(found.index, [[1]])


def _crowded_batch():
    images = []
    for image in range(4):
        boxes = random_boxes(6, seed=image, min_side=4)
        labels = [0 if place == 5 else 1 + place % 3 for place in range(6)]
        images.append(list(zip(boxes, labels, strict=True))[: (6, 3, 0, 5)[image]])
    return targets(images)


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
def test_boxes_equal_loops(threshold):
    some = _crowded_batch()
    boxes = np.stack([random_boxes(80, seed=20 + image, min_side=4) for image in range(4)])
    found = Match(*(value.numpy() for value in match_boxes(tf.constant(boxes), some, iou=threshold)))
    for image in range(4):
        objects, crowds = objects_of(some, image)
        for place, box in enumerate(boxes[image]):
            expected = reference.label(list(box), objects, threshold, crowds)
            label = -1 if expected is None else int(expected.label > 0)
            assert found.labels[image, place] == label
            best, overlap = reference.best_object(box, objects)
            np.testing.assert_allclose(found.iou[image, place], overlap, atol=1e-6)
            assert found.index[image, place] == (best or 0)


def test_anchors_equal_loops():
    some = _crowded_batch()
    anchors = random_boxes(80, seed=30, min_side=4)
    found = match_anchors(tf.constant(anchors), some, foreground_iou=0.6, background_iou=0.25)
    for image in range(4):
        objects, crowds = objects_of(some, image)
        expected = reference.anchor_labels(anchors, objects, 0.6, 0.25, crowds)
        np.testing.assert_array_equal(found.labels[image], expected)


@pytest.mark.parametrize("size", [0, 2])
def test_gather_gives_zeros_where_nothing_matches(size):
    some = targets([[(SQUARE, 4)][:size], []], size=size)
    found = match_boxes(tf.constant([[NINE_TENTHS, FAR]] * 2, tf.float32), some, iou=0.5)
    expected = [[4 if size else 0, 0], [0, 0]]
    np.testing.assert_array_equal(gather_matched(some.classes, found), expected)
    np.testing.assert_array_equal(gather_matched(some.boxes, found)[1], np.zeros([2, 4]))
