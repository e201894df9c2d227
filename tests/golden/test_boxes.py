"""Box codec, anchors and matching against detectron2."""

from __future__ import annotations

import math
import re

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
from tests.golden.recordings import case_parameters, find, load, parameters

# float32 rounding in another order of operations, on boxes of up to some 1e4 pixels.
RELATIVE = 2e-5
OFFSET = 2e-4


def _codecs():
    """(path, "w0") and so on: the proposals' weights and those of the stages."""
    for path in find("box_codec"):
        for key in load(path):
            if match := re.fullmatch(r"(w\d+)/weights", key):
                yield pytest.param((path, match[1]), id=f"{path.stem}-{match[1]}")


@pytest.fixture(params=_codecs())
def codec(request):
    path, case = request.param
    arrays = load(path)
    return BoxCoder(std=1.0 / arrays[f"{case}/weights"]), arrays, case


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


@pytest.mark.parametrize("path", parameters("box_codec"))
def test_clip_and_proper(path):
    arrays = load(path)
    (key, size), *others = _matches(arrays, r"clipped_(\d+)x(\d+)")
    assert not others
    size = tf.constant([[float(side) for side in size]])
    clipped = clip_boxes(tf.constant(arrays["w0/decoded_random"])[None], size)[0]
    np.testing.assert_array_equal(clipped, arrays[key])
    np.testing.assert_array_equal(is_proper(clipped), arrays["clipped_nonempty"])


@pytest.mark.parametrize("path", parameters("box_codec"))
def test_iou(path):
    arrays = load(path)
    expected = arrays["pairwise_iou"]
    sources, others = arrays["src_boxes"][: len(expected)], arrays["dst_boxes"][: expected.shape[1]]
    overlaps = pairwise_iou(tf.constant(sources), tf.constant(others))
    np.testing.assert_allclose(overlaps, expected, atol=1e-6)


def _matches(arrays, pattern):
    """(key, groups) of each key that is as the pattern."""
    found = ((key, re.fullmatch(pattern, key)) for key in arrays)
    return [(key, match.groups()) for key, match in found if match]


@pytest.mark.parametrize(("path", "settings"), case_parameters("anchors"))
def test_anchors(path, settings):
    arrays = load(path)
    name, strides = settings["name"], settings["strides"]
    (ratios,) = {tuple(level) for level in settings["aspect_ratios_h_over_w"]}
    levels = [round(math.log2(stride)) for stride in strides]
    grid = AnchorGrid(settings["sizes"], ratios, strides, settings["offset"])
    for level, cell in zip(levels, grid.cells, strict=True):
        np.testing.assert_allclose(cell, arrays[f"{name}/cell_p{level}"], rtol=1e-6)
    sizes = {size for _, (size,) in _matches(arrays, rf"{re.escape(name)}/(\d+x\d+)/p\d+_shape")}
    compared = 0
    for size in sizes:
        shapes = [arrays[f"{name}/{size}/p{level}_shape"] for level in levels]
        anchors = grid([(int(shape[0]), int(shape[1])) for shape in shapes])
        for level, boxes in zip(levels, anchors, strict=True):
            # All of them, or every so many.
            pattern = rf"{re.escape(name)}/{size}/p{level}(?:_every(\d+))?"
            for key, (step,) in _matches(arrays, pattern):
                np.testing.assert_allclose(boxes[:: int(step or 1)], arrays[key], rtol=1e-6, atol=1e-4)
                compared += 1
    assert compared


def _match(monkeypatch, matrix, settings):
    """The package's matching on a given matrix of overlaps [objects, boxes], by detectron2's rules."""
    overlaps = tf.constant(matrix.T[None])
    monkeypatch.setattr(matching, "_object_overlaps", lambda *boxes: overlaps)
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


@pytest.mark.parametrize(("path", "case"), case_parameters("matcher"))
def test_matcher(monkeypatch, path, case):
    arrays = load(path)
    matrix = arrays[f"{case['matrix']}/matrix"]
    labels, index, iou = _match(monkeypatch, matrix, case)
    np.testing.assert_array_equal(labels, arrays[f"{case['matrix']}/case{case['case']}/labels"])
    np.testing.assert_array_equal(index, arrays[f"{case['matrix']}/case{case['case']}/matches"])
    np.testing.assert_array_equal(iou, matrix.max(axis=0) if len(matrix) else np.zeros(matrix.shape[1]))
