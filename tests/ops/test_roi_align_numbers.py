"""RoIAlign to the last bit: types of numbers, order of sums, gradients in turn."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.ops import assign_levels, roi_align, roi_align_in_turn
from tests.ops.roi_align_cases import (
    IMPLEMENTATIONS,
    STRIDES,
    TOLERANCE,
    pool_with_gradient,
    pyramid,
    random_boxes,
)


def test_overlapping_gradients_are_exact_and_repeatable():
    # Thousands of threads' worth of additions to the same few cells: an unlocked sum would lose some.
    features = [np.zeros((1, 6, 6, 64), np.float32)]
    boxes = np.tile(np.float32([4, 4, 20, 20]), (1, 2000, 1))
    upstream = np.ones((1, 2000, 4, 4, 64), np.float32)
    for implementation in IMPLEMENTATIONS:
        runs = [
            pool_with_gradient(
                features, boxes, upstream, strides=[4], output_size=4, implementation=implementation
            )[1][0].numpy()
            for _ in range(3)
        ]
        np.testing.assert_allclose(runs[0].astype(np.float64).sum(), upstream.sum(), rtol=1e-4)
        np.testing.assert_array_equal(runs[0], runs[1])
        np.testing.assert_array_equal(runs[0], runs[2])


@pytest.mark.parametrize("channels", [1, 3, 16, 130])
def test_channel_blocks_of_the_custom_gradient(rng, channels):
    features, boxes = pyramid(rng, channels=channels), random_boxes(rng, 2, 6)
    upstream = rng.standard_normal((2, 6, 2, 2, channels)).astype(np.float32)
    settings = {"strides": STRIDES, "output_size": 2}
    _, custom = pool_with_gradient(features, boxes, upstream, implementation="custom", **settings)
    _, twin = pool_with_gradient(features, boxes, upstream, implementation="tensorflow", **settings)
    for a, b in zip(custom, twin, strict=True):
        np.testing.assert_allclose(a, b, atol=TOLERANCE)


LOW_PRECISION = ["bfloat16", "float16"]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("sampling_ratio", [0, 2])
@pytest.mark.parametrize("dtype", LOW_PRECISION)
def test_low_precision_rounds_the_float32_result_once(rng, dtype, sampling_ratio, implementation):
    low = [tf.cast(feature, dtype) for feature in pyramid(rng, channels=37)]
    # Coordinates that low precision would move.
    boxes = random_boxes(rng, 2, 9) + 0.123
    upstream = tf.cast(rng.standard_normal((2, 9, 3, 3, 37)), dtype)
    settings = {"strides": STRIDES, "output_size": 3, "sampling_ratio": sampling_ratio}
    pooled, gradients = pool_with_gradient(low, boxes, upstream, implementation=implementation, **settings)
    assert pooled.dtype == tf.as_dtype(dtype)
    exact, exact_gradients = pool_with_gradient(
        [tf.cast(feature, tf.float32) for feature in low],
        boxes,
        tf.cast(upstream, tf.float32),
        implementation=implementation,
        **settings,
    )
    np.testing.assert_array_equal(pooled, tf.cast(exact, dtype))
    for gradient, exact_gradient in zip(gradients, exact_gradients, strict=True):
        np.testing.assert_array_equal(gradient, tf.cast(exact_gradient, dtype))


def test_both_implementations_agree_in_bfloat16(rng):
    low = [tf.cast(feature, tf.bfloat16) for feature in pyramid(rng, channels=16)]
    boxes, upstream = random_boxes(rng, 2, 20), tf.cast(rng.standard_normal((2, 20, 7, 7, 16)), tf.bfloat16)
    settings = {"strides": STRIDES, "output_size": 7}
    custom, twin = (
        pool_with_gradient(low, boxes, upstream, implementation=implementation, **settings)
        for implementation in IMPLEMENTATIONS
    )
    # Eight bits: neighbouring numbers differ by 2^-7 at most, and the float32 results by TOLERANCE.
    for a, b in zip([custom[0], *custom[1]], [twin[0], *twin[1]], strict=True):
        np.testing.assert_allclose(
            tf.cast(a, tf.float32), tf.cast(b, tf.float32), rtol=2.0**-7, atol=TOLERANCE
        )


def test_bfloat16_of_numbers_that_are_not_finite():
    maps = np.zeros((1, 4, 4, 4), np.float32)
    maps[..., 1:] = [np.nan, np.inf, -np.inf]
    # One sample in the middle between four cells: no weight is zero.
    boxes = np.float32([[[2, 2, 10, 10]]])
    settings = {"strides": [4], "output_size": 1, "sampling_ratio": 1, "aligned": False}
    pooled = roi_align([tf.constant(maps, tf.bfloat16)], boxes, implementation="custom", **settings)
    np.testing.assert_array_equal(np.float32(pooled)[0, 0, 0, 0], np.float32([0, np.nan, np.inf, -np.inf]))


@pytest.mark.parametrize(("dtype", "cast"), [("float32", False), ("bfloat16", False), ("float16", True)])
def test_maps_of_the_kernels_types_are_not_cast(dtype, cast):
    @tf.function(
        input_signature=[[tf.TensorSpec([1, 8, 8, 2], dtype)] * 2, tf.TensorSpec([1, 3, 2, 2, 2], dtype)]
    )
    def pool(maps, upstream):
        boxes = tf.constant([[[1.0, 1, 5, 5], [2, 2, 9, 9], [3, 3, 4, 4]]])
        with tf.GradientTape() as tape:
            tape.watch(maps)
            pooled = roi_align(maps, boxes, strides=(4, 8), output_size=2, implementation="custom")
        return tape.gradient(pooled, maps, upstream)

    casts = [op for op in pool.get_concrete_function().graph.get_operations() if op.type == "Cast"]
    assert any(op.outputs[0].shape.rank >= 4 for op in casts) == cast


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16, tf.float64])
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_sets_of_boxes_in_turn(rng, implementation, dtype, graph):
    features = [tf.cast(one, dtype) for one in pyramid(rng)]
    sets = [random_boxes(rng, 2, count) for count in (7, 4, 9)]
    upstreams = [tf.cast(rng.standard_normal((2, boxes.shape[1], 2, 2, 3)), dtype) for boxes in sets]
    settings = {"strides": STRIDES, "output_size": 2, "implementation": implementation}

    def in_turn(features):
        for boxes in sets[:-1]:
            levels = assign_levels(boxes, len(features), min_level=round(np.log2(STRIDES[0])))
            pooled, features = roi_align_in_turn(
                features, boxes, levels=levels, sampling_ratio=2, aligned=True, **settings
            )
            yield pooled
        yield roi_align(features, sets[-1], **settings)

    def at_once(features):
        return [roi_align(features, boxes, **settings) for boxes in sets]

    def gradients(pool, *features):
        with tf.GradientTape() as tape:
            tape.watch(features)
            pooled = list(pool(list(features)))
            # The features have other readers as well.
            total = tf.add_n([tf.reduce_sum(p * u) for p, u in zip(pooled, upstreams, strict=True)])
            total += tf.add_n([tf.reduce_sum(one * one) for one in features])
        return pooled, tape.gradient(total, list(features))

    run = tf.function(gradients) if graph else gradients
    found, expected = run(in_turn, *features), run(at_once, *features)
    for one, other in zip(found[0], expected[0], strict=True):
        np.testing.assert_array_equal(one, other)
    tolerance = 0.1 if dtype == tf.bfloat16 else 1e-5
    for one, other in zip(found[1], expected[1], strict=True):
        assert one.dtype == dtype
        np.testing.assert_allclose(tf.cast(one, tf.float64), tf.cast(other, tf.float64), atol=tolerance)


def test_the_sum_of_a_bin_has_a_fixed_order():
    """Four cells in pairs, to the last bit: float32 sums of another order round otherwise."""
    rng = np.random.default_rng(3)
    cells = rng.standard_normal((1, 2, 2, 64)).astype(np.float32)
    # One sample at (0.75, 0.625) between the centres of the cells: all weights are exact.
    box = np.float32([[[0.25, 0.125, 2.25, 2.125]]])
    pooled = roi_align(
        [cells], box, strides=(1.0,), output_size=1, sampling_ratio=1, implementation="custom"
    )[0, 0, 0, 0]
    x, y = np.float32(0.75), np.float32(0.625)
    weights = [(1 - y) * (1 - x), (1 - y) * x, y * (1 - x), y * x]
    a, b, c, d = (weight * cell for weight, cell in zip(weights, cells.reshape(4, 64), strict=True))
    np.testing.assert_array_equal(pooled, (a + b) + (c + d))
    assert np.any((a + b) + (c + d) != ((a + b) + c) + d)
