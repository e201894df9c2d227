"""Box voting, by hand and against slow loops."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.boxes import vote_boxes
from cascade_tf.structures import Detections
from tests.boxes.examples import random_boxes
from tests.reference import voting as reference

# Sums of up to a hundred float32 coordinates of about a hundred pixels.
TOLERANCE = 1e-4


def detections(boxes, classes):
    classes = np.asarray(classes, np.int32)
    return Detections(
        boxes=tf.constant(boxes, tf.float32),
        scores=tf.where(classes > 0, 0.9, 0.0),
        classes=tf.constant(classes),
        valid=tf.constant(classes > 0),
    )


def column(*scores):
    return tf.constant(scores, tf.float32)[None]


CANDIDATES = tf.constant(
    [[[[0, 0, 10, 10]], [[0, 0, 10, 9]], [[0, 0, 10, 8]], [[50, 50, 60, 60]]]], tf.float32
)
KEPT = detections([[[0, 0, 10, 10], [0, 0, 0, 0]]], [[1, 0]])


@pytest.mark.parametrize(
    ("iou", "expected"),
    [
        (0.95, 10.0),
        (0.9, (0.8 * 10 + 0.4 * 9) / 1.2),  # an IoU equal to the limit votes
        (0.8, (0.8 * 10 + 0.4 * 9 + 0.2 * 8) / 1.4),
    ],
)
def test_by_hand(iou, expected):
    scores = column([0.8], [0.4], [0.2], [0.9])
    found = vote_boxes(KEPT, CANDIDATES, scores, iou=iou, score_threshold=0.05)
    np.testing.assert_allclose(found.boxes, [[[0, 0, 10, expected], [0, 0, 0, 0]]], rtol=1e-6)
    for name in ("scores", "classes", "valid"):
        np.testing.assert_array_equal(getattr(found, name), getattr(KEPT, name))


def test_who_has_a_vote():
    scores = column([0.8, 0], [0.05, 0.9], [np.nan, 0.9], [-np.inf, 0.9])
    found = vote_boxes(KEPT, CANDIDATES, scores, iou=0.5, score_threshold=0.05)
    # Neither weak candidates, nor those of another class, nor scores that are no numbers.
    np.testing.assert_array_equal(found.boxes, KEPT.boxes)


def test_padding_stays_zero_whatever_may_vote():
    found = vote_boxes(KEPT, CANDIDATES, column([0.8], [0.4], [0.2], [0.9]), iou=0.0, score_threshold=0.0)
    np.testing.assert_array_equal(found.boxes[0, 1], np.zeros(4))
    assert not np.array_equal(found.boxes[0, 0], KEPT.boxes[0, 0])


def test_without_any_vote_a_box_stays():
    scores = column([0.0], [0.0], [0.0], [0.0])
    found = vote_boxes(KEPT, CANDIDATES, scores, iou=0.5, score_threshold=0.0)
    np.testing.assert_array_equal(found.boxes, KEPT.boxes)


@pytest.mark.parametrize("odd", [(np.nan, 0, 10, 10), (0, 0, np.inf, 10), (5, 5, 5, 5), (10, 10, 0, 0)])
def test_odd_candidates_have_no_vote(odd):
    candidates = tf.constant([[[[0, 0, 10, 10]], [list(odd)]]], tf.float32)
    found = vote_boxes(KEPT, candidates, column([0.8], [0.8]), iou=0.01, score_threshold=0.0)
    np.testing.assert_array_equal(found.boxes, KEPT.boxes)


@pytest.mark.parametrize("shape", [(1, 0, 1), (1, 0, 3), (0, 4, 1)])
def test_no_candidates(shape):
    kept = Detections(*(value[: shape[0]] for value in KEPT))
    scores = tf.zeros([*shape[:2], 3])
    found = vote_boxes(kept, tf.zeros([*shape, 4]), scores, iou=0.9, score_threshold=0.05)
    np.testing.assert_array_equal(found.boxes, kept.boxes)


@pytest.mark.parametrize("box_sets", [1, 3], ids=["agnostic", "aware"])
def test_equals_loops(box_sets):
    rng = np.random.default_rng(5)
    base = np.stack([random_boxes(6, seed=image, min_side=20) for image in range(2)])
    # Twenty candidates around each of six boxes.
    around = np.repeat(base, 20, axis=1)[:, :, None] + rng.normal(0, 1, (2, 120, box_sets, 4))
    scores = rng.uniform(0, 1, (2, 120, 3)).astype(np.float32)
    classes = np.array([[1, 2, 3, 1, 2, 0], [3, 3, 1, 0, 0, 0]])
    kept = detections(base * (classes > 0)[..., None], classes)
    found = vote_boxes(kept, tf.constant(around, tf.float32), scores, iou=0.9, score_threshold=0.3)
    moved = 0
    for image, detection in np.argwhere(classes > 0):
        k = classes[image, detection] - 1
        expected = reference.vote(
            base[image, detection], around[image, :, min(k, box_sets - 1)], scores[image, :, k], 0.9, 0.3
        )
        np.testing.assert_allclose(found.boxes[image, detection], expected, atol=TOLERANCE)
        moved += not np.allclose(expected, base[image, detection])
    assert moved > 5
    np.testing.assert_array_equal(found.boxes[~kept.valid], 0)
