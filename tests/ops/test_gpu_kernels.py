"""The kernels for GPUs, run on the host, give what the CPU's ops give, at sizes beyond slow references."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.ops import (
    batched_nms,
    batched_soft_nms,
    crop_masks,
    paste_masks,
    ps_roi_pool,
    roi_align,
    roi_pool,
)
from scripts.benchmarks import kernel_calls, launchers

STRIDES = (4, 8, 16)


@pytest.fixture(scope="module")
def on_host():
    """`Launchers` of the library for the host."""
    return launchers.Launchers(launchers.compile_launchers(host=True), launchers.HostMemory())


def random_boxes(rng, *shape, size=240):
    corner = rng.uniform(-10, size, (*shape, 2))
    return np.concatenate([corner, corner + np.exp(rng.uniform(1, 5, (*shape, 2)))], -1).astype(np.float32)


def rounded(values, element):
    """Float32 numbers that the element type has."""
    return launchers.from_bits(launchers.to_bits(values, element), element)


def as_float32(tensors):
    return [tf.cast(one, tf.float32).numpy() for one in tensors]


# Of sums of float32 products in another order, rounded to the element type at the end.
@pytest.mark.parametrize(("element", "tolerance"), [("float32", 2e-5), ("bfloat16", 2**-7)])
def test_roi_align_and_its_gradient(on_host, rng, element, tolerance):
    shapes = [(2, 256 // s, 320 // s, 64) for s in STRIDES]
    features = [rounded(rng.standard_normal(shape), element) for shape in shapes]
    boxes, levels = random_boxes(rng, 2, 60), rng.integers(0, 3, (2, 60), dtype=np.int32)
    settings = {"strides": STRIDES, "output_size": (7, 7), "sampling_ratio": 2, "aligned": True}
    maps = [tf.cast(one, element) for one in features]
    upstream = rounded(rng.standard_normal((2, 60, 7, 7, 64)), element)
    with tf.GradientTape() as tape:
        tape.watch(maps)
        pooled = roi_align(maps, boxes, levels=levels, implementation="custom", **settings)
    expected = tape.gradient(pooled, maps, tf.cast(upstream, element))
    call = kernel_calls.RoiAlign(on_host, shapes, boxes, levels, element=element, **settings)
    call.pool([call.send(one) for one in features])
    close = {"rtol": tolerance, "atol": 2e-5}
    np.testing.assert_allclose(call.fetch(call.output), *as_float32([pooled]), **close)
    call.spread(call.send(upstream))
    for gradient, one in zip(call.gradients, as_float32(expected), strict=True):
        np.testing.assert_allclose(call.fetch(gradient), one, **close)


@pytest.mark.parametrize(
    ("name", "op", "channels", "settings"),
    [
        ("roi_pool", roi_pool, 64, {"pad_ratio": 0.1}),
        ("ps_roi_pool", ps_roi_pool, 5 * 49, {"inclusive_boxes": True}),
    ],
)
def test_poolings_of_one_map_and_their_gradients(on_host, rng, name, op, channels, settings):
    features, boxes = rng.standard_normal((2, 64, 80, channels)).astype(np.float32), random_boxes(rng, 2, 60)
    settings = {"stride": 4.0, "output_size": (7, 7), **settings}
    maps = tf.constant(features)
    with tf.GradientTape() as tape:
        tape.watch(maps)
        pooled = op(maps, boxes, implementation="custom", **settings)
    upstream = rng.standard_normal(pooled.shape).astype(np.float32)
    expected = tape.gradient(pooled, maps, upstream)
    call = kernel_calls.MapPooling(on_host, name, features, boxes, **settings)
    np.testing.assert_allclose(call.pooled(pooled.shape[-1]), pooled, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(call.gradient(upstream), expected, rtol=1e-5, atol=2e-5)


def test_mask_targets(on_host, rng):
    masks = np.packbits(rng.uniform(size=(2, 9, 200, 261)) < 0.5, axis=-1)
    image_size = np.array([[200, 261], [150, 200]], np.int32)
    boxes, valid = random_boxes(rng, 2, 80, size=150), rng.uniform(size=(2, 80)) < 0.8
    inputs = [masks, image_size, boxes, rng.integers(0, 9, (2, 80), dtype=np.int32)]
    expected = crop_masks(*inputs, valid, output_size=28, implementation="custom").numpy()
    assert 0.1 < expected.mean() < 0.9
    found = kernel_calls.crop_masks(on_host, [*inputs, valid.astype(np.uint8)], 28)
    np.testing.assert_array_equal(found, expected)


def test_pasted_masks(on_host, rng):
    masks, boxes = rng.uniform(size=(30, 28, 28)).astype(np.float32), random_boxes(rng, 30)
    expected = paste_masks(masks, boxes, (240, 317), threshold=0.5, implementation="custom").numpy()
    assert expected.any()
    np.testing.assert_array_equal(kernel_calls.paste_masks(on_host, masks, boxes, (240, 317), 0.5), expected)


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
