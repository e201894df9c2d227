"""What holds for RoIPool, position-sensitive pooling and the grid RoIAlign alike."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.ops import grid_roi_align, library, ps_roi_pool, roi_pool

IMPLEMENTATIONS = ["custom", "tensorflow"]
STRIDE = 8
# float32 sums in another order.
TOLERANCE = 1e-5


class Op(NamedTuple):
    """A pooling op on one map."""

    name: str
    call: Callable
    pad: dict  # a setting that not all of them have

    def __call__(self, features, boxes, stride=STRIDE, output_size=(3, 2), **settings):
        return self.call(features, boxes, stride=stride, output_size=output_size, **settings)

    def channels_of_result(self, channels):
        return channels // 6 if self.call is ps_roi_pool else channels


def grid_on_one_map(features, boxes, *, stride, **settings):
    return grid_roi_align([features], boxes, strides=[stride], **settings)


OPS = [
    Op("roi_pool", roi_pool, {"pad_ratio": 0.25}),
    Op("ps_roi_pool", ps_roi_pool, {}),
    Op("grid_roi_align", grid_on_one_map, {"pad_ratio": 0.25}),
]

of_every_op = pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
of_every_implementation = pytest.mark.parametrize("implementation", IMPLEMENTATIONS)


@pytest.fixture
def features(rng):
    return rng.standard_normal((2, 9, 11, 36)).astype(np.float32)


def random_boxes(rng, count):
    corner = rng.uniform(-20, 80, (2, count, 2))
    return np.concatenate([corner, corner + np.exp(rng.uniform(0, 4.5, (2, count, 2)))], -1).astype(
        np.float32
    )


def pool_with_gradient(op, features, boxes, upstream=None, **settings):
    features = tf.convert_to_tensor(features)
    with tf.GradientTape() as tape:
        tape.watch(features)
        pooled = op(features, boxes, **settings)
    upstream = tf.ones_like(pooled) if upstream is None else tf.convert_to_tensor(upstream)
    return pooled, tape.gradient(pooled, features, upstream)


@of_every_implementation
@of_every_op
def test_the_same_pixels_give_the_same_result_in_either_notation(rng, features, op, implementation):
    # Quarters, so that adding 1 is exact.
    last_pixels = np.round(random_boxes(rng, 30) * 4) / 4
    far_edges = last_pixels + np.float32([0, 0, 1, 1])
    for settings in ({}, op.pad):
        settings = {"implementation": implementation, **settings}
        inclusive = op(features, last_pixels, inclusive_boxes=True, **settings)
        np.testing.assert_array_equal(op(features, far_edges, **settings), inclusive)
        np.testing.assert_array_equal(op(features, far_edges, inclusive_boxes=False, **settings), inclusive)
        assert np.any(op(features, far_edges, inclusive_boxes=True, **settings) != inclusive)


@of_every_implementation
@of_every_op
def test_unusable_boxes_give_zeros_and_leave_others_alone(rng, op, implementation):
    features = rng.standard_normal((1, 9, 11, 36)).astype(np.float32)
    nan, inf, huge = np.nan, np.inf, np.float32(3e38)
    good = [8.0, 8.0, 40.0, 30.0]
    bad = [
        [nan, 8, 40, 30],
        [8, 8, inf, 30],
        [-inf, -inf, inf, inf],
        [-huge, -huge, huge, huge],
        [nan] * 4,
        [0, 0, 2.0**31, 2.0**31],
        [-(2.0**30), 0, 40, 40],
    ]
    pooled, gradient = pool_with_gradient(
        op, features, np.float32([[good, *bad, good]]), implementation=implementation, **op.pad
    )
    np.testing.assert_array_equal(pooled[0, 1:-1], np.zeros_like(pooled[0, 1:-1]))
    expected, expected_gradient = pool_with_gradient(
        op, features, np.float32([[good, good]]), implementation=implementation, **op.pad
    )
    np.testing.assert_array_equal(pooled.numpy()[:, [0, -1]], expected)
    assert np.any(expected != 0)
    np.testing.assert_allclose(gradient, expected_gradient, atol=TOLERANCE)


@of_every_op
def test_both_implementations_agree_on_odd_boxes(features, op):
    odd = [
        [20, 20, 20, 20],  # a point
        [20, 20, 21, 21],  # a pixel
        [20, 20, 20, 50],  # a line
        [60, 40, 20, 10],  # flipped
        [40, 10, 20, 50],  # flipped in x
        [-90, -90, -60, -60],  # outside
        [88, 72, 120, 90],  # touches the corner
        [-8, -8, 104, 72],  # larger than the map
        [-900, -700, 900, 700],  # much larger
        [-8e6, -8e6, 8e6, 8e6],  # at the limit
        [87.9, 71.9, 88, 72],  # tiny, in the corner
        [3.5, 4.5, 11.5, 12.5],  # halves
        [-4, -12, 4.5, 12],
        [0, 0, 0, 0],  # padding
    ]
    boxes = np.float32([odd, odd[::-1]])
    custom, twin = (
        pool_with_gradient(op, features, boxes, implementation=one, output_size=(2, 3))
        for one in IMPLEMENTATIONS
    )
    np.testing.assert_allclose(custom[0], twin[0], atol=TOLERANCE)
    np.testing.assert_allclose(custom[1], twin[1], atol=1e-4, rtol=1e-5)
    assert np.all(np.isfinite(custom[0]))


@of_every_implementation
@of_every_op
@pytest.mark.parametrize(("batch", "count"), [(2, 0), (0, 5), (0, 0)])
def test_no_boxes_or_images(batch, count, op, implementation):
    features = np.ones((batch, 4, 5, 12), np.float32)
    boxes = np.zeros((batch, count, 4), np.float32)
    pooled, gradient = pool_with_gradient(op, features, boxes, implementation=implementation)
    assert pooled.shape == (batch, count, 3, 2, op.channels_of_result(12))
    np.testing.assert_array_equal(gradient, np.zeros_like(features))


@of_every_implementation
@of_every_op
def test_smallest_map(op, implementation):
    features = np.full((1, 1, 1, 6), 3, np.float32)
    pooled = op(features, np.float32([[[0, 0, 4, 4]]]), implementation=implementation)
    np.testing.assert_allclose(pooled, np.full(pooled.shape, 3), rtol=1e-6)


@of_every_implementation
@of_every_op
def test_boxes_get_no_gradient(rng, features, op, implementation):
    boxes = tf.constant(random_boxes(rng, 3))
    with tf.GradientTape() as tape:
        tape.watch(boxes)
        pooled = op(features, boxes, implementation=implementation)
    assert tape.gradient(pooled, boxes) is None


@of_every_implementation
@of_every_op
def test_unknown_shapes_in_a_graph(rng, features, op, implementation):
    boxes = random_boxes(rng, 5)

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 36]), tf.TensorSpec([None, None, 4])])
    def pool_and_differentiate(maps, rois):
        with tf.GradientTape() as tape:
            tape.watch(maps)
            pooled = op(maps, rois, implementation=implementation)
        assert pooled.shape.as_list() == [None, None, 3, 2, op.channels_of_result(36)]
        return pooled, tape.gradient(pooled, maps)

    for count, height in ((5, 9), (2, 4)):
        arguments = features[:, :height], boxes[:, :count]
        pooled, gradient = pool_and_differentiate(*map(tf.constant, arguments))
        eager, eager_gradient = pool_with_gradient(op, *arguments, implementation=implementation)
        np.testing.assert_allclose(pooled, eager, atol=TOLERANCE)
        np.testing.assert_allclose(gradient, eager_gradient, atol=1e-4)


@of_every_implementation
@of_every_op
def test_everything_unknown_but_the_rank(rng, features, op, implementation):
    boxes = random_boxes(rng, 5)

    @tf.function(input_signature=[tf.TensorSpec([None] * 4), tf.TensorSpec([None] * 3)])
    def pool(maps, rois):
        pooled = op(maps, rois, implementation=implementation)
        assert pooled.shape.as_list() == [None, None, 3, 2, None]
        return pooled

    expected = op(features, boxes, implementation=implementation)
    np.testing.assert_allclose(pool(tf.constant(features), tf.constant(boxes)), expected, atol=TOLERANCE)


@of_every_op
def test_twin_graph_is_small_and_of_core_ops(op):
    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 36]), tf.TensorSpec([None, None, 4])])
    def pool(maps, rois):
        return op(maps, rois, implementation="tensorflow", **op.pad)

    graph = pool.get_concrete_function().graph.as_graph_def()
    names = [node.op for node in graph.node] + [n.op for f in graph.library.function for n in f.node_def]
    assert len(names) < 530
    assert not [name for name in names if "Cascade" in name or "PyFunc" in name]


@of_every_op
def test_saved_model_of_the_twin(rng, features, op, tmp_path):
    boxes = random_boxes(rng, 4)
    module = tf.Module()
    module.pool = tf.function(
        lambda maps, rois: op(maps, rois, implementation="tensorflow"),
        input_signature=[tf.TensorSpec([None, None, None, 36]), tf.TensorSpec([None, None, 4])],
    )
    tf.saved_model.save(module, tmp_path)
    loaded = tf.saved_model.load(tmp_path).pool(tf.constant(features), tf.constant(boxes))
    np.testing.assert_allclose(loaded, op(features, boxes, implementation="custom"), atol=TOLERANCE)


@of_every_implementation
@of_every_op
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_low_precision_rounds_the_float32_result_once(rng, features, dtype, op, implementation):
    low, boxes = tf.cast(features, dtype), random_boxes(rng, 9) + np.float32(0.123)
    upstream = tf.cast(rng.standard_normal(op(features, boxes).shape), dtype)
    pooled, gradient = pool_with_gradient(op, low, boxes, upstream, implementation=implementation)
    assert pooled.dtype == gradient.dtype == tf.as_dtype(dtype)
    exact, exact_gradient = pool_with_gradient(
        op, tf.cast(low, tf.float32), boxes, tf.cast(upstream, tf.float32), implementation=implementation
    )
    np.testing.assert_array_equal(pooled, tf.cast(exact, dtype))
    np.testing.assert_array_equal(gradient, tf.cast(exact_gradient, dtype))


@of_every_op
@pytest.mark.parametrize(("dtype", "cast"), [("float32", False), ("bfloat16", False), ("float16", True)])
def test_maps_of_the_kernels_types_are_not_cast(dtype, cast, op):
    @tf.function(input_signature=[tf.TensorSpec([1, 8, 8, 6], dtype)])
    def pool(maps):
        with tf.GradientTape() as tape:
            tape.watch(maps)
            pooled = op(maps, tf.constant([[[1.0, 1, 5, 5]]]), implementation="custom")
        return tape.gradient(pooled, maps)

    casts = [one for one in pool.get_concrete_function().graph.get_operations() if one.type == "Cast"]
    assert any(one.outputs[0].shape.rank >= 4 for one in casts) == cast


@of_every_implementation
@of_every_op
def test_overlapping_gradients_are_exact_and_repeatable(op, implementation):
    # Thousands of additions to the same few cells: an unlocked sum would lose some.
    features = np.random.default_rng(1).standard_normal((1, 6, 6, 36)).astype(np.float32)
    boxes = np.tile(np.float32([4, 4, 30, 30]), (1, 2000, 1))
    runs = [pool_with_gradient(op, features, boxes, implementation=implementation) for _ in range(3)]
    total = np.prod(runs[0][0].shape)
    np.testing.assert_allclose(runs[0][1].numpy().astype(np.float64).sum(), total, rtol=1e-4)
    np.testing.assert_array_equal(runs[0][1], runs[1][1])
    np.testing.assert_array_equal(runs[0][1], runs[2][1])


BOXES = np.zeros((2, 3, 4), np.float32)
MAP = np.zeros((2, 8, 8, 12), np.float32)


@of_every_op
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stride": 0}, "stride must be a positive number of pixels, got 0"),
        ({"stride": np.inf}, "stride must be a positive number of pixels, got inf"),
        ({"output_size": 0}, "output_size must be one or two positive integers, got"),
        ({"output_size": (7, 7, 7)}, "output_size must be one or two positive integers, got"),
        ({"boxes": BOXES[0]}, r"boxes must be \[B, R, 4\], got \(3, 4\)"),
        ({"boxes": np.zeros((2, 3, 5))}, r"boxes must be \[B, R, 4\], got \(2, 3, 5\)"),
        ({"boxes": BOXES[:1]}, "1 images in boxes, 2 in features"),
        ({"features": MAP[0]}, r"features must be floating \[B, h, w, C\], got float32 \(8, 8, 12\)"),
        ({"features": MAP.astype(np.int32)}, "features must be floating .* got int32"),
        ({"implementation": "cuda"}, "implementation must be one of"),
    ],
)
def test_wrong_arguments(changes, message, op):
    prefix = "" if "implementation" in changes else f"{op.name}: "
    with pytest.raises(ValueError, match=prefix + message):
        op(**{"features": MAP, "boxes": BOXES, **changes})


@pytest.mark.parametrize("op", [op for op in OPS if op.pad], ids=lambda op: op.name)
@pytest.mark.parametrize("pad_ratio", [-0.1, np.nan, np.inf])
def test_wrong_pad_ratio(pad_ratio, op):
    with pytest.raises(ValueError, match=f"{op.name}: pad_ratio must be 0 or a positive share, got"):
        op(MAP, BOXES, pad_ratio=pad_ratio)


def kernel(op, features, boxes, levels=(1, 2), **changes):
    """The generated function itself, without the checks in Python."""
    settings = {"stride": 8.0, "output_height": 2, "output_width": 2, "inclusive_boxes": False}
    ops = library.load()
    if op.name == "ps_roi_pool":
        return ops.cascade_tf_ps_roi_pool(features=features, boxes=boxes, **settings | changes)
    settings["pad_ratio"] = 0.0
    if op.name == "roi_pool":
        return ops.cascade_tf_roi_pool(features=features, boxes=boxes, **settings | changes)
    settings = settings | changes
    settings["strides"] = [settings.pop("stride")]
    levels = tf.zeros(levels, tf.int32)
    return ops.cascade_tf_grid_roi_align(
        features=[features], boxes=boxes, levels=levels, average=True, **settings
    )


@of_every_op
@pytest.mark.parametrize(
    ("features", "boxes", "changes", "message"),
    [
        ((8, 8, 4), (1, 2, 4), {}, r"features must be \[1, h, w, C\] with h, w, C >= 1, got \[8,8,4\]"),
        ((1, 8, 8, 4), (2, 4), {}, r"boxes must be \[B, R, 4\], got \[2,4\]"),
        ((1, 8, 8, 4), (1, 2, 5), {}, r"boxes must be \[B, R, 4\], got \[1,2,5\]"),
        ((2, 8, 8, 4), (1, 2, 4), {}, r"features must be \[1, h, w, C\]"),
        ((1, 0, 8, 4), (1, 2, 4), {}, "h, w, C >= 1, got"),
        ((1, 8, 8, 4), (1, 2, 4), {"stride": -1.0}, "stride must be positive, got -1"),
        ((1, 8, 8, 4), (1, 2, 4), {"stride": float("nan")}, "stride must be positive, got nan"),
        (
            (1, 8, 8, 4),
            (1, 2, 4),
            {"output_height": 2**31 - 1, "output_width": 2**31 - 1},
            "overflow|too many|too large|multiple of",
        ),
    ],
)
def test_the_kernel_itself_checks_its_inputs(features, boxes, changes, message, op):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        kernel(op, tf.zeros(features), tf.zeros(boxes), **changes)


@pytest.mark.parametrize("op", [op for op in OPS if op.pad], ids=lambda op: op.name)
def test_the_kernel_itself_checks_the_padding(op):
    for pad_ratio in (-1.0, float("nan")):
        with pytest.raises(tf.errors.InvalidArgumentError, match="pad_ratio must be at least 0, got"):
            kernel(op, tf.zeros([1, 8, 8, 4]), tf.zeros([1, 2, 4]), pad_ratio=pad_ratio)


def test_kernels_check_channels_and_levels():
    _, position_sensitive, grid = OPS
    with pytest.raises(tf.errors.InvalidArgumentError, match="channels must be a multiple of 4, got 6"):
        kernel(position_sensitive, tf.zeros([1, 8, 8, 6]), tf.zeros([1, 2, 4]))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"levels must be \[B, R\] as boxes"):
        kernel(grid, tf.zeros([1, 8, 8, 4]), tf.zeros([1, 2, 4]), levels=(1, 3))


def gradient_kernel(op, upstream, shape, boxes=(1, 2, 4)):
    ops = library.load()
    common = {"upstream": tf.zeros(upstream), "boxes": tf.zeros(boxes), "inclusive_boxes": False}
    if op.name == "roi_pool":
        return ops.cascade_tf_roi_pool_grad(features=tf.zeros(shape), stride=8.0, pad_ratio=0.0, **common)
    if op.name == "ps_roi_pool":
        return ops.cascade_tf_ps_roi_pool_grad(features_shape=tf.constant(shape), stride=8.0, **common)
    return ops.cascade_tf_grid_roi_align_grad(
        feature_shapes=[tf.constant(shape)],
        levels=tf.zeros([1, 2], tf.int32),
        strides=[8.0],
        average=True,
        pad_ratio=0.0,
        **common,
    )


@of_every_op
@pytest.mark.parametrize(
    ("upstream", "shape", "message"),
    [
        ((1, 2, 2, 2), [1, 8, 8, 4], "upstream must be .* got"),
        ((1, 3, 2, 2, 4), [1, 8, 8, 4], "upstream must be .* got"),
        ((1, 2, 2, 2, 4), [1, 8, 8, 5], "upstream must be|as many channels|must be .1, h, w, 4."),
        ((1, 2, 2, 2, 4), [2, 8, 8, 4], r"features must be \[1, h, w, C\]"),
        ((1, 2, 2, 2, 4), [1, 8, 0, 4], "h, w, C >= 1"),
        # No elements; with the boxes' number in place of the 0 they could not be counted.
        ((1, 0, 2**29, 2**29, 4), [1, 8, 8, 4], "upstream must be .* got"),
    ],
)
def test_the_gradient_kernel_checks_its_inputs(upstream, shape, message, op):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        gradient_kernel(op, upstream, shape)


@pytest.mark.parametrize("op", OPS[1:], ids=lambda op: op.name)
@pytest.mark.parametrize(
    ("shape", "message"), [([1, -8, 8, 4], "< 0|must be >= 0|negative"), ([[1, 8, 8, 4]], "vector")]
)
def test_shapes_are_not_trusted(shape, message, op):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        gradient_kernel(op, (1, 2, 2, 2, 4), shape)


@of_every_op
def test_shape_function_rejects_what_is_wrong_while_the_graph_is_built(op):
    call = functools.partial(kernel, op)
    with tf.Graph().as_default(), pytest.raises(ValueError, match="must be rank 4"):
        call(tf.zeros([8, 8, 4]), tf.zeros([1, 2, 4]))
    with tf.Graph().as_default(), pytest.raises(ValueError, match="must be equal"):
        call(tf.zeros([3, 8, 8, 4]), tf.zeros([1, 2, 4]))
    with tf.Graph().as_default(), pytest.raises(ValueError, match="must be 4"):
        call(tf.zeros([1, 8, 8, 4]), tf.zeros([1, 2, 5]))
    with tf.Graph().as_default():
        unknown = tf.compat.v1.placeholder(tf.float32, [None, None, None, 4])
        classes = 1 if op.name == "ps_roi_pool" else 4
        assert call(unknown, tf.zeros([1, 2, 4])).shape.as_list() == [1, 2, 2, 2, classes]
