"""The kernels for GPUs, run on the host, give what the CPU's ops give, at sizes beyond slow references."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.ops import batched_nms, batched_soft_nms, roi_align
from scripts.benchmarks import kernel_calls, launchers

STRIDES = (4, 8, 16)


@pytest.fixture(scope="module")
def on_host():
    """`Launchers` of the library for the host."""
    return launchers.Launchers(launchers.compile_launchers(host=True), launchers.HostMemory())


def random_boxes(rng, *shape, size=240):
    corner = rng.uniform(-10, size, (*shape, 2))
    return np.concatenate([corner, corner + np.exp(rng.uniform(1, 5, (*shape, 2)))], -1).astype(np.float32)


def test_roi_align_and_its_gradient(on_host, rng):
    features = [rng.standard_normal((2, 256 // s, 320 // s, 64)).astype(np.float32) for s in STRIDES]
    boxes, levels = random_boxes(rng, 2, 60), rng.integers(0, 3, (2, 60), dtype=np.int32)
    settings = {"strides": STRIDES, "output_size": (7, 7), "sampling_ratio": 2, "aligned": True}
    maps = [tf.constant(one) for one in features]
    upstream = rng.standard_normal((2, 60, 7, 7, 64)).astype(np.float32)
    with tf.GradientTape() as tape:
        tape.watch(maps)
        pooled = roi_align(maps, boxes, levels=levels, implementation="custom", **settings)
    expected = tape.gradient(pooled, maps, upstream)
    call = kernel_calls.RoiAlign(on_host, [one.shape for one in features], boxes, levels, **settings)
    call.pool(features)
    np.testing.assert_allclose(call.fetch(call.output), pooled, rtol=1e-5, atol=1e-5)
    call.spread(upstream)
    for gradient, one in zip(call.gradients, expected, strict=True):
        np.testing.assert_allclose(call.fetch(gradient), one, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("method", [None, "linear", "gaussian"])
def test_suppression_keeps_the_same_boxes(on_host, rng, method):
    boxes, scores = random_boxes(rng, 2, 1200, 1), rng.uniform(0, 1, (2, 1200, 5)).astype(np.float32)
    settings = {"iou_threshold": 0.5, "score_threshold": 0.05, "max_outputs": 400}
    if method is None:
        expected = batched_nms(boxes, scores, implementation="custom", **settings)
    else:
        expected = batched_soft_nms(boxes, scores, method=method, implementation="custom", **settings)
    call = kernel_calls.Suppression(on_host, boxes, scores, method=method, **settings)
    call.launch()
    box_index, class_index, selected, count = call.results()
    np.testing.assert_array_equal(box_index, expected.box_index)
    np.testing.assert_array_equal(class_index, expected.class_index)
    np.testing.assert_array_equal(count, expected.count)
    np.testing.assert_allclose(selected, expected.scores, rtol=1e-6)
