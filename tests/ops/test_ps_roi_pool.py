"""Position-sensitive pooling: C++ op = TensorFlow twin = NumPy reference = the authors' Caffe code."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.ops import ps_roi_pool
from tests.golden.caffe_layers import recorded
from tests.reference import ps_roi_pool as reference

IMPLEMENTATIONS = ["custom", "tensorflow"]
# Means of float32 numbers around 1.
TOLERANCE = 1e-5


def pool_with_gradient(features, boxes, upstream, **settings):
    features = tf.constant(features)
    with tf.GradientTape() as tape:
        tape.watch(features)
        pooled = ps_roi_pool(features, boxes, **settings)
    return pooled, tape.gradient(pooled, features, tf.constant(upstream))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("case", recorded("PSROIPooling"))
def test_equals_caffe(case, implementation):
    boxes, place = case.boxes()
    upstream = np.zeros((*boxes.shape[:2], *case.maps("topdiff/y").shape[1:]), np.float32)
    upstream[place] = case.maps("topdiff/y")
    pooled, gradient = pool_with_gradient(
        case.maps("in/x"),
        boxes,
        upstream,
        stride=1 / case.number("spatial_scale"),
        output_size=int(case.number("group_size")),
        inclusive_boxes=True,
        implementation=implementation,
    )
    np.testing.assert_allclose(pooled.numpy()[place], case.maps("out/y"), atol=TOLERANCE)
    np.testing.assert_allclose(gradient, case.maps("grad/x"), atol=TOLERANCE)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize(
    ("output_size", "classes", "inclusive_boxes"),
    [((7, 7), 2, False), ((1, 1), 3, True), ((3, 2), 4, False), ((2, 5), 17, True)],
)
def test_equals_reference(rng, output_size, classes, inclusive_boxes, implementation):
    channels = output_size[0] * output_size[1] * classes
    features = rng.standard_normal((2, 9, 13, channels)).astype(np.float32)
    corner = rng.uniform(-40, 1, (2, 9, 2)) + rng.uniform(0, 1, (2, 9, 2)) * [208, 144]
    boxes = np.concatenate([corner, corner + np.exp(rng.uniform(0, 5.5, (2, 9, 2)))], -1).astype(np.float32)
    upstream = rng.standard_normal((2, 9, *output_size, classes)).astype(np.float32)
    settings = {"stride": 16, "output_size": output_size, "inclusive_boxes": inclusive_boxes}
    pooled, gradient = pool_with_gradient(
        features, boxes, upstream, implementation=implementation, **settings
    )
    np.testing.assert_allclose(pooled, reference.ps_roi_pool(features, boxes, **settings), atol=TOLERANCE)
    expected = reference.ps_roi_pool_gradient(upstream, features, boxes, **settings)
    np.testing.assert_allclose(gradient, expected, atol=TOLERANCE)


def pool_one(features, box, output_size, stride=4, implementation="custom", **settings):
    pooled = ps_roi_pool(
        np.float32(features),
        np.float32([[box]]),
        stride=stride,
        output_size=output_size,
        implementation=implementation,
        **settings,
    )
    return pooled.numpy()[0, 0]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_each_bin_reads_its_own_channels_and_classes_come_first(implementation):
    # Channel c holds c everywhere.
    features = np.tile(np.arange(12.0), (1, 5, 5, 1))
    pooled = pool_one(features, [0, 0, 20, 20], (2, 3), implementation=implementation)
    # Class 0 has channels 0 to 5, class 1 channels 6 to 11.
    np.testing.assert_array_equal(pooled[..., 0], [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(pooled[..., 1], [[6, 7, 8], [9, 10, 11]])


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize(
    ("box", "expected"),
    [
        # Pixels 4 to 11 are the cells 1 and 2.
        ([4, 4, 11, 11], (11 + 12 + 21 + 22) / 4),
        # One pixel more touches cell 3, which counts as much as the others.
        ([4, 4, 12, 11], (11 + 12 + 13 + 21 + 22 + 23) / 6),
        # Halves are rounded away from zero: 3.5 to pixel 4, -0.5 to pixel -1, which is not on the map.
        ([3.5, 4, 11, 11], (11 + 12 + 21 + 22) / 4),
        ([-0.5, -0.5, 2.5, 3.4], 0),
        # One pixel is one cell.
        ([9, 5, 9, 5], 12),
        # Flipped: a tenth of a cell at the first corner.
        ([9, 5, 4, 2], 12),
        # Sticking out: the cells on the map alone.
        ([16, 12, 60, 60], (34 + 35 + 44 + 45) / 4),
        ([100, 100, 120, 120], 0),
    ],
)
def test_boxes_of_last_pixels(box, expected, implementation):
    features = [[[[10 * y + x] for x in range(6)] for y in range(5)]]
    pooled = pool_one(features, box, 1, inclusive_boxes=True, implementation=implementation)
    np.testing.assert_allclose(pooled.item(), expected, rtol=1e-6)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_far_edges_are_one_pixel_beyond_the_last(implementation):
    features = [[[[10 * y + x] for x in range(6)] for y in range(5)]]
    pooled = pool_one(features, [4, 4, 12, 12], 1, implementation=implementation)
    np.testing.assert_allclose(pooled.item(), (11 + 12 + 21 + 22) / 4, rtol=1e-6)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_numerical_gradient(rng, implementation):
    features = rng.standard_normal((1, 4, 5, 8)).astype(np.float32)
    boxes = np.float32([[[1, 2, 13, 11], [-3, 4, 9, 20], [3, 3, 3, 3]]])

    @tf.function
    def pool(maps):
        return ps_roi_pool(maps, boxes, stride=4, output_size=2, implementation=implementation)

    (theoretical,), (numerical,) = tf.test.compute_gradient(pool, [tf.constant(features)])
    np.testing.assert_allclose(theoretical, numerical, atol=2e-3)
    np.testing.assert_allclose(theoretical.sum(), 3 * 8, rtol=1e-4)


@pytest.mark.parametrize("size", [2, 3, 5, 6, 7, 14])
def test_bins_end_where_they_should_in_an_optimised_graph(rng, size):
    """An optimised graph multiplies by rounded reciprocals where it can; a bin would touch another cell."""
    features = rng.standard_normal((1, 20, 32, size * size)).astype(np.float32)
    boxes = np.float32([[[32, 32, 32 + 4 * a, 32 + 4 * b] for a in range(1, 44) for b in (1, 7, 14, 21, 26)]])

    @tf.function(autograph=False)
    def traced(maps, rois):
        return ps_roi_pool(maps, rois, stride=4, output_size=size, implementation="tensorflow")

    expected = ps_roi_pool(features, boxes, stride=4, output_size=size, implementation="custom")
    np.testing.assert_allclose(traced(tf.constant(features), tf.constant(boxes)), expected, atol=TOLERANCE)


def test_a_small_bin_beside_large_numbers_keeps_its_digits(rng):
    """The twin takes differences of sums over the map."""
    features = 1000 + rng.standard_normal((1, 60, 60, 4)).astype(np.float32)
    boxes = np.float32([[[200, 200, 208, 208]]])
    settings = {"stride": 4, "output_size": 2}
    custom, twin = (ps_roi_pool(features, boxes, implementation=one, **settings) for one in IMPLEMENTATIONS)
    np.testing.assert_allclose(custom, twin, rtol=1e-6)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_channels_must_divide(implementation):
    with pytest.raises(ValueError, match="3 x 2 bins need a multiple of 6 channels, got 8"):
        pool_one(np.zeros((1, 4, 4, 8)), [0, 0, 8, 8], (3, 2), implementation=implementation)
