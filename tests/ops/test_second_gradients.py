"""Gradients of gradients: gradient penalties and meta-learning differentiate through a pooling twice."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.ops import grid_roi_align, ps_roi_pool, roi_align, roi_align_in_turn, roi_pool
from cascade_tf.ops.deformable_convolution import deformable_conv2d

BOXES = np.float32(
    [[[3, 5, 60, 41], [20, 8, 44, 70], [-9, -9, 30, 25]], [[8, 8, 70, 66], [0, 0, 9, 9], [50] * 4]]
)
# float32 sums in another order.
TOLERANCE = 1e-5


def in_turn(features, boxes, *, implementation):
    """Two sets of boxes, the second from what the first hands on."""
    settings = {"strides": [8], "levels": tf.zeros(boxes.shape[:2], tf.int32), "sampling_ratio": 2}
    settings |= {"output_size": 3, "aligned": True, "implementation": implementation}
    first, features = roi_align_in_turn([features], boxes, **settings)
    return tf.concat([first, roi_align(features, boxes + 2.0, **settings)], axis=1)


OPS = {
    "roi_align": lambda x, boxes, **kw: roi_align([x], boxes, strides=[8], output_size=(3, 2), **kw),
    "roi_align-adaptive": lambda x, boxes, **kw: roi_align(
        [x, x[:, ::2, ::2]],
        boxes,
        strides=[8, 16],
        output_size=3,
        sampling_ratio=0,
        canonical_size=48.0,
        **kw,
    ),
    "roi_align-in_turn": in_turn,
    "roi_align-map_sizes": lambda x, boxes, **kw: roi_align(
        [x], boxes, strides=[8], output_size=3, map_sizes=np.int32([[[9, 10]], [[6, 7]]]), **kw
    ),
    "grid_roi_align": lambda x, boxes, **kw: grid_roi_align([x], boxes, strides=[8], output_size=3, **kw),
    "grid_roi_align-points": lambda x, boxes, **kw: grid_roi_align(
        [x], boxes, strides=[8], output_size=3, average=False, **kw
    ),
    "ps_roi_pool": lambda x, boxes, **kw: ps_roi_pool(x, boxes, stride=8, output_size=2, **kw),
    "roi_pool": lambda x, boxes, **kw: roi_pool(x, boxes, stride=8, output_size=(3, 2), pad_ratio=0.25, **kw),
}


def gradient_of_cubes(op, x, boxes, direction, implementation):
    """The gradient of (the gradient of sum(pooled ** 3)) . direction."""
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            loss = tf.reduce_sum(op(x, boxes, implementation=implementation) ** 3)
        product = tf.reduce_sum(inner.gradient(loss, x) * direction)
    return outer.gradient(product, x)


CASES = [(name, implementation, "eager") for name in OPS for implementation in ("custom", "tensorflow")]
# What is slow to trace and compile, where it has code of its own.
for _name in ("roi_align-adaptive", "roi_pool"):
    CASES += [(_name, "custom", "graph"), (_name, "tensorflow", "graph"), (_name, "tensorflow", "XLA")]


@pytest.mark.parametrize(("name", "implementation", "how"), CASES)
def test_second_gradient_is_that_of_a_map_linear_in_the_features(rng, name, implementation, how):
    op = OPS[name]
    # Whole numbers, all different: a quarter of the direction does not change which value is the largest. So
    # the largest values are linear in it too, but not in the direction alone.
    x = tf.constant(rng.permutation(2 * 9 * 10 * 4).reshape(2, 9, 10, 4), tf.float32)
    direction = tf.constant(rng.integers(-1, 2, x.shape), tf.float32)
    boxes = tf.constant(BOXES)
    with tf.GradientTape() as tape:
        tape.watch(x)
        pooled = op(x, boxes, implementation=implementation)
    base, step = (x, 0.25) if op is OPS["roi_pool"] else (tf.zeros_like(x), 1.0)
    along = op(base + step * direction, boxes, implementation=implementation)
    along = (along - op(base, boxes, implementation=implementation)) / step
    expected = tape.gradient(pooled, x, 6.0 * pooled * along)

    call = gradient_of_cubes
    if how != "eager":
        call = tf.function(call, jit_compile=how == "XLA")
    result = call(op, x, boxes, direction, implementation)
    assert np.abs(expected).max() > 100
    scale = float(tf.reduce_max(tf.abs(expected)))
    np.testing.assert_allclose(result / scale, expected / scale, atol=TOLERANCE)


@pytest.mark.parametrize("name", OPS)
def test_boxes_get_no_second_gradient(rng, name):
    x = tf.constant(rng.standard_normal((2, 9, 10, 4)), tf.float32)
    boxes = tf.constant(BOXES)
    with tf.GradientTape() as outer:
        outer.watch(boxes)
        with tf.GradientTape() as inner:
            inner.watch(x)
            loss = tf.reduce_sum(OPS[name](x, boxes, implementation="custom") ** 2)
        gradient = inner.gradient(loss, x)
    assert outer.gradient(gradient, boxes) is None


def test_the_gradient_of_a_deformable_convolution_is_not_differentiated(rng):
    x = tf.constant(rng.standard_normal((1, 5, 5, 2)), tf.float32)
    kernel = tf.constant(rng.standard_normal((3, 3, 2, 2)), tf.float32)
    with tf.GradientTape(persistent=True) as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            loss = tf.reduce_sum(deformable_conv2d(x, tf.fill([1, 5, 5, 18], 0.3), kernel) ** 2)
        gradient = inner.gradient(loss, x)
    # An outer tape is no harm by itself.
    np.testing.assert_allclose(outer.gradient(loss, x), gradient, atol=TOLERANCE)
    with pytest.raises(ValueError, match=r"^deformable_conv2d: its gradient cannot be differentiated"):
        outer.gradient(gradient, x)
