"""Under XLA every op is its twin in fixed shapes, or says that it cannot be compiled."""

from __future__ import annotations

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.ops import (
    batched_nms,
    batched_soft_nms,
    crop_masks,
    grid_roi_align,
    library,
    paste_masks,
    ps_roi_pool,
    roi_align,
    roi_pool,
)
from cascade_tf.ops.deformable_convolution import deformable_conv2d
from cascade_tf.ops.resize_and_pad import resize_and_pad
from cascade_tf.pooling import ROIAlign

# XLA joins multiplications and additions, and sums in another order.
TOLERANCE = 1e-5
STRIDES = (4, 8, 16)


def pyramid(rng, dtype=tf.float32):
    return [tf.constant(rng.standard_normal((2, 64 // s, 96 // s, 8)), dtype) for s in STRIDES]


def random_boxes(rng, count):
    corner = rng.uniform(-20, 80, (2, count, 2))
    sides = np.exp(rng.uniform(-1, 5, (2, count, 2)))
    return np.concatenate([corner, corner + sides], -1).astype(np.float32)


ODD = [
    [np.nan, 0, 9, 9],
    [0, 0, np.inf, 9],
    [30, 30, 10, 50],
    [7, 7, 7, 7],
    [-900, -900, -800, -800],
    [0, 0, 3e8, 3e8],
    # Bins of whole cells: a size that were a hair larger would get one sample, or one cell, more.
    [8, 12, 8 + 28, 12 + 56],
    [0, 0, 84, 42],
]
ODD_BOXES = np.float32([ODD, ODD])

POOLINGS = {
    "roi_align": functools.partial(roi_align, strides=STRIDES, output_size=(7, 3), canonical_size=60.0),
    "roi_align-adaptive": functools.partial(
        roi_align, strides=STRIDES, output_size=7, sampling_ratio=0, canonical_size=60.0
    ),
    "roi_align-unaligned": functools.partial(
        roi_align, strides=STRIDES, output_size=7, sampling_ratio=0, aligned=False, canonical_size=60.0
    ),
    "roi_align-map_sizes": functools.partial(
        roi_align,
        strides=STRIDES,
        output_size=7,
        sampling_ratio=0,
        canonical_size=60.0,
        map_sizes=np.int32([[[16, 24], [8, 12], [4, 6]], [[9, 20], [5, 10], [3, 5]]]),
    ),
    "grid_roi_align": functools.partial(grid_roi_align, strides=STRIDES, output_size=7, pad_ratio=0.25),
    "roi_pool": lambda maps, boxes, **kw: roi_pool(maps[0], boxes, stride=4, output_size=(7, 3), **kw),
    "ps_roi_pool": lambda maps, boxes, **kw: ps_roi_pool(maps[0], boxes, stride=4, output_size=2, **kw),
}


def with_gradient(pool, maps, boxes, implementation):
    with tf.GradientTape() as tape:
        tape.watch(maps)
        pooled = pool(maps, boxes, implementation=implementation)
        loss = tf.reduce_sum(tf.cast(pooled, tf.float32) ** 2)
    return pooled, tape.gradient(loss, maps[:1])[0]


def unknown(tensor):
    """For a trace that knows the last dimension alone; XLA knows all sizes when it compiles."""
    return tf.TensorSpec([*[None] * (tensor.shape.rank - 1), tensor.shape[-1]], tensor.dtype)


def assert_compiled_equals_custom(function, *arguments, tolerance=TOLERANCE, signature=None):
    """Results of the C++ op, equal to those of what "auto" compiles; relative to the largest value."""
    expected = function(*arguments, "custom")
    compiled = tf.function(functools.partial(function, implementation="auto"), signature, jit_compile=True)
    results = compiled(*arguments)
    for result, one in zip(tf.nest.flatten(results), tf.nest.flatten(expected), strict=True):
        assert result.dtype == one.dtype
        result, one = tf.cast(result, tf.float32).numpy(), tf.cast(one, tf.float32).numpy()
        scale = max(1.0, np.abs(one).max(initial=0.0))
        np.testing.assert_allclose(result / scale, one / scale, rtol=0, atol=tolerance)
    return expected


@pytest.mark.parametrize("name", POOLINGS)
def test_poolings_equal_the_custom_op(rng, name):
    boxes = np.concatenate([random_boxes(rng, 12), ODD_BOXES], axis=1)
    pooled, _ = assert_compiled_equals_custom(
        functools.partial(with_gradient, POOLINGS[name]), pyramid(rng), tf.constant(boxes)
    )
    assert np.any(pooled != 0)


@pytest.mark.parametrize("name", ["roi_align", "roi_pool"])
def test_poolings_of_bfloat16_traced_without_sizes(rng, name):
    arguments = (pyramid(rng, tf.bfloat16), tf.constant(random_boxes(rng, 12)))
    # A value between two numbers of bfloat16 is rounded to either.
    assert_compiled_equals_custom(
        lambda maps, boxes, implementation: POOLINGS[name](maps, boxes, implementation=implementation),
        *arguments,
        tolerance=2.0**-7,
        signature=tf.nest.map_structure(unknown, arguments),
    )


@pytest.mark.parametrize("name", ["roi_align-adaptive", "roi_pool"])
def test_poolings_without_boxes(rng, name):
    assert_compiled_equals_custom(
        functools.partial(with_gradient, POOLINGS[name]), pyramid(rng), tf.zeros([2, 0, 4])
    )


SUPPRESSIONS = {
    "nms": batched_nms,
    "linear": functools.partial(batched_soft_nms, method="linear"),
    "gaussian": functools.partial(batched_soft_nms, method="gaussian"),
}


@pytest.mark.parametrize(
    ("name", "own_boxes", "max_outputs"),
    [("nms", False, 200), ("nms", True, 3), ("linear", True, 200), ("gaussian", False, 3)],
)
def test_suppressions_equal_the_custom_op(rng, name, own_boxes, max_outputs):
    boxes = random_boxes(rng, 40 * (3 if own_boxes else 1)).reshape(2, 40, -1, 4)
    boxes[:, :4] = ODD_BOXES[:, :4, None]
    scores = np.round(rng.uniform(0, 1, (2, 40, 3)), 1).astype(np.float32)  # with equal ones
    scores[1, :, 0] = np.nan
    settings = {"iou_threshold": 0.4, "score_threshold": 0.15, "max_outputs": max_outputs}
    result = assert_compiled_equals_custom(
        lambda boxes, scores, implementation: SUPPRESSIONS[name](
            boxes, scores, implementation=implementation, **settings
        ),
        tf.constant(boxes),
        tf.constant(scores),
    )
    assert np.all(result.count >= 3)


def test_nms_of_negative_scores_and_of_nothing(rng):
    boxes = tf.constant(random_boxes(rng, 20)[:, :, None])
    for scores in (rng.standard_normal((2, 20, 2)), np.full((2, 20, 2), -np.inf)):
        assert_compiled_equals_custom(
            lambda boxes, scores, implementation: batched_nms(
                boxes,
                scores,
                iou_threshold=0.3,
                score_threshold=-float("inf"),
                max_outputs=50,
                implementation=implementation,
            ),
            boxes,
            tf.constant(scores, tf.float32),
            signature=(unknown(boxes), unknown(tf.constant(scores, tf.float32))),
        )


def test_mask_targets_equal_the_custom_op(rng):
    masks = tf.constant(np.packbits(rng.integers(0, 2, (2, 3, 40, 48)).astype(bool), axis=-1))
    boxes = np.concatenate([random_boxes(rng, 9) / 3, ODD_BOXES], axis=1)
    index, valid = rng.integers(0, 3, (2, 17)).astype(np.int32), rng.uniform(size=(2, 17)) < 0.8

    def cut(masks, image_size, boxes, implementation):
        return crop_masks(
            masks, image_size, boxes, index, valid, output_size=7, implementation=implementation
        )

    targets = assert_compiled_equals_custom(cut, masks, tf.constant([[40, 48], [33, 41]]), tf.constant(boxes))
    assert 0.1 < tf.reduce_mean(targets) < 0.9


REFUSED = {
    "paste_masks": lambda: paste_masks(tf.ones([1, 4, 4]), tf.ones([1, 4]), (8, 8)),
    "resize_and_pad": lambda: resize_and_pad(tf.zeros([8, 8, 3], tf.uint8), (4, 4)),
    "deformable_conv2d": lambda: deformable_conv2d(
        tf.zeros([1, 4, 4, 2]), tf.zeros([1, 4, 4, 18]), tf.zeros([3, 3, 2, 2])
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_ops_of_changing_sizes_are_refused(name):
    REFUSED[name]()
    with pytest.raises(ValueError, match=f"^{name}: XLA cannot compile it"):
        tf.function(REFUSED[name], jit_compile=True, autograph=False)()


def test_custom_is_refused(rng):
    with pytest.raises(library.LibraryError, match="use implementation='auto' or 'tensorflow'"):
        tf.function(POOLINGS["roi_align"], jit_compile=True, autograph=False)(
            pyramid(rng), random_boxes(rng, 3), implementation="custom"
        )


def test_what_is_compiled_is_told_apart():
    seen = []

    @tf.function
    def inner(x):
        seen.append(library.under_xla())
        return x

    @tf.function(jit_compile=True)
    def compiled(x):
        return tf.cond(x > 0, lambda: inner(x), lambda: x)

    inner(tf.constant(1))
    compiled(tf.constant(1.0))
    assert seen == [False, True]
    assert not library.under_xla()


def test_a_keras_model_trains_in_a_compiled_step(rng):
    """The same step with and without XLA, through the layer."""
    images = keras.Input((32, 32, 3), batch_size=2)
    boxes = keras.Input((5, 4), batch_size=2)
    features = keras.layers.Conv2D(8, 3, strides=4, padding="same")(images)
    pooled = ROIAlign(3, strides=(4,))({"P2": features}, boxes)
    model = keras.Model([images, boxes], keras.layers.Dense(2)(keras.layers.Flatten()(pooled)))
    inputs = [tf.constant(rng.standard_normal((2, 32, 32, 3)), tf.float32)]
    inputs.append(tf.constant(random_boxes(rng, 5) / 4))

    def gradients(inputs):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(model(inputs, training=True) ** 2)
        return tape.gradient(loss, [variable.value for variable in model.trainable_variables])

    for result, expected in zip(
        tf.function(gradients, jit_compile=True)(inputs), gradients(inputs), strict=True
    ):
        np.testing.assert_allclose(result, expected, rtol=1e-4, atol=TOLERANCE)


def test_keras_says_that_it_compiles_no_model_with_these_layers(rng):
    """Keras turns XLA on by itself where all layers allow it; boxes come in changing numbers."""
    features = keras.Input((8, 8, 4))
    boxes = keras.Input((None, 4))
    model = keras.Model([features, boxes], ROIAlign(2, strides=(4,))({"P2": features}, boxes))
    model.compile(loss="mse")
    assert not model.jit_compile
    with pytest.warns(UserWarning, match="doesn't support `jit_compile=True`"):
        model.compile(loss="mse", jit_compile=True)
    assert (
        model.evaluate(
            [np.ones((2, 8, 8, 4), np.float32), random_boxes(rng, 3)], np.zeros((2, 3, 2, 2, 4)), verbose=0
        )
        >= 0
    )
