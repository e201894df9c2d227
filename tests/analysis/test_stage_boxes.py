"""Hypotheses from stage to stage, against slow loops in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.analysis.stage_boxes import FOREGROUND_IOU, boxes_at_test, training_overlaps
from cascade_tf.boxes import is_proper
from cascade_tf.heads import ProposalsOnly
from cascade_tf.losses import OWN_BOX_IOU
from cascade_tf.metrics.overlaps import pairwise_iou
from tests.analysis.test_delta_statistics import batch, detector_of
from tests.boxes.examples import targets
from tests.heads.examples import IMAGE_SIZE, OBJECTS, build_heads, ground_truth, proposals, pyramid


def overlaps_of(boxes, objects):
    """[n, G] of one image, [n, 0] without objects."""
    known = np.array([box for box, _ in objects], np.float32).reshape(-1, 4)
    return pairwise_iou(np.asarray(boxes, np.float64), known.astype(np.float64))


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
                label = some[own][1] if iou >= FOREGROUND_IOU else 0
                values = (iou, after[row, own], -log_probabilities[row, label])
                rows[number].append((*values, first[row, start], after[row, start]))
    return [np.array(row).T for row in rows]


@pytest.mark.parametrize("iterations", [1, 2])
def test_boxes_at_test_equal_loops(iterations):
    heads = build_heads(iterations=iterations)
    given, truth = proposals(), ground_truth()
    found = boxes_at_test(detector_of(heads, given), [(batch(), truth)])
    wanted = expected_at_test(heads, given, OBJECTS)
    assert len(found) == len(wanted) == heads.num_stages
    for stage, rows in zip(found, wanted, strict=True):
        assert len(stage.before) > 5
        assert stage.before.max() >= FOREGROUND_IOU
        for value, row in zip(stage, rows, strict=True):
            np.testing.assert_allclose(value, row, rtol=1e-4, atol=1e-5)


def test_images_without_objects_have_hypotheses_of_nothing():
    heads = build_heads()
    (stage, *_) = boxes_at_test(detector_of(heads, proposals()), [(batch(), targets([[], []]))])
    assert len(stage.before) > 0
    assert not stage.before.any()
    assert not stage.after.any()


def test_training_overlaps_are_those_before_boxes_are_drawn():
    heads = build_heads()
    given, truth = proposals(), ground_truth()
    found = training_overlaps(detector_of(heads, given), [(batch(), truth)] * 2)
    wanted = []
    for image, some in enumerate(OBJECTS):
        for box, overlaps in zip(given.boxes[image], overlaps_of(given.boxes[image], some), strict=True):
            best = int(np.argmax(overlaps)) if some else 0
            iou = overlaps[best] if some else 0.0
            if is_proper(box) and (iou == 0 or some[best][1] > 0):
                wanted.append(iou)
    np.testing.assert_allclose(found[0], wanted * 2, atol=1e-6)
    outputs = heads(pyramid(), given, IMAGE_SIZE, truth, training=True)
    for overlaps, output in zip(found[1:], outputs[1:], strict=True):
        chosen = output.samples.valid.numpy() & (output.samples.gt_iou.numpy() <= OWN_BOX_IOU)
        np.testing.assert_allclose(overlaps, np.tile(output.samples.gt_iou.numpy()[chosen], 2), atol=1e-6)


def test_a_detector_without_stages_is_refused():
    heads = ProposalsOnly(1)
    for function in (boxes_at_test, training_overlaps):
        with pytest.raises(ValueError, match="got a detector without stages"):
            function(detector_of(heads, proposals()), [])
