"""Final detections against slow loops."""

from __future__ import annotations

import re

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.layers import DetectionOutput
from tests.boxes.examples import random_boxes
from tests.heads.examples import IMAGE_SIZE, NUM_CLASSES, arrays
from tests.reference import cascade as reference
from tests.reference import nms

COUNT = 30


def inputs(boxes_per_roi, seed=0):
    boxes = np.stack(
        [random_boxes(COUNT * boxes_per_roi, seed=seed + image, min_side=5) for image in range(2)]
    )
    boxes = boxes.reshape(2, COUNT, boxes_per_roi, 4)
    logits = np.random.default_rng(seed).normal(0, 2, (2, COUNT, NUM_CLASSES + 1)).astype(np.float32)
    valid = np.ones([2, COUNT], bool)
    valid[1, 20:] = False
    return tf.constant(boxes), tf.nn.softmax(tf.constant(logits)), tf.constant(valid), IMAGE_SIZE


@pytest.mark.parametrize("boxes_per_roi", [1, NUM_CLASSES], ids=["agnostic", "aware"])
@pytest.mark.parametrize("limit", [7, 200])
def test_equals_loops(boxes_per_roi, limit):
    boxes, probabilities, valid, size = inputs(boxes_per_roi)
    layer = DetectionOutput(score_threshold=0.1, nms_iou=0.4, max_detections=limit)
    found = arrays(layer(boxes, probabilities, valid, size))
    assert found.boxes.shape == (2, limit, 4)
    for image in range(2):
        usable = valid[image].numpy()
        expected = reference.detect(
            boxes[image].numpy()[usable],
            probabilities[image].numpy()[usable],
            size[image].numpy(),
            0.1,
            0.4,
            limit,
        )
        own = found.valid[image]
        assert own.sum() == len(expected)
        assert np.all(own[: len(expected)])
        np.testing.assert_allclose(found.boxes[image][own], [one.box for one in expected], atol=1e-4)
        np.testing.assert_allclose(found.scores[image][own], [one.score for one in expected], rtol=1e-6)
        np.testing.assert_array_equal(found.classes[image][own], [one.label for one in expected])
        for padding in (found.boxes, found.scores, found.classes):
            np.testing.assert_array_equal(padding[image][~own], 0)


@pytest.mark.parametrize("boxes_per_roi", [1, NUM_CLASSES], ids=["agnostic", "aware"])
@pytest.mark.parametrize("method", ["linear", "gaussian"])
def test_soft_suppression_equals_loops(boxes_per_roi, method):
    boxes, probabilities, valid, size = inputs(boxes_per_roi)
    layer = DetectionOutput(
        score_threshold=0.1, nms_iou=0.05, max_detections=80, soft_nms=method, soft_sigma=0.3
    )
    found = arrays(layer(boxes, probabilities, valid, size))
    clipped, scores = layer.candidates(boxes, probabilities, valid, size)
    assert np.all(np.isneginf(scores[1, 20:]))
    settings = {"method": method, "sigma": 0.3, "iou_threshold": 0.05}
    expected = nms.batched_soft_nms(
        clipped.numpy(), scores.numpy(), **settings, score_threshold=0.1, max_outputs=80
    )
    hard = arrays(DetectionOutput(0.1, 0.05, 80)(boxes, probabilities, valid, size))
    for image, survivors in enumerate(expected):
        own = found.valid[image]
        assert own.sum() == len(survivors) > hard.valid[image].sum()
        np.testing.assert_array_equal(found.scores[image][own], [score for _, _, score in survivors])
        np.testing.assert_array_equal(found.classes[image][own], [k + 1 for _, k, _ in survivors])
        chosen = [clipped[image, n, min(k, boxes_per_roi - 1)] for n, k, _ in survivors]
        np.testing.assert_array_equal(found.boxes[image][own], chosen)
        for padding in (found.boxes, found.scores, found.classes):
            np.testing.assert_array_equal(padding[image][~own], 0)


def test_classes_do_not_suppress_each_other():
    boxes = tf.constant([[[[0.0, 0, 10, 10]], [[0, 0, 10, 9]]]])
    probabilities = tf.constant([[[0.0, 0.6, 0.4, 0.0], [0.0, 0.5, 0.0, 0.5]]])
    found = DetectionOutput()(boxes, probabilities, tf.ones([1, 2], tf.bool), tf.constant([[20.0, 20.0]]))
    np.testing.assert_array_equal(found.classes[0, :4], [1, 3, 2, 0])
    np.testing.assert_allclose(found.scores[0, :4], [0.6, 0.5, 0.4, 0.0])


def test_the_threshold_itself_is_not_enough():
    boxes = tf.constant([[[[0.0, 0, 10, 10]], [[20, 20, 30, 30]]]])
    probabilities = tf.constant([[[0.5, 0.5], [0.4375, 0.5625]]])
    layer = DetectionOutput(score_threshold=0.5)
    found = layer(boxes, probabilities, tf.ones([1, 2], tf.bool), tf.constant([[40.0, 40.0]]))
    assert found.valid.numpy().sum() == 1
    np.testing.assert_array_equal(found.boxes[0, 0], [20, 20, 30, 30])


@pytest.mark.parametrize(
    "box",
    [
        (np.nan, 0, 5, 5),
        (0, 0, np.nan, 5),
        (5, 5, 5, 9),
        (90, 90, 95, 95),
        (-9, 0, -1, 5),
        (-np.inf, 0, 5, 5),
    ],
)
def test_unusable_boxes_are_not_detected(box):
    boxes = tf.constant([[[list(box)], [[1.0, 1, 9, 9]]]], tf.float32)
    probabilities = tf.constant([[[0.0, 1.0], [0.5, 0.5]]])
    layer = DetectionOutput()
    found = layer(boxes, probabilities, tf.ones([1, 2], tf.bool), tf.constant([[40.0, 40.0]]))
    expected = 2 if box[0] == -np.inf else 1  # an infinite corner is clipped like any other outside
    assert found.valid.numpy().sum() == expected
    assert np.all(np.isfinite(found.boxes))


def test_nan_probabilities_are_not_detected():
    boxes = tf.constant([[[[0.0, 0, 10, 10]], [[20, 20, 30, 30]]]])
    probabilities = tf.constant([[[np.nan, np.nan], [0.1, 0.9]]], tf.float32)
    found = DetectionOutput()(boxes, probabilities, tf.ones([1, 2], tf.bool), tf.constant([[40.0, 40.0]]))
    assert found.valid.numpy().sum() == 1
    np.testing.assert_allclose(found.scores[0, 0], 0.9)


def test_border_around_the_image():
    boxes = tf.constant([[[[-5.0, 3, 90, 40]], [[70, 3, 90, 9]]]])
    probabilities, valid, size = (
        tf.constant([[[0.1, 0.9], [0.3, 0.7]]]),
        tf.ones([1, 2], tf.bool),
        [[30.0, 50.0]],
    )
    found = DetectionOutput(border=1.0)(boxes, probabilities, valid, tf.constant(size))
    # What lies outside is no detection.
    np.testing.assert_array_equal(found.boxes[0][found.valid[0]], [[0, 3, 51, 31]])


def test_one_box_for_all_classes_needs_no_axis_of_its_own():
    boxes, probabilities, valid, size = inputs(1)
    layer = DetectionOutput(max_detections=9)
    expected = layer(boxes, probabilities, valid, size)
    for value, other in zip(layer(boxes[:, :, 0], probabilities, valid, size), expected, strict=True):
        np.testing.assert_array_equal(value, other)
    assert np.any(expected.valid)


@pytest.mark.parametrize(
    "shape", [(2, COUNT, 4 * NUM_CLASSES), (2, COUNT, NUM_CLASSES + 1, 4), (COUNT, 4)], ids=str
)
def test_other_boxes_are_named(shape):
    _, probabilities, valid, size = inputs(1)
    line = re.escape(f"boxes: got {shape}, expected [B, R, 4] for all classes, or [B, R, {NUM_CLASSES}, 4]")
    with pytest.raises(ValueError, match=line):
        DetectionOutput()(tf.zeros(shape), probabilities, valid, size)
