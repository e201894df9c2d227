"""Hypotheses from stage to stage, against slow loops in NumPy."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.analysis.stage_boxes import boxes_at_test, training_overlaps
from cascade_tf.boxes import is_proper, unlabelled_samples
from cascade_tf.heads import ProposalsOnly
from cascade_tf.metrics.binned import binned_means
from cascade_tf.metrics.overlaps import pairwise_iou
from cascade_tf.structures import Proposals, StageOutput
from tests.analysis.test_delta_statistics import batch, detector_of
from tests.boxes.examples import targets
from tests.heads.examples import IMAGE_SIZE, OBJECTS, build_heads, ground_truth, proposals, pyramid


def overlaps_of(boxes, objects):
    """[n, G] of one image, [n, 0] without objects."""
    known = np.array([box for box, _ in objects], np.float32).reshape(-1, 4)
    return pairwise_iou(np.asarray(boxes, np.float64), known.astype(np.float64))


def stubs_of(stages, ious):
    """Heads with given boxes [n, 4] and logits [n, K + 1] of each stage, in one image."""
    outputs = []
    for boxes, logits in stages:
        boxes = tf.constant(boxes, tf.float32)[None]
        given = Proposals(boxes, tf.zeros(boxes.shape[:2]), tf.ones(boxes.shape[:2], tf.bool))
        logits = tf.constant(logits, tf.float32)[None]
        outputs.append(StageOutput(unlabelled_samples(given), {}, boxes, logits, boxes, boxes))

    def heads(*arguments, **settings):
        return tuple(outputs)

    heads.stages = [SimpleNamespace(iou=iou) for iou in ious]
    first = outputs[0].samples
    return detector_of(heads, Proposals(first.boxes, first.scores, first.valid))


def expected_at_test(heads, given, objects):
    outputs = heads(pyramid(), given, IMAGE_SIZE)
    rows = [[] for _ in outputs]
    for image, some in enumerate(objects):
        if not some:
            some = [((0, 0, 0, 0), 1)]
        first = overlaps_of(given.boxes[image], some)
        for number, output in enumerate(outputs):
            before = overlaps_of(output.samples.boxes[image], some)
            after = overlaps_of(output.boxes[image], some)
            log_probabilities = tf.nn.log_softmax(output.logits[image]).numpy()
            for row in range(len(before)):
                boxes = output.samples.boxes[image, row], given.boxes[image, row]
                if not output.samples.valid[image, row] or not all(is_proper(box) for box in boxes):
                    continue
                own, start = int(np.argmax(before[row])), int(np.argmax(first[row]))
                iou = before[row, own]
                if (iou > 0 and some[own][1] <= 0) or (first[row, start] > 0 and some[start][1] <= 0):
                    continue
                u = heads.stages[min(number, len(heads.stages) - 1)].iou
                label = some[own][1] if iou >= u else 0
                values = (iou, after[row, own], -log_probabilities[row, label])
                rows[number].append((*values, first[row, start], after[row, start]))
    return [np.array(row).T for row in rows]


@pytest.mark.parametrize("iterations", [1, 2])
def test_boxes_at_test_equal_loops(iterations):
    heads = build_heads(ious=(0.3, 0.5, 0.6), iterations=iterations)
    given, truth = proposals(), ground_truth()
    found = boxes_at_test(detector_of(heads, given), [(batch(), truth)])
    wanted = expected_at_test(heads, given, OBJECTS)
    assert len(found) == len(wanted) == heads.num_stages
    for stage, rows in zip(found, wanted, strict=True):
        assert len(stage.before) > 5
        for u in (0.3, 0.5, 0.6):
            assert stage.before.min() < u <= stage.before.max()
        for value, row in zip(stage, rows, strict=True):
            np.testing.assert_allclose(value, row, rtol=1e-4, atol=1e-5)


def test_images_without_objects_have_hypotheses_of_nothing():
    heads = build_heads()
    (stage, *_) = boxes_at_test(detector_of(heads, proposals()), [(batch(), targets([[], []]))])
    assert len(stage.before) > 0
    assert not stage.before.any()
    assert not stage.after.any()


@pytest.mark.parametrize("u", [0.5, 0.7])
def test_the_loss_of_a_classifier_that_knows_its_boxes_peaks_at_its_own_u(u):
    """Its probability of the object rises where the labels change; any other label would cost more there."""
    ious = np.linspace(0.2, 0.99, 80)
    boxes = [(0.0, 0.0, 10.0, 10.0 * iou) for iou in ious]
    logits = np.stack([np.zeros_like(ious), 30.0 * (ious - u)], axis=1)
    detector = stubs_of([(boxes, logits)] * 2, ious=[u])
    for stage in boxes_at_test(detector, [(batch(), targets([[((0, 0, 10, 10), 1)]]))]):
        np.testing.assert_allclose(stage.before, ious, atol=1e-6)
        curve = binned_means(stage.before, stage.loss, np.linspace(0.2, 1.0, 17))
        assert abs(curve.centers[np.argmax(curve.means)] - u) < 0.05
        assert stage.loss.max() < 0.7


def test_training_overlaps_are_those_before_boxes_are_drawn():
    heads = build_heads()
    given, truth = proposals(), ground_truth()
    found = training_overlaps(detector_of(heads, given), [(batch(), truth)] * 2)
    outputs = heads(pyramid(), given, IMAGE_SIZE, truth, training=True)
    for overlaps, one in zip(found, [given, *(output.samples for output in outputs[1:])], strict=True):
        wanted = []
        for image, some in enumerate(OBJECTS):
            known = [np.array(box, np.float32) for box, _ in some]
            for box, valid in zip(one.boxes[image].numpy(), one.valid[image].numpy(), strict=True):
                if not valid or not is_proper(box) or any((box == other).all() for other in known):
                    continue
                of_box = overlaps_of([box], some)[0]
                best = int(np.argmax(of_box)) if some else 0
                iou = of_box[best] if some else 0.0
                if iou == 0 or some[best][1] > 0:
                    wanted.append(iou)
        assert len(wanted) > 20
        np.testing.assert_allclose(overlaps, wanted * 2, atol=1e-6)


def test_in_every_stage_objects_are_left_out_and_boxes_near_them_are_not():
    one, near = (0.0, 0.0, 10.0, 10.0), (0.0, 0.0, 10.0, 9.9)
    detector = stubs_of([([near, one], np.zeros([2, 2]))] * 3, ious=(0.5, 0.6, 0.7))
    for overlaps in training_overlaps(detector, [(batch(), targets([[(one, 1)]]))]):
        assert overlaps == pytest.approx([0.99])


def test_a_detector_without_stages_is_refused():
    heads = ProposalsOnly(1)
    for function in (boxes_at_test, training_overlaps):
        with pytest.raises(ValueError, match="got a detector without stages"):
            function(detector_of(heads, proposals()), [])
