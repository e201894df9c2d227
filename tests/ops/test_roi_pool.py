"""RoIPool: C++ op = TensorFlow twin = NumPy reference = arrays recorded from the authors' Caffe code."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.ops import roi_pool
from tests.golden.caffe_layers import recorded
from tests.golden.mscnn_pooling import corners_of, lets_through
from tests.reference import roi_pool as reference

IMPLEMENTATIONS = ["custom", "tensorflow"]
# Maxima are copied; gradients are sums of a few float32.
TOLERANCE = 1e-5


def pool_with_gradient(features, boxes, upstream, **settings):
    features = tf.constant(features)
    with tf.GradientTape() as tape:
        tape.watch(features)
        pooled = roi_pool(features, boxes, **settings)
    return pooled, tape.gradient(pooled, features, tf.constant(upstream))


def let_through(case, output_size):
    """Which upstream values MS-CNN's backward pass lets through, [R, height, width, C]."""
    argmax, rois = case.maps("hidden/argmax").astype(int), case.array("in/rois")
    map_size, scale = case.array("in/x").shape[2:], np.float32(case.number("spatial_scale"))
    corners = [corners_of(roi, scale, case.number("pad_ratio")) for roi in rois[:, 1:]]
    pairs = zip(argmax, corners, strict=True)
    return np.stack([lets_through(cells, own, map_size, scale, output_size) for cells, own in pairs])


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("case", recorded("ROIPooling"))
def test_equals_caffe(case, implementation):
    boxes, place = case.boxes()
    output_size = (int(case.number("pooled_h")), int(case.number("pooled_w")))
    of_roi = case.maps("topdiff/y")
    if case.fork == "mscnn":
        of_roi = np.where(let_through(case, output_size), of_roi, np.float32(0))
    upstream = np.zeros((*boxes.shape[:2], *of_roi.shape[1:]), np.float32)
    upstream[place] = of_roi
    pooled, gradient = pool_with_gradient(
        case.maps("in/x"),
        boxes,
        upstream,
        stride=1 / case.number("spatial_scale"),
        output_size=output_size,
        pad_ratio=case.number("pad_ratio"),
        inclusive_boxes=True,
        implementation=implementation,
    )
    np.testing.assert_array_equal(pooled.numpy()[place], case.maps("out/y"))
    np.testing.assert_allclose(gradient, case.maps("grad/x"), atol=TOLERANCE)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize(
    ("output_size", "pad_ratio", "inclusive_boxes"),
    [((7, 7), 0.0, False), ((1, 1), 0.0, True), ((3, 5), 0.25, False), ((6, 2), 1.0, True)],
)
def test_equals_reference(rng, output_size, pad_ratio, inclusive_boxes, implementation):
    features = rng.standard_normal((2, 12, 17, 5)).astype(np.float32)
    corner = rng.uniform(-40, 1, (2, 15, 2)) + rng.uniform(0, 1, (2, 15, 2)) * [272, 192]
    boxes = np.concatenate([corner, corner + np.exp(rng.uniform(0, 5.5, (2, 15, 2)))], -1).astype(np.float32)
    upstream = rng.standard_normal((2, 15, *output_size, 5)).astype(np.float32)
    settings = {
        "stride": 16,
        "output_size": output_size,
        "pad_ratio": pad_ratio,
        "inclusive_boxes": inclusive_boxes,
    }
    pooled, gradient = pool_with_gradient(
        features, boxes, upstream, implementation=implementation, **settings
    )
    np.testing.assert_array_equal(pooled, reference.roi_pool(features, boxes, **settings))
    expected = reference.roi_pool_gradient(upstream, features, boxes, **settings)
    np.testing.assert_allclose(gradient, expected, atol=TOLERANCE)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("channels", [1, 31, 32, 33, 64, 65, 130])
def test_blocks_of_channels(rng, channels, implementation):
    features = rng.standard_normal((2, 6, 7, channels)).astype(np.float32)
    boxes = np.float32([[[0, 0, 20, 20], [8, 4, 27, 23]], [[4, 4, 12, 30], [-9, -9, 40, 40]]])
    upstream = rng.standard_normal((2, 2, 2, 3, channels)).astype(np.float32)
    settings = {"stride": 4, "output_size": (2, 3)}
    pooled, gradient = pool_with_gradient(
        features, boxes, upstream, implementation=implementation, **settings
    )
    np.testing.assert_array_equal(pooled, reference.roi_pool(features, boxes, **settings))
    expected = reference.roi_pool_gradient(upstream, features, boxes, **settings)
    np.testing.assert_allclose(gradient, expected, atol=TOLERANCE)


# A map that holds 10 * row + column.
ROWS_AND_COLUMNS = np.float32([[10 * y + x for x in range(6)] for y in range(5)])[None, :, :, None]


def pool_one(box, output_size=1, features=ROWS_AND_COLUMNS, stride=4, implementation="custom", **settings):
    pooled = roi_pool(
        features,
        np.float32([[box]]),
        stride=stride,
        output_size=output_size,
        implementation=implementation,
        **settings,
    )
    return pooled.numpy()[0, 0, :, :, 0].tolist()


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize(
    ("box", "output_size", "expected"),
    [
        # Cells 1 to 3 in both directions; both corner cells belong to the box.
        ([4, 4, 12, 12], 1, [[33]]),
        # Three cells in two bins: 1 to 2 and 2 to 3, the middle one in both.
        ([4, 4, 12, 12], 2, [[22, 23], [32, 33]]),
        # More bins than cells: each cell again and again.
        ([4, 4, 8, 8], 4, [[11, 11, 12, 12], [11, 11, 12, 12], [21, 21, 22, 22], [21, 21, 22, 22]]),
        # Halves are rounded away from zero: 2 / 4 to cell 1, 10 / 4 to cell 3, -2 / 4 to cell -1.
        ([2, 2, 2, 2], 1, [[11]]),
        ([10, 10, 10, 10], 1, [[33]]),
        ([-2, -2, 0, 0], 2, [[0, 0], [0, 0]]),
        ([-6, 4, 0, 4], 3, [[0, 0, 10]]),
        # Flipped: one cell, the one of the first corner.
        ([12, 8, 4, 4], 1, [[23]]),
        # Outside: nothing. Sticking out: what is on the map.
        ([100, 100, 120, 120], 2, [[0, 0], [0, 0]]),
        ([16, 12, 40, 40], 1, [[45]]),
    ],
)
def test_boxes_of_last_pixels(box, output_size, expected, implementation):
    size = (1, 3) if len(expected) == 1 and len(expected[0]) == 3 else output_size
    assert pool_one(box, size, inclusive_boxes=True, implementation=implementation) == expected


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_far_edges_are_one_pixel_beyond_the_last(implementation):
    # Pixels 4 to 9: 9 / 4 is rounded to cell 2, an edge at 10 would be rounded to cell 3.
    assert pool_one([4, 4, 10, 10], implementation=implementation) == [[22]]
    assert pool_one([4, 4, 9, 9], inclusive_boxes=True, implementation=implementation) == [[22]]
    assert pool_one([4, 4, 10, 10], inclusive_boxes=True, implementation=implementation) == [[33]]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_context_around_a_box(implementation):
    # 8 pixels wide and high; a half of that on each side is one cell.
    box = [8, 8, 16, 16]
    assert pool_one(box, implementation=implementation) == [[44]]
    assert pool_one(box, pad_ratio=0.5, implementation=implementation) == [[45]]
    negative = -ROWS_AND_COLUMNS
    assert pool_one(box, features=negative, implementation=implementation) == [[-22]]
    assert pool_one(box, features=negative, pad_ratio=0.5, implementation=implementation) == [[-11]]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_the_first_of_equal_cells_gets_the_gradient(implementation):
    features = np.zeros((1, 4, 4, 2), np.float32)
    features[0, 2, 1, 1] = features[0, 1, 3, 1] = 5
    upstream = np.float32([[[[[1, 10]]], [[[100, 1000]]]]])
    boxes = np.float32([[[0, 0, 4, 4], [1, 1, 4, 4]]])
    _, gradient = pool_with_gradient(
        features, boxes, upstream, stride=1, output_size=1, implementation=implementation
    )
    expected = np.zeros_like(features)
    expected[0, 0, 0, 0], expected[0, 1, 1, 0], expected[0, 1, 3, 1] = 1, 100, 1010
    np.testing.assert_array_equal(gradient, expected)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("where", [(1, 1), (2, 3), (3, 3)])
def test_numbers_that_are_not_finite(where, implementation):
    features = np.zeros((1, 5, 5, 3), np.float32)
    features[(0, *where)] = [np.nan, np.inf, -np.inf]
    pooled = roi_pool(
        features, np.float32([[[1, 1, 4, 4]]]), stride=1, output_size=1, implementation=implementation
    )
    np.testing.assert_array_equal(pooled[0, 0, 0, 0], np.float32([np.nan, np.inf, 0]))
    alone = roi_pool(
        np.full((1, 2, 2, 1), -np.inf, np.float32),
        np.float32([[[0, 0, 2, 2]]]),
        stride=1,
        output_size=1,
        implementation=implementation,
    )
    assert alone.numpy().item() == -np.inf


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_numerical_gradient(implementation):
    # Values far apart: a small step changes no maximum.
    features = np.random.default_rng(5).permutation(np.arange(2 * 30, dtype=np.float32)).reshape(1, 5, 6, 2)
    boxes = np.float32([[[1, 2, 13, 11], [-3, 4, 9, 20], [3, 3, 3, 3]]])

    @tf.function
    def pool(maps):
        return roi_pool(maps, boxes, stride=4, output_size=2, implementation=implementation)

    (theoretical,), (numerical,) = tf.test.compute_gradient(pool, [tf.constant(features)], delta=0.125)
    np.testing.assert_allclose(theoretical, numerical, atol=1e-4)
    assert np.abs(theoretical).sum() >= 3 * 4 * 2


@pytest.mark.parametrize("size", [2, 3, 5, 6, 7, 14])
def test_bins_end_where_they_should_in_an_optimised_graph(rng, size):
    """An optimised graph multiplies by rounded reciprocals where it can; a bin would get one cell more."""
    features = rng.standard_normal((1, 40, 64, 3)).astype(np.float32)
    boxes = np.float32([[[32, 32, 32 + 4 * a, 32 + 4 * b] for a in range(1, 44) for b in (1, 7, 14, 21, 26)]])

    @tf.function(autograph=False)
    def traced(maps, rois):
        return roi_pool(maps, rois, stride=4, output_size=size, implementation="tensorflow")

    expected = roi_pool(features, boxes, stride=4, output_size=size, implementation="custom")
    np.testing.assert_array_equal(traced(tf.constant(features), tf.constant(boxes)), expected)
