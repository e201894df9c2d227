"""Losses and training metrics, by hand and against slow loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.boxes import BoxCoder
from cascade_tf.losses import hardest, mask_loss, rpn_losses, smooth_l1, stage_losses, stage_metrics
from cascade_tf.structures import AnchorTargets, RPNOutput, Samples, StageOutput

TOLERANCE = 1e-5
PLAIN = BoxCoder((1.0, 1.0, 1.0, 1.0))


@pytest.mark.parametrize(
    ("beta", "expected"),
    [
        (1.0, [1.5, 0.5, 0.125, 0.0, 0.125, 2.5]),
        (0.0, [2.0, 1.0, 0.5, 0.0, 0.5, 3.0]),
        (0.5, [1.75, 0.75, 0.25, 0.0, 0.25, 2.75]),
    ],
)
def test_smooth_l1_by_hand(beta, expected):
    np.testing.assert_allclose(smooth_l1(tf.constant([-2.0, -1.0, -0.5, 0.0, 0.5, 3.0]), beta), expected)


@pytest.mark.parametrize("beta", [1.0, 1.0 / 9.0])
def test_smooth_l1_has_no_step_and_no_kink(beta):
    x = tf.constant([beta * 0.9999, beta * 1.0001])
    with tf.GradientTape() as tape:
        tape.watch(x)
        values = smooth_l1(x, beta)
    np.testing.assert_allclose(values, [beta / 2] * 2, rtol=1e-3)
    np.testing.assert_allclose(tape.gradient(values, x), [1.0, 1.0], rtol=1e-3)


def rpn(logits, deltas=None):
    logits = tf.constant(logits, tf.float32)
    deltas = tf.zeros([*logits.shape, 4]) if deltas is None else tf.constant(deltas, tf.float32)
    return RPNOutput(logits, deltas, tf.zeros([logits.shape[1], 4]))


def test_objectness_by_hand():
    output = rpn([[0.0, 2.0, -1.0, 50.0]] * 2)
    labels = AnchorTargets(tf.constant([[1, 0, 1, -1], [-1, -1, -1, -1]]), tf.zeros([2, 4, 4]))
    objectness, box = rpn_losses(output, labels, samples_per_image=4)
    expected = (math.log(2) + math.log(1 + math.exp(2)) + math.log(1 + math.exp(1))) / 8
    np.testing.assert_allclose(objectness, expected, rtol=TOLERANCE)
    assert box == 0.0


def test_rpn_box_loss_counts_foreground_alone_and_sums_coordinates():
    output = rpn([[0.0, 0.0]], [[[1.0, 0, -2, 0.5], [7, 7, 7, 7]]])
    labels = AnchorTargets(tf.constant([[1, 0]]), tf.constant([[[0.5, 0, 0, 0], [0, 0, 0, 0.0]]]))
    _, box = rpn_losses(output, labels, samples_per_image=10, beta=0.0)
    np.testing.assert_allclose(box, (0.5 + 2 + 0.5) / 10, rtol=TOLERANCE)
    _, box = rpn_losses(output, labels, samples_per_image=10, beta=1.0)
    np.testing.assert_allclose(box, (0.125 + 1.5 + 0.125) / 10, rtol=TOLERANCE)


def test_rpn_losses_as_means_over_what_was_drawn():
    output = rpn([[0.0, 2.0, -1.0, 50.0]] * 2, [[[1.0, 0, -2, 0.5]] * 4] * 2)
    labels = AnchorTargets(tf.constant([[1, 0, 1, -1], [-1, 1, -1, -1]]), tf.zeros([2, 4, 4]))
    objectness, box = rpn_losses(output, labels, samples_per_image=None, beta=1.0)
    expected = math.log(2) + math.log1p(math.exp(2)) + math.log1p(math.exp(1)) + math.log1p(math.exp(-2))
    np.testing.assert_allclose(objectness, expected / 4, rtol=TOLERANCE)
    np.testing.assert_allclose(box, (0.5 + 1.5 + 0.125) / 4, rtol=TOLERANCE)
    nothing = labels._replace(labels=tf.fill([2, 4], -1))
    assert rpn_losses(output, nothing, samples_per_image=None) == (0.0, 0.0)


@pytest.mark.parametrize("wild", [np.nan, np.inf, -np.inf])
def test_wild_offsets_of_unused_anchors_change_nothing(wild):
    deltas = tf.Variable([[[0.5, 0, 0, 0], [wild] * 4]])
    labels = AnchorTargets(tf.constant([[1, -1]]), tf.zeros([1, 2, 4]))
    with tf.GradientTape() as tape:
        losses = rpn_losses(rpn([[0.0, 0.0]])._replace(deltas=deltas + 0.0), labels, samples_per_image=1)
    assert np.all(np.isfinite(losses))
    np.testing.assert_array_equal(tape.gradient(losses[1], deltas)[0, 1], [0, 0, 0, 0])


def stage(classes, logits, deltas, boxes, gt_boxes, valid=None, regressed=None, gt_iou=None):
    """The output of a stage for one image."""
    boxes, gt_boxes = tf.constant([boxes], tf.float32), tf.constant([gt_boxes], tf.float32)
    count = boxes.shape[1]
    samples = Samples(
        boxes=boxes,
        scores=tf.zeros([1, count]),
        valid=tf.constant([valid or [True] * count]),
        classes=tf.constant([classes]),
        gt_boxes=gt_boxes,
        gt_iou=tf.constant([gt_iou or [0.0] * count]),
        gt_index=tf.zeros([1, count], tf.int32),
    )
    regressed = boxes if regressed is None else tf.constant([regressed], tf.float32)
    deltas = tf.constant([deltas], tf.float32)
    pooled = tf.zeros([1, count, 1, 1, 1])
    return StageOutput(samples, {}, pooled, tf.constant([logits], tf.float32), deltas, regressed)


BOX, SHIFTED, NOTHING = [0, 0, 10, 10], [5, 0, 15, 10], [0, 0, 0, 0]


def test_stage_losses_by_hand():
    output = stage(
        classes=[1, 0, 2],
        logits=[[0, 0, 0], [math.log(2), 0, 0], [9, 9, 9]],
        deltas=[[0, 0, 0, 0], [5, 5, 5, 5], [6, 6, 6, 6]],
        boxes=[BOX, BOX, BOX],
        gt_boxes=[SHIFTED, NOTHING, BOX],
        valid=[True, True, False],
    )
    classes, box = stage_losses(output, PLAIN, beta=0.0)
    # Two valid RoIs: probabilities 1/3 and 2/4; the only foreground misses dx = 0.5.
    np.testing.assert_allclose(classes, (math.log(3) + math.log(2)) / 2, rtol=TOLERANCE)
    np.testing.assert_allclose(box, 0.5 / 2, rtol=TOLERANCE)
    np.testing.assert_allclose(stage_losses(output, BoxCoder(), beta=1.0)[1], (5 - 0.5) / 2, rtol=TOLERANCE)


def test_class_aware_stage_regresses_the_true_class():
    deltas = [[9.0] * 4 + [0.5, 0, 0, 0], [9.0] * 8]
    output = stage([2, 0], [[0, 0, 0]] * 2, deltas, [BOX, BOX], [SHIFTED, NOTHING])
    assert stage_losses(output, PLAIN, beta=0.0)[1] == 0.0
    output = stage([1, 0], [[0, 0, 0]] * 2, deltas, [BOX, BOX], [SHIFTED, NOTHING])
    np.testing.assert_allclose(stage_losses(output, PLAIN, beta=0.0)[1], (8.5 + 3 * 9) / 2, rtol=TOLERANCE)


def test_weight_of_the_box_loss():
    output = stage([1, 0], [[0, 0]] * 2, [[0] * 4] * 2, [BOX, BOX], [SHIFTED, NOTHING])
    plain = stage_losses(output, PLAIN, beta=0.0)
    weighted = stage_losses(output, PLAIN, beta=0.0, box_weight=3.0)
    assert plain[1] > 0.0
    np.testing.assert_allclose(weighted, [plain[0], 3.0 * plain[1]], rtol=TOLERANCE)


def test_hard_examples_alone_are_learned():
    output = stage(
        classes=[1, 0, 0, 1],
        logits=[[0, 0], [9, 0], [0, 1], [0, 200]],
        deltas=[[0, 0, 0, 0], [7, 7, 7, 7], [7, 7, 7, 7], [2, 0, 0, 0]],
        boxes=[BOX] * 4,
        gt_boxes=[BOX, NOTHING, NOTHING, BOX],
    )
    with tf.GradientTape() as tape:
        tape.watch([output.logits, output.deltas])
        classes, box = stage_losses(output, PLAIN, beta=0.0, hard_examples=2)
        total = classes + box
    # The third RoI is hard for its class, the last for its box; there are two to divide by.
    np.testing.assert_allclose(classes, math.log(1 + math.e) / 2, rtol=TOLERANCE)
    np.testing.assert_allclose(box, 2 / 2, rtol=TOLERANCE)
    of_logits, of_deltas = tape.gradient(total, [output.logits, output.deltas])
    assert np.any(of_logits[0] != 0, axis=1).tolist() == [False, False, True, False]
    assert np.any(of_deltas[0] != 0, axis=1).tolist() == [False, False, False, True]
    # All that there are, where there are fewer.
    everything = stage_losses(output, PLAIN, beta=0.0)
    np.testing.assert_array_equal(stage_losses(output, PLAIN, beta=0.0, hard_examples=9), everything)


def test_choice_of_hard_examples():
    losses = tf.constant([[3.0, 1, 3, 2, 3], [5, 0, 0, 0, 9], [1, 1, 1, 1, 1]])
    valid = tf.constant([[True] * 5, [True, True, False, True, False], [False] * 5])
    chosen = hardest(losses, valid, 2).numpy()
    # The last of equals first; what is not valid never.
    np.testing.assert_array_equal(
        chosen, [[False, False, True, False, True], [True, False, False, True, False], [False] * 5]
    )


def test_stage_without_valid_rois_costs_nothing():
    output = stage([0], [[1.0, 2]], [[1, 1, 1, 1]], [NOTHING], [NOTHING], valid=[False])
    np.testing.assert_array_equal(stage_losses(output, PLAIN), [0.0, 0.0])
    np.testing.assert_array_equal(stage_losses(output, PLAIN, hard_examples=3), [0.0, 0.0])
    np.testing.assert_array_equal(stage_metrics(output), [0.0, 0.0, 0.0, 0.0])


def test_metrics_by_hand():
    output = stage(
        classes=[1, 2, 3, 0, 0],
        logits=[[0, 5, 0, 0], [0, 5, 0, 0], [0, 0, 0, 5], [5, 0, 0, 0], [0, 0, 5, 0]],
        deltas=[[0] * 4] * 5,
        boxes=[BOX] * 5,
        gt_boxes=[BOX, SHIFTED, BOX, SHIFTED, BOX],
        regressed=[[0, 0, 10, 5], SHIFTED, BOX, BOX, BOX],
        valid=[True, True, True, True, False],
        gt_iou=[0.9, 1.0 / 3.0, 1.0, 0.2, 0.1],
    )
    found = stage_metrics(output)
    assert found.positives == 3.0
    # The third is an object's own box: there is nothing to regress.
    np.testing.assert_allclose(found.iou_before, (0.9 + 1 / 3) / 2, rtol=TOLERANCE)
    np.testing.assert_allclose(found.iou_after, (0.5 + 1) / 2, rtol=TOLERANCE)
    np.testing.assert_allclose(found.accuracy, 3 / 4, rtol=TOLERANCE)


@pytest.mark.parametrize("wild", [np.nan, np.inf])
def test_wild_boxes_overlap_nothing_in_the_metrics(wild):
    away = [wild, 0, wild, 10]
    output = stage(
        [1, 0, 1], [[0, 5]] * 3, [[0] * 4] * 3, [BOX] * 3, [BOX, NOTHING, BOX], regressed=[BOX, away, away]
    )
    assert stage_metrics(output).iou_after == 0.5


def mask_inputs():
    """Logits, targets and validity of two images with two RoIs of 2 x 2 cells; the second image has one."""
    logits = np.float32([[[[0, 2], [-1, 3]], [[1, 1], [-2, 0]]], [[[0, 0], [4, -4]], [[5, -5], [5, -5]]]])
    wanted = np.float32([[[[1, 1], [0, 0]], [[0, 1], [1, 0]]], [[[0, 1], [1, 1]], [[0, 1], [0, 1]]]])
    return logits, wanted, np.array([[True, True], [True, False]])


def test_mask_loss_by_hand():
    logits, wanted, valid = mask_inputs()
    cells = [
        math.log1p(math.exp(-x if y else x))
        for x, y in zip(logits[valid].ravel().tolist(), wanted[valid].ravel().tolist(), strict=True)
    ]
    # Three RoIs of four cells; the fourth is padding and does not dilute the mean.
    assert len(cells) == 12
    np.testing.assert_allclose(mask_loss(logits, wanted, valid), sum(cells) / 12, rtol=TOLERANCE)


@pytest.mark.parametrize("wild", [0.0, 1e30, np.inf, np.nan])
def test_padded_slots_of_the_mask_loss_change_nothing(wild):
    logits, wanted, valid = mask_inputs()
    expected = mask_loss(logits, wanted, valid)
    logits[~valid] = wild
    padded = [np.pad(x, [(0, 0), (0, 3), (0, 0), (0, 0)], constant_values=wild) for x in (logits, wanted)]
    slots = tf.constant(padded[0])
    with tf.GradientTape() as tape:
        tape.watch(slots)
        loss = mask_loss(slots, padded[1], np.pad(valid, [(0, 0), (0, 3)]))
    np.testing.assert_allclose(loss, expected, rtol=TOLERANCE)
    gradient = tape.gradient(loss, slots).numpy()
    # Each valid cell: (sigmoid - wanted) / 12.
    used = (1 / (1 + np.exp(-logits[valid])) - wanted[valid]) / 12
    np.testing.assert_allclose(gradient[:, :2][valid], used, atol=TOLERANCE)
    if np.isfinite(wild):
        assert not gradient[:, 2:].any()
        assert not gradient[:, :2][~valid].any()


def test_mask_loss_without_valid_rois_is_zero():
    logits, wanted, valid = mask_inputs()
    assert mask_loss(logits, wanted, np.zeros_like(valid)) == 0
    empty = np.zeros((2, 0, 2, 2), np.float32)
    assert mask_loss(empty, empty, np.zeros((2, 0), bool)) == 0
