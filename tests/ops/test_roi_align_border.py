"""RoIAlign of boxes at and beyond the border of a map, of none, and of one cell."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.ops import roi_align
from tests.ops.roi_align_cases import (
    IMPLEMENTATIONS,
    STRIDES,
    TOLERANCE,
    pool_with_gradient,
    pyramid,
    random_boxes,
)
from tests.reference import roi_align as reference


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("sampling_ratio", [0, 2])
def test_unusable_boxes_give_zeros_and_leave_others_alone(rng, sampling_ratio, implementation):
    nan, inf, huge = np.nan, np.inf, np.float32(3e38)
    good = [8.0, 8.0, 40.0, 30.0]
    bad = [[nan, 8, 40, 30], [8, 8, inf, 30], [-inf, -inf, inf, inf], [-huge, -huge, huge, huge], [nan] * 4]
    boxes = np.float32([[good, *bad, good]])
    features = pyramid(rng, batch=1)
    upstream = np.ones((1, 7, 2, 2, 3), np.float32)
    settings = {"strides": STRIDES, "output_size": 2, "sampling_ratio": sampling_ratio}
    pooled, gradients = pool_with_gradient(
        features, boxes, upstream, implementation=implementation, **settings
    )
    assert np.all(pooled.numpy()[0, 1:-1] == 0)
    expected, expected_gradients = pool_with_gradient(
        features, boxes[:, [0, 6]], upstream[:, :2], implementation=implementation, **settings
    )
    np.testing.assert_array_equal(pooled.numpy()[:, [0, 6]], expected)
    for gradient, expected_gradient in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(gradient, expected_gradient, atol=1e-6)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("sampling_ratio", [0, 1, 2])
def test_degenerate_and_outside_boxes_equal_reference(rng, sampling_ratio, implementation):
    boxes = [
        [20, 20, 20, 20],  # a point
        [20, 20, 20, 50],  # a line
        [60, 40, 20, 10],  # flipped
        [-90, -90, -60, -60],  # outside
        [96, 64, 120, 90],  # touches the corner
        [-8, -8, 104, 72],  # larger than the image
        [-900, -700, 900, 700],  # much larger
        [95.9, 63.9, 96, 64],  # tiny, in the corner
    ]
    boxes = np.float32([boxes] * 2)
    features, levels = pyramid(rng), np.zeros((2, 8), np.int32)
    settings = {"strides": STRIDES, "output_size": (3, 3), "sampling_ratio": sampling_ratio}
    pooled = roi_align(features, boxes, levels=levels, implementation=implementation, **settings)
    expected = reference.roi_align(features, boxes, levels, **settings)
    np.testing.assert_allclose(pooled, expected, atol=TOLERANCE)


# On a map of 4 x 4 cells a box of whole numbers often has a sample exactly on the border, at -1 or at 4.


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize(
    ("box", "inside"), [((-1, -1, 6, 6), 6 / 7), ((-7, -7, 4, 4), 5 / 11)], ids=["at both", "at -1"]
)
def test_samples_on_the_border_count(box, inside, implementation):
    ones = np.ones((1, 4, 4, 1), np.float32)
    settings = {"strides": [1], "output_size": 1, "sampling_ratio": 0, "implementation": implementation}
    pooled, (gradient,) = pool_with_gradient([ones], np.float32([[box]]), 1, **settings)
    np.testing.assert_allclose(np.ravel(pooled), [inside**2], rtol=1e-6)
    np.testing.assert_allclose(tf.reduce_sum(gradient), inside**2, rtol=1e-6)


def _border_boxes(low, high, flipped=False):
    """[n, 1, 4]: all whole intervals within low..high along x, all along y, each over the map's middle."""
    edges = range(low, high + 1)
    spans = [(a, b) for a in edges for b in edges if flipped or a < b]
    return np.float32([[[a, 0, b, 3]] for a, b in spans] + [[[0, a, 3, b]] for a, b in spans])


@pytest.mark.parametrize(
    ("edges", "settings"),
    [
        ((-40, 44), {}),
        ((-20, 24), {"aligned": False}),
        ((-20, 24), {"output_size": (2, 3)}),
        ((-20, 24), {"strides": [10]}),
        ((-10, 14), {"sampling_ratio": 7, "flipped": True}),
        ((-10, 14), {"sampling_ratio": 2, "output_size": (5, 7), "flipped": True}),
    ],
    ids=["wide", "unaligned", "bins", "stride 10", "7 samples", "5 x 7 bins"],
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_boxes_of_whole_numbers_equal_exact_arithmetic(edges, settings, dtype, implementation):
    """Each box has an image of its own, so that each has its own gradient."""
    settings = {"strides": [1], "output_size": (1, 1), "sampling_ratio": 0, "aligned": True, **settings}
    boxes = _border_boxes(*edges, settings.pop("flipped", False)) * settings["strides"][0]
    rng = np.random.default_rng(1)
    # A sum of positive shares, so that a missing sample cannot hide; the numbers are those of bfloat16.
    maps = np.float32(rng.integers(64, 128, (len(boxes), 4, 4, 2))) / 64
    upstream = np.float32(rng.integers(64, 128, (len(boxes), 1, *settings["output_size"], 2))) / 64
    levels = np.zeros((len(boxes), 1), np.int32)

    # Optimised graphs multiply by rounded reciprocals where they can.
    @tf.function(autograph=False)
    def run(maps, boxes, upstream):
        with tf.GradientTape() as tape:
            tape.watch(maps)
            pooled = roi_align([maps], boxes, levels=levels, implementation=implementation, **settings)
        return pooled, tape.gradient(pooled, maps, upstream)

    pooled, gradient = run(tf.cast(maps, dtype), tf.constant(boxes), tf.cast(upstream, dtype))
    # A sample too few of 44 is 2 % of a bin.
    tolerance = {"atol": TOLERANCE} if dtype == "float32" else {"rtol": 2.0**-8, "atol": TOLERANCE}
    expected = reference.roi_align([maps], boxes, levels, **settings)
    np.testing.assert_allclose(tf.cast(pooled, tf.float32), expected, **tolerance)
    (expected,) = reference.roi_align_gradient(upstream, [maps], boxes, levels, **settings)
    np.testing.assert_allclose(tf.cast(gradient, tf.float32), expected, **tolerance)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_the_border_is_sharp(implementation):
    """Samples half way between two neighbouring float32 numbers, one of which is the border."""
    low, high, step = -0.5, 4.5, 2.0**-21
    spans = [(low - step, low), (low, low + step), (low, low), (high - step, high), (high, high + step)]
    boxes = np.float32([[[*x, 1, 2] for x in spans]])[..., [0, 2, 1, 3]]
    maps, upstream = np.ones((1, 4, 4, 1), np.float32), np.ones((1, 5, 1, 1, 1), np.float32)
    settings = {"strides": [1], "output_size": 1, "sampling_ratio": 1, "implementation": implementation}
    pooled, (gradient,) = pool_with_gradient([maps], boxes, upstream, **settings)
    np.testing.assert_allclose(np.ravel(pooled), [0, 1, 1, 1, 0], atol=1e-6)
    # Each of the three gives its one to the two middle cells of the first or the last column.
    expected = np.zeros((4, 4))
    expected[1, [0, 3]] = [2, 1]
    np.testing.assert_allclose(gradient[0, ..., 0], expected, atol=1e-5)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_giant_box_is_bounded(implementation):
    # 2^24 pixels wide: the adaptive ratio would ask for 10^12 samples.
    boxes = np.float32([[[-8e6, -8e6, 8e6, 8e6]]])
    pooled = roi_align(
        [np.ones((1, 4, 4, 1), np.float32)],
        boxes,
        strides=[1],
        output_size=1,
        sampling_ratio=0,
        implementation=implementation,
    )
    assert np.all(np.isfinite(pooled))
    assert np.abs(pooled).max() <= 1


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("sampling_ratio", [0, 2])
@pytest.mark.parametrize(("batch", "count"), [(2, 0), (0, 5), (0, 0)])
def test_no_boxes_or_images(rng, batch, count, sampling_ratio, implementation):
    features = pyramid(rng, batch=batch)
    boxes = np.zeros((batch, count, 4), np.float32)
    upstream = np.zeros((batch, count, 7, 7, 3), np.float32)
    pooled, gradients = pool_with_gradient(
        features,
        boxes,
        upstream,
        strides=STRIDES,
        output_size=7,
        sampling_ratio=sampling_ratio,
        implementation=implementation,
    )
    assert pooled.shape == (batch, count, 7, 7, 3)
    for feature, gradient in zip(features, gradients, strict=True):
        np.testing.assert_array_equal(gradient, np.zeros_like(feature))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_smallest_map(implementation):
    pooled = roi_align(
        [np.full((1, 1, 1, 1), 3, np.float32)],
        np.float32([[[0, 0, 4, 4]]]),
        strides=[4],
        output_size=2,
        implementation=implementation,
    )
    np.testing.assert_allclose(pooled, np.full((1, 1, 2, 2, 1), 3), rtol=1e-6)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_levels_are_clamped(rng, implementation):
    features, boxes = pyramid(rng), random_boxes(rng, 2, 4)
    settings = {"strides": STRIDES, "output_size": 2, "implementation": implementation}
    wild = roi_align(features, boxes, levels=np.int32([[-7, 0, 3, 2**31 - 1]] * 2), **settings)
    clamped = roi_align(features, boxes, levels=np.int32([[0, 0, 2, 2]] * 2), **settings)
    np.testing.assert_array_equal(wild, clamped)
