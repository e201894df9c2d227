"""RoIAlign: C++ op = TensorFlow twin = NumPy reference = arrays recorded from detectron2."""

from __future__ import annotations

import re

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.ops import assign_levels, roi_align
from tests.golden import recordings
from tests.ops.roi_align_cases import (
    IMPLEMENTATIONS,
    STRIDES,
    TOLERANCE,
    pool_with_gradient,
    pyramid,
    random_boxes,
)
from tests.reference import roi_align as reference


def channels_last(array):
    return np.moveaxis(array, -3, -1)


def _pooler_cases():
    """(path, sampling ratio) of what recordings of the pooler hold."""
    paths = recordings.find("roi_pooler")
    keys = [(path, re.fullmatch(r"sr(\d+)/output", key)) for path in paths for key in recordings.load(path)]
    return [pytest.param(path, int(key[1]), id=f"{path.stem}-{key[1]}") for path, key in keys if key]


def _pooler_levels(golden):
    """Ascending numbers of the levels; the stride of one is two to the power of it."""
    return sorted(int(key[1:]) for key in golden if re.fullmatch(r"p\d+", key))


def _pooler_boxes(golden):
    """[B, R, 4]"""
    return np.stack([golden[f"boxes{i}"] for i in range(len(golden[f"p{_pooler_levels(golden)[0]}"]))])


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize(("path", "case"), recordings.case_parameters("roi_align"))
def test_equals_detectron2(path, case, implementation):
    golden = recordings.load(path)
    rois, (batch, channels) = golden[case["rois"]], golden["features"].shape[:2]
    image, row = rois[:, 0].astype(int), np.arange(len(rois))
    boxes = np.stack([rois[:, 1:]] * batch)
    upstream = np.zeros((batch, len(rois), *case["output_size"], channels), np.float32)
    upstream[image, row] = channels_last(golden[case["upstream"]])
    pooled, (gradient,) = pool_with_gradient(
        [channels_last(golden["features"])],
        boxes,
        upstream,
        levels=np.zeros((batch, len(rois)), np.int32),
        strides=[1 / case["spatial_scale"]],
        output_size=tuple(case["output_size"]),
        sampling_ratio=case["sampling_ratio"],
        aligned=case["aligned"],
        implementation=implementation,
    )
    expected = channels_last(golden[case["key"] + "/output"])
    np.testing.assert_allclose(pooled.numpy()[image, row], expected, atol=TOLERANCE)
    expected = channels_last(golden[case["key"] + "/grad_features"])
    np.testing.assert_allclose(gradient, expected, atol=TOLERANCE)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize(("path", "sampling_ratio"), _pooler_cases())
def test_pyramid_equals_detectron2(path, sampling_ratio, implementation):
    golden = recordings.load(path)
    levels = _pooler_levels(golden)
    features = [channels_last(golden[f"p{level}"]) for level in levels]
    boxes = _pooler_boxes(golden)
    upstream = channels_last(golden[f"sr{sampling_ratio}/upstream"])
    size = upstream.shape[1:3]
    upstream = upstream.reshape(*boxes.shape[:2], *upstream.shape[1:])
    pooled, gradients = pool_with_gradient(
        features,
        boxes,
        upstream,
        strides=[2**level for level in levels],
        output_size=size,
        sampling_ratio=sampling_ratio,
        implementation=implementation,
    )
    expected = channels_last(golden[f"sr{sampling_ratio}/output"]).reshape(pooled.shape)
    np.testing.assert_allclose(pooled, expected, atol=TOLERANCE)
    for level in levels[1:]:
        expected = channels_last(golden[f"sr{sampling_ratio}/grad_p{level}"])
        np.testing.assert_allclose(gradients[level - levels[0]], expected, atol=TOLERANCE)
    norms = np.sqrt(np.sum(np.square(gradients[0].numpy().astype(np.float64)), axis=(1, 2)))
    recorded = golden[f"sr{sampling_ratio}/grad_p{levels[0]}_l2_per_image_channel"]
    np.testing.assert_allclose(norms, recorded, rtol=1e-4)


@pytest.mark.parametrize("path", recordings.parameters("roi_pooler"))
def test_levels_equal_detectron2(path):
    golden = recordings.load(path)
    boxes, levels = np.concatenate(_pooler_boxes(golden)), _pooler_levels(golden)
    found = assign_levels(boxes, len(levels), min_level=levels[0])
    np.testing.assert_array_equal(found, golden["levels"] - levels[0])


def test_levels_of_odd_boxes():
    nan, inf = np.nan, np.inf
    boxes = [[5, 5, 5, 5], [9, 9, 1, 1], [nan, 0, 9, 9], [0, 0, inf, inf], [0, 0, 1e9, 1e9], [0, 0, 224, 224]]
    np.testing.assert_array_equal(assign_levels(np.float32([boxes]), 4), [[0, 0, 0, 3, 3, 2]])
    assert assign_levels(np.zeros((2, 3, 4), np.float32), 1).numpy().tolist() == [[0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize(
    ("output_size", "sampling_ratio"), [((7, 7), 2), ((1, 1), 1), ((3, 5), 3), ((4, 4), 0)]
)
def test_equals_reference(rng, output_size, sampling_ratio, aligned, implementation):
    features, boxes = pyramid(rng), random_boxes(rng, 2, 12)
    levels = rng.integers(0, 3, (2, 12)).astype(np.int32)
    upstream = rng.standard_normal((2, 12, *output_size, 3)).astype(np.float32)
    settings = {
        "strides": STRIDES,
        "output_size": output_size,
        "sampling_ratio": sampling_ratio,
        "aligned": aligned,
    }
    pooled, gradients = pool_with_gradient(
        features, boxes, upstream, levels=levels, implementation=implementation, **settings
    )
    expected = reference.roi_align(features, boxes, levels, **settings)
    np.testing.assert_allclose(pooled, expected, atol=TOLERANCE)
    expected = reference.roi_align_gradient(upstream, features, boxes, levels, **settings)
    for gradient, expected_gradient in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(gradient, expected_gradient, atol=TOLERANCE)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("sampling_ratio", [0, 2])
def test_maps_end_where_those_of_their_image_end(rng, sampling_ratio, implementation):
    """Boxes reach far over the ends; what lies beyond is as if it were not there."""
    features, boxes = pyramid(rng), random_boxes(rng, 2, 20)
    levels = rng.integers(0, 3, (2, 20)).astype(np.int32)
    upstream = rng.standard_normal((2, 20, 2, 3, 3)).astype(np.float32)
    # Pixels (64, 48) and (32, 96) of (64, 96).
    sizes = np.int32([[[16, 12], [8, 6], [4, 3]], [[8, 24], [4, 12], [2, 6]]])
    settings = {"strides": STRIDES, "output_size": (2, 3), "sampling_ratio": sampling_ratio}

    @tf.function(
        input_signature=[[tf.TensorSpec([None, None, None, 3])] * 3, tf.TensorSpec([None, None, 2], tf.int32)]
    )
    def pool(maps, sizes):
        with tf.GradientTape() as tape:
            tape.watch(maps)
            pooled = roi_align(
                maps, boxes, levels=levels, map_sizes=sizes, implementation=implementation, **settings
            )
            total = tf.reduce_sum(pooled * upstream)
        return pooled, tape.gradient(total, maps)

    pooled, gradients = pool([tf.constant(one) for one in features], tf.constant(sizes))
    for image in range(2):
        own = [one[image : image + 1, :h, :w] for one, (h, w) in zip(features, sizes[image], strict=True)]
        rois = (boxes[image : image + 1], levels[image : image + 1])
        expected = reference.roi_align(own, *rois, **settings)
        np.testing.assert_allclose(pooled[image], expected[0], atol=TOLERANCE)
        expected = reference.roi_align_gradient(upstream[image : image + 1], own, *rois, **settings)
        for gradient, expected_gradient, (h, w) in zip(gradients, expected, sizes[image], strict=True):
            padded = np.zeros(gradient.shape[1:])
            padded[:h, :w] = expected_gradient[0]
            np.testing.assert_allclose(gradient[image], padded, atol=TOLERANCE)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("sampling_ratio", [0, 2])
def test_pools_the_value_at_the_centre_of_a_bin(sampling_ratio, implementation):
    # A map that holds x at pixel centre x: each bin's mean is the x of its centre.
    feature = np.tile(np.arange(20, dtype=np.float32)[None, None, :, None] + 0.5, (1, 20, 1, 1))
    boxes = np.float32([[[2, 3, 10, 12]]])
    pooled = roi_align(
        [feature],
        boxes,
        strides=[1],
        output_size=(1, 2),
        sampling_ratio=sampling_ratio,
        implementation=implementation,
    )
    np.testing.assert_allclose(np.ravel(pooled), [4, 8], atol=1e-5)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("sampling_ratio", [0, 2])
def test_numerical_gradient(rng, sampling_ratio, implementation):
    features = pyramid(rng, batch=1, size=(16, 16), channels=1, strides=(4, 8))
    boxes = np.float32([[[1, 2, 13, 11], [-3, 4, 9, 20], [3, 3, 3, 3]]])
    settings = {"strides": (4, 8), "output_size": 2, "sampling_ratio": sampling_ratio}
    levels = np.int32([[0, 1, 0]])

    @tf.function
    def pool(*maps):
        return roi_align(maps, boxes, levels=levels, implementation=implementation, **settings)

    theoretical, numerical = tf.test.compute_gradient(pool, [tf.constant(f) for f in features])
    for exact, approximate in zip(theoretical, numerical, strict=True):
        np.testing.assert_allclose(exact, approximate, atol=2e-3)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_boxes_get_no_gradient(rng, implementation):
    boxes = tf.constant(random_boxes(rng, 2, 3))
    with tf.GradientTape() as tape:
        tape.watch(boxes)
        pooled = roi_align(pyramid(rng), boxes, strides=STRIDES, output_size=2, implementation=implementation)
    assert tape.gradient(pooled, boxes) is None


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("sampling_ratio", [0, 2])
def test_dynamic_shapes_in_a_graph(rng, sampling_ratio, implementation):
    features, boxes = pyramid(rng), random_boxes(rng, 2, 5)
    settings = {"strides": STRIDES, "output_size": 3, "sampling_ratio": sampling_ratio}

    @tf.function(
        input_signature=[
            [tf.TensorSpec([None, None, None, 3])] * 3,
            tf.TensorSpec([None, None, 4]),
        ]
    )
    def pool_and_differentiate(maps, rois):
        with tf.GradientTape() as tape:
            tape.watch(maps)
            pooled = roi_align(maps, rois, implementation=implementation, **settings)
        assert pooled.shape.as_list() == [None, None, 3, 3, 3]
        return pooled, tape.gradient(pooled, maps)

    for count in (5, 2):
        pooled, gradients = pool_and_differentiate(
            [tf.constant(f) for f in features], tf.constant(boxes[:, :count])
        )
        eager, eager_gradients = pool_with_gradient(
            features, boxes[:, :count], np.float32(1), implementation=implementation, **settings
        )
        np.testing.assert_allclose(pooled, eager, atol=1e-5)
        for gradient, eager_gradient in zip(gradients, eager_gradients, strict=True):
            np.testing.assert_allclose(gradient, eager_gradient, atol=1e-5)


@pytest.mark.parametrize("size", [7, 14])
def test_bins_of_whole_cells_get_no_sample_too_many_in_an_optimised_graph(rng, size):
    """An optimised graph multiplies by rounded reciprocals where it can."""
    features = rng.standard_normal((1, 40, 64, 4)).astype(np.float32)
    sides = 4.0 * size * np.arange(1, 8)
    boxes = np.float32([[[32.0, 32.0, 32.0 + a, 32.0 + b] for a in sides for b in sides]])
    settings = {"strides": [4], "output_size": size, "sampling_ratio": 0}

    @tf.function(autograph=False)
    def traced(features, boxes):
        return roi_align([features], boxes, implementation="tensorflow", **settings)

    expected = roi_align([features], boxes, implementation="custom", **settings)
    np.testing.assert_allclose(traced(tf.constant(features), tf.constant(boxes)), expected, atol=1e-4)


@pytest.mark.parametrize("sampling_ratio", [0, 2])
def test_twin_graph_is_small_and_of_core_ops(sampling_ratio):
    @tf.function(input_signature=[[tf.TensorSpec([None, None, None, 8])] * 4, tf.TensorSpec([None, None, 4])])
    def pool(maps, rois):
        return roi_align(
            maps,
            rois,
            strides=(4, 8, 16, 32),
            output_size=7,
            sampling_ratio=sampling_ratio,
            implementation="tensorflow",
        )

    graph = pool.get_concrete_function().graph.as_graph_def()
    names = [node.op for node in graph.node] + [n.op for f in graph.library.function for n in f.node_def]
    assert len(names) < 450
    assert not [name for name in names if "Cascade" in name]
