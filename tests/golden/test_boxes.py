"""Box codec, anchors and matching against detectron2."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.boxes import (
    AnchorGrid,
    BoxCoder,
    clip_boxes,
    is_proper,
    match_anchors,
    match_boxes,
    matching,
    pairwise_iou,
)
from cascade_tf.structures import Targets
from tests.golden.detectron2 import from_json, load

# float32 rounding in another order of operations, on boxes of up to some 1e4 pixels.
RELATIVE = 2e-5
OFFSET = 2e-4


@pytest.fixture(params=range(4), ids=["rpn", "stage1", "stage2", "stage3"])
def codec(request):
    arrays = load("box_codec")
    weights = arrays[f"w{request.param}/weights"]
    return BoxCoder(std=1.0 / weights), arrays, f"w{request.param}"


def test_encode(codec):
    coder, arrays, case = codec
    deltas = coder.encode(arrays["dst_boxes"], arrays["src_boxes"])
    np.testing.assert_allclose(deltas, arrays[f"{case}/deltas"], rtol=RELATIVE, atol=OFFSET)


@pytest.mark.parametrize(
    ("deltas", "decoded"),
    [
        ("deltas", "decoded_roundtrip"),
        ("random_deltas", "decoded_random"),
        ("class_specific_deltas", "decoded_class_specific"),
    ],
)
def test_decode(codec, deltas, decoded):
    coder, arrays, case = codec
    boxes = coder.decode(tf.constant(arrays[f"{case}/{deltas}"]), tf.constant(arrays["src_boxes"]))
    expected = arrays[f"{case}/{decoded}"]
    np.testing.assert_allclose(boxes, expected, rtol=RELATIVE, atol=RELATIVE * np.abs(expected).max())


def test_clip_and_proper():
    arrays = load("box_codec")
    clipped = clip_boxes(tf.constant(arrays["w0/decoded_random"])[None], tf.constant([[600.0, 800.0]]))[0]
    np.testing.assert_array_equal(clipped, arrays["clipped_600x800"])
    np.testing.assert_array_equal(is_proper(clipped), arrays["clipped_nonempty"])


def test_iou():
    arrays = load("box_codec")
    overlaps = pairwise_iou(tf.constant(arrays["src_boxes"][:40]), tf.constant(arrays["dst_boxes"][:60]))
    np.testing.assert_allclose(overlaps, arrays["pairwise_iou"], atol=1e-6)


@pytest.mark.parametrize("case", range(3), ids=["fpn", "fpn_half", "multi"])
def test_anchors(case):
    arrays = load("anchors")
    settings = from_json(arrays["cases_json"])[case]
    name, strides = settings["name"], settings["strides"]
    ratios = settings["aspect_ratios_h_over_w"][0]
    grid = AnchorGrid(settings["sizes"], ratios, strides, settings["offset"])
    for level, cell in enumerate(grid.cells, start=2):
        np.testing.assert_allclose(cell, arrays[f"{name}/cell_p{level}"], rtol=1e-6)
    for size in ("224x160", "128x192", "800x1344"):
        shapes = [arrays[f"{name}/{size}/p{level}_shape"] for level in range(2, 7)]
        anchors = grid([(int(shape[0]), int(shape[1])) for shape in shapes])
        for level, boxes in enumerate(anchors, start=2):
            expected = arrays.get(f"{name}/{size}/p{level}")
            if expected is None:
                expected = arrays.get(f"{name}/{size}/p{level}_every997")
                boxes = boxes[::997]
            if expected is not None:
                np.testing.assert_allclose(boxes, expected, rtol=1e-6, atol=1e-4)


def _match(monkeypatch, matrix, settings):
    """The package's matching on a given matrix of overlaps [objects, boxes], by detectron2's rules."""
    overlaps = tf.constant(matrix.T[None])
    monkeypatch.setattr(matching, "_object_overlaps", lambda boxes, targets: overlaps)
    num_objects, num_boxes = matrix.shape
    valid, crowd = tf.ones([1, num_objects], tf.bool), tf.zeros([1, num_objects], tf.bool)
    classes, seed = tf.zeros([1, num_objects], tf.int32), tf.zeros([1, 2], tf.int32)
    targets = Targets(tf.zeros([1, num_objects, 4]), classes, valid, crowd, seed)
    thresholds = settings["thresholds"]
    if len(thresholds) == 1 and not settings["allow_low_quality"]:
        match = match_boxes(tf.zeros([1, num_boxes, 4]), targets, iou=thresholds[0])
    else:
        match = match_anchors(
            tf.zeros([num_boxes, 4]),
            targets,
            foreground_iou=thresholds[-1],
            background_iou=thresholds[0],
            allow_low_quality=settings["allow_low_quality"],
            claim_untouched=True,
        )
    return match.labels[0].numpy(), match.index[0].numpy(), match.iou[0].numpy()


def _matcher_cases():
    cases = from_json(load("matcher")["cases_json"])
    return [pytest.param(case, id=f"{case['matrix']}-{case['case']}") for case in cases]


@pytest.mark.parametrize("case", _matcher_cases())
def test_matcher(monkeypatch, case):
    arrays = load("matcher")
    matrix = arrays[f"{case['matrix']}/matrix"]
    labels, index, iou = _match(monkeypatch, matrix, case)
    np.testing.assert_array_equal(labels, arrays[f"{case['matrix']}/case{case['case']}/labels"])
    np.testing.assert_array_equal(index, arrays[f"{case['matrix']}/case{case['case']}/matches"])
    np.testing.assert_array_equal(iou, matrix.max(axis=0) if len(matrix) else np.zeros(matrix.shape[1]))
