"""Final detections, against the authors' Caffe layer FrcnnOutput."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.boxes import clip_boxes, is_proper
from cascade_tf.layers import DetectionOutput
from tests.golden.caffe_boxes import PIXELS, coder_of, continuous, find, offsets, rows
from tests.golden.caffe_layers import recorded
from tests.golden.caffe_phases import recorded_phases

# Other suppressions than by intersection over union, which none of the authors' nets uses.
OTHER_OVERLAPS = ("IOMU", "IOFU")

# Probabilities are inputs on both sides.
SCORE = 1e-6


def check_detections(settings, expected, probabilities, deltas, rois, image_size):
    """Compares the detections of an image with a layer's rows (image, box, label, score).

    Args:
        settings: of the layer.
        expected: [D + 1, 7], the first row of which is none.
        probabilities: [R, K + 1].
        deltas: [R, 8] or [R, 4 (K + 1)] encoded offsets.
        rois: [R, 5 or more] (image, box).
        image_size: [1, 2] (height, width).
    """
    if settings.get("cls_aware") == "false":
        deltas = deltas[:, :8]
    decoded = coder_of(settings).decode(tf.constant(offsets(deltas)), continuous(rois[:, 1:5]))
    boxes = tf.reshape(decoded, [1, len(rois), -1, 4])
    expected = expected[1:]
    clipped = clip_boxes(boxes, image_size, border=1.0)[0].numpy()
    probabilities = _prefer_recorded(probabilities, clipped, expected)
    output = DetectionOutput(
        # The authors' threshold itself passes.
        score_threshold=float(np.nextafter(np.float32(settings["conf_thr"]), np.float32(0))),
        nms_iou=float(settings["iou_thr"]),
        max_detections=probabilities[:, 1:].size,
        border=1.0,
    )
    found = output(boxes, probabilities[None], tf.ones([1, len(rois)], tf.bool), tf.constant(image_size))
    valid = found.valid[0].numpy()
    boxes, scores, classes = (value[0].numpy()[valid] for value in (found.boxes, found.scores, found.classes))
    # A box without a whole pixel in the image is inside out there, and one of the best so many all the same.
    if 0 < len(expected) == int(settings.get("max_det_num", 0)):
        best = scores >= expected[:, 6].min() - SCORE
        boxes, scores, classes = boxes[best], scores[best], classes[best]
    expected = expected[np.all(expected[:, 3:5] >= expected[:, 1:3], axis=1)]
    whole = is_proper(boxes, min_side=1.0).numpy()
    boxes, scores, classes = boxes[whole], scores[whole], classes[whole]
    assert len(expected) == len(scores)
    # One column more tells apart boxes of several classes at one place.
    wanted = np.column_stack([continuous(expected[:, 1:5]), expected[:, 5]])
    place = find(wanted, np.column_stack([boxes, classes]))
    np.testing.assert_allclose(scores[place], expected[:, 6], atol=SCORE)
    for label in set(classes):
        # The best first, as there.
        assert np.all(np.diff(scores[classes == label]) <= 0)


def _prefer_recorded(probabilities, boxes, expected):
    """Probabilities of which the recorded ones are larger by the least that float32 knows.

    Of equal scores the first goes first here; the layer sorts them as it happens.

    Args:
        probabilities: [R, K + 1].
        boxes: [R, 1 or K, 4].
        expected: [D, 7] (image, box, label, score).
    """
    distance = np.abs(boxes[:, :, None] - continuous(expected[:, 1:5])).max(axis=3)
    classes = np.arange(1, probabilities.shape[1])
    of_class = expected[:, 5] == classes[:, None]
    found = np.any((distance < PIXELS) & of_class, axis=2)
    larger = np.nextafter(probabilities[:, 1:], np.float32(2))
    return np.concatenate([probabilities[:, :1], np.where(found, larger, probabilities[:, 1:])], axis=1)


@pytest.mark.parametrize("layer", recorded("FrcnnOutput"))
def test_detections(layer):
    if layer.settings.get("nms_type") in OTHER_OVERLAPS:
        pytest.skip("another measure of overlap than this package has")
    inputs = [layer.array(f"in/{name}") for name in layer.inputs]
    check_detections(layer.settings, rows(layer.array("out/det")), *inputs)


@pytest.mark.parametrize("net", recorded_phases("test", kind="FrcnnOutput"))
def test_detections_of_nets(net):
    for layer in net.of_kind("FrcnnOutput"):
        inputs = [rows(net.blob(name)) for name in layer.bottoms]
        check_detections(layer.settings, rows(net.blob(layer.tops[0])), *inputs)
