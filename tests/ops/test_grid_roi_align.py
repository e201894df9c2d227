"""The grid RoIAlign: C++ op = TensorFlow twin = NumPy reference = arrays of the authors' Caffe code."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.ops import assign_levels, grid_roi_align
from tests.golden.caffe_layers import recorded
from tests.reference import grid_roi_align as reference

IMPLEMENTATIONS = ["custom", "tensorflow"]
# Sums of a few products of float32 numbers around 1.
TOLERANCE = 1e-5
STRIDES = (4, 8, 16)


def pool_with_gradient(features, boxes, upstream, **settings):
    features = [tf.constant(feature) for feature in features]
    with tf.GradientTape() as tape:
        tape.watch(features)
        pooled = grid_roi_align(features, boxes, **settings)
    return pooled, tape.gradient(pooled, features, tf.constant(upstream))


def pool_recorded(case, upstream, boxes, average, implementation):
    return pool_with_gradient(
        [case.maps("in/x")],
        boxes,
        upstream,
        strides=[1 / case.number("spatial_scale")],
        output_size=(int(case.number("pooled_h")), int(case.number("pooled_w"))),
        average=average,
        pad_ratio=case.number("pad_ratio"),
        inclusive_boxes=True,
        implementation=implementation,
    )


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("case", recorded("ROIAlign"))
def test_points_equal_caffe(case, implementation):
    boxes, place = case.boxes()
    upstream = np.zeros((*boxes.shape[:2], *case.maps("topdiff/y").shape[1:]), np.float32)
    upstream[place] = case.maps("topdiff/y")
    pooled, (gradient,) = pool_recorded(case, upstream, boxes, False, implementation)
    np.testing.assert_allclose(pooled.numpy()[place], case.maps("out/y"), atol=TOLERANCE)
    np.testing.assert_allclose(gradient, case.maps("grad/x"), atol=TOLERANCE)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("case", recorded("ROIAlign"))
def test_bins_are_means_of_the_points_of_caffe(case, implementation):
    boxes, place = case.boxes()
    points = tf.constant(case.maps("out/y"))
    with tf.GradientTape() as tape:
        tape.watch(points)
        expected = tf.nn.avg_pool2d(points, 2, 1, "VALID")
    # What the recorded gradient of the points is to them, this one is to the bins.
    bins = np.random.default_rng(2).standard_normal(expected.shape).astype(np.float32)
    of_points = np.zeros((*boxes.shape[:2], *points.shape[1:]), np.float32)
    of_points[place] = tape.gradient(expected, points, tf.constant(bins))
    upstream = np.zeros((*boxes.shape[:2], *expected.shape[1:]), np.float32)
    upstream[place] = bins
    pooled, (gradient,) = pool_recorded(case, upstream, boxes, True, implementation)
    np.testing.assert_allclose(pooled.numpy()[place], expected, atol=TOLERANCE)
    _, (same,) = pool_recorded(case, of_points, boxes, False, implementation)
    np.testing.assert_allclose(gradient, same, atol=TOLERANCE)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize(
    ("output_size", "average", "pad_ratio", "inclusive_boxes"),
    [
        ((7, 7), True, 0.0, False),
        ((1, 1), True, 0.0, True),
        ((3, 5), False, 0.25, False),
        ((4, 2), True, 0.5, True),
    ],
)
def test_equals_reference(rng, output_size, average, pad_ratio, inclusive_boxes, implementation):
    features = [rng.standard_normal((2, 64 // s, 96 // s, 3)).astype(np.float32) for s in STRIDES]
    corner = rng.uniform(-20, 1, (2, 10, 2)) + rng.uniform(0, 1, (2, 10, 2)) * [96, 64]
    boxes = np.concatenate([corner, corner + np.exp(rng.uniform(0, 4.5, (2, 10, 2)))], -1).astype(np.float32)
    levels = rng.integers(0, 3, (2, 10)).astype(np.int32)
    size = [bins + (not average) for bins in output_size]
    upstream = rng.standard_normal((2, 10, *size, 3)).astype(np.float32)
    settings = {
        "strides": STRIDES,
        "output_size": output_size,
        "average": average,
        "pad_ratio": pad_ratio,
        "inclusive_boxes": inclusive_boxes,
    }
    pooled, gradients = pool_with_gradient(
        features, boxes, upstream, levels=levels, implementation=implementation, **settings
    )
    expected = reference.grid_roi_align(features, boxes, levels, **settings)
    np.testing.assert_allclose(pooled, expected, atol=TOLERANCE)
    expected = reference.grid_roi_align_gradient(upstream, features, boxes, levels, **settings)
    for gradient, expected_gradient in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(gradient, expected_gradient, atol=TOLERANCE)


def pool_columns(box, implementation, **settings):
    """Pools a map whose cells hold the position of their centres along x, in pixels at stride 4."""
    feature = np.tile(4 * np.arange(20, dtype=np.float32)[None, None, :, None] + 2, (1, 20, 1, 1))
    settings = {"output_size": (1, 2), "inclusive_boxes": True, **settings}
    pooled = grid_roi_align(
        [feature], np.float32([[box]]), strides=[4], implementation=implementation, **settings
    )
    return pooled.numpy()[0, 0, ..., 0].tolist()


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_points_and_bins_by_hand(implementation):
    # Points at x = 8, 16 and 24, bins between them.
    assert pool_columns([8, 8, 24, 24], implementation, average=False) == [[8, 16, 24]] * 2
    assert pool_columns([8, 8, 24, 24], implementation) == [[12, 20]]
    # In the notation of far edges the last pixel is one less.
    assert pool_columns([8, 8, 25, 25], implementation, inclusive_boxes=False) == [[12, 20]]
    # 17 pixels wide: 17 more on each side.
    assert pool_columns([20, 20, 36, 36], implementation, pad_ratio=1.0, average=False) == [[3, 28, 53]] * 2


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_the_border_by_hand(implementation):
    # Points at 0 and 4 are on the map, and at 0 the first cell counts alone; the one at -4 is zero.
    assert pool_columns([-4, 8, 4, 24], implementation, average=False) == [[0, 2, 4]] * 2
    assert pool_columns([-4, 8, 4, 24], implementation) == [[1, 3]]
    # The map ends at 80.
    assert pool_columns([72, 8, 88, 24], implementation, average=False) == [[72, 78, 0]] * 2
    assert pool_columns([100, 8, 130, 24], implementation) == [[0, 0]]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("box", [[8, 8, 8, 24], [8, 8, 24, 8], [24, 8, 8, 24], [8, 8, 8, 8]])
def test_boxes_without_width_or_height_are_zero(box, implementation):
    assert pool_columns(box, implementation) == [[0, 0]]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_numerical_gradient(rng, implementation):
    features = [rng.standard_normal((1, 16 // s, 16 // s, 1)).astype(np.float32) for s in (4, 8)]
    boxes = np.float32([[[1, 2, 13, 11], [-3, 4, 9, 20], [3, 3, 3, 3]]])

    @tf.function
    def pool(*maps):
        return grid_roi_align(
            maps, boxes, strides=(4, 8), output_size=2, levels=[[0, 1, 0]], implementation=implementation
        )

    theoretical, numerical = tf.test.compute_gradient(pool, [tf.constant(f) for f in features])
    for exact, approximate in zip(theoretical, numerical, strict=True):
        np.testing.assert_allclose(exact, approximate, atol=2e-3)
        assert np.abs(exact).sum() > 0.5


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_levels_are_clamped_and_assigned_by_size(rng, implementation):
    features = [rng.standard_normal((1, 640 // s, 640 // s, 2)).astype(np.float32) for s in STRIDES]
    boxes = np.float32([[[0, 0, 60, 60], [0, 0, 150, 150], [0, 0, 300, 300], [0, 0, 630, 630]]])
    settings = {"strides": STRIDES, "output_size": 2, "implementation": implementation}
    assigned = grid_roi_align(features, boxes, **settings)
    assert assign_levels(boxes, 3).numpy().tolist() == [[0, 1, 2, 2]]
    wild = grid_roi_align(features, boxes, levels=np.int32([[-7, 1, 3, 2**31 - 1]]), **settings)
    np.testing.assert_array_equal(assigned, wild)
    one = grid_roi_align(features[1:2], boxes[:, 1:2], **{**settings, "strides": STRIDES[1:2]})
    np.testing.assert_array_equal(assigned[:, 1:2], one)


MAPS = [np.zeros((2, 8, 8, 3), np.float32), np.zeros((2, 4, 4, 3), np.float32)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": []}, "one or more levels and as many strides, got 0 and 2"),
        ({"strides": (4,)}, "one or more levels and as many strides, got 2 and 1"),
        ({"features": [MAPS[0], MAPS[1][..., :2]]}, "levels must agree in channels"),
        ({"features": [MAPS[0], MAPS[1].astype(np.float64)]}, "levels must agree in channels and dtype"),
        ({"levels": np.zeros((2, 4), np.int32)}, r"levels must be \[B, R\]"),
    ],
)
def test_wrong_levels(changes, message):
    arguments = {
        "features": MAPS,
        "boxes": np.zeros((2, 3, 4)),
        "strides": (4, 8),
        "output_size": 7,
        **changes,
    }
    with pytest.raises(ValueError, match=message):
        grid_roi_align(**arguments)
