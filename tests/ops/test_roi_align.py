"""RoIAlign: C++ op = TensorFlow twin = NumPy reference = arrays recorded from detectron2."""

from __future__ import annotations

import re

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.ops import assign_levels, library, roi_align, roi_align_in_turn
from tests.golden import recordings
from tests.reference import roi_align as reference

IMPLEMENTATIONS = ["custom", "tensorflow"]
# The twin computes positions in normalised coordinates: a rounding error of 1e-5 cells times the slope of the
# map.
TOLERANCE = 1e-4
STRIDES = (4, 8, 16)


def channels_last(array):
    return np.moveaxis(array, -3, -1)


def pool_with_gradient(features, boxes, upstream, **settings):
    features = [tf.constant(feature) for feature in features]
    with tf.GradientTape() as tape:
        tape.watch(features)
        pooled = roi_align(features, boxes, **settings)
        loss = tf.reduce_sum(pooled * upstream)
    return pooled, tape.gradient(loss, features)


def pyramid(rng, batch=2, size=(64, 96), channels=3, strides=STRIDES):
    return [
        rng.standard_normal((batch, size[0] // s, size[1] // s, channels)).astype(np.float32) for s in strides
    ]


def random_boxes(rng, batch, count, size=(64, 96)):
    corner = rng.uniform(-20, 1, (batch, count, 2)) * 1.0 + rng.uniform(0, 1, (batch, count, 2)) * size[::-1]
    extent = np.exp(rng.uniform(0, 4.5, (batch, count, 2)))
    return np.concatenate([corner, corner + extent], axis=-1).astype(np.float32)


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


BOXES = np.zeros((2, 3, 4), np.float32)
MAPS = [np.zeros((2, 8, 8, 3), np.float32), np.zeros((2, 4, 4, 3), np.float32)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": []}, "one or more levels and as many strides, got 0 and 2"),
        ({"strides": (4,)}, "one or more levels and as many strides, got 2 and 1"),
        ({"strides": (4, -8)}, "stride must be a positive number of pixels, got -8"),
        ({"output_size": 0}, "output_size must be one or two positive integers"),
        ({"output_size": (7, 7, 7)}, "output_size must be one or two positive integers"),
        ({"sampling_ratio": -1}, "sampling_ratio must be 0"),
        ({"sampling_ratio": 257}, "whole number of at most 256, got 257"),
        ({"boxes": np.zeros((3, 4), np.float32)}, r"boxes must be \[B, R, 4\], got \(3, 4\)"),
        ({"boxes": np.zeros((2, 3, 5), np.float32)}, r"boxes must be \[B, R, 4\]"),
        ({"boxes": np.zeros((1, 3, 4), np.float32)}, "1 images in boxes, 2 in features"),
        ({"features": [MAPS[0], MAPS[1][..., :2]]}, "levels must agree in channels"),
        ({"features": [MAPS[0], MAPS[1][0]]}, r"features must be floating \[B, h, w, C\]"),
        ({"features": [m.astype(np.int32) for m in MAPS]}, "features must be floating"),
        ({"levels": np.zeros((2, 4), np.int32)}, r"levels must be \[B, R\]"),
        (
            {"map_sizes": np.ones((2, 3), np.int32)},
            r"map_sizes must be \[B, L, 2\], got \(2, 3\) for 2 levels",
        ),
        ({"implementation": "cuda"}, "implementation must be one of"),
    ],
)
def test_wrong_arguments(changes, message):
    arguments = {"features": MAPS, "boxes": BOXES, "strides": (4, 8), "output_size": 7, **changes}
    with pytest.raises(ValueError, match=message):
        roi_align(**arguments)


def custom_forward(features, boxes, levels, strides=(4.0,), map_sizes=()):
    return library.load().cascade_tf_roi_align(
        features=features,
        boxes=boxes,
        levels=levels,
        map_sizes=tf.constant(map_sizes, tf.int32),
        strides=list(strides),
        output_height=2,
        output_width=2,
        sampling_ratio=2,
        aligned=True,
    )


@pytest.mark.parametrize(
    ("features", "boxes", "levels", "strides", "message"),
    [
        ((8, 8, 3), (1, 2, 4), (1, 2), [4], r"features must be \[B, h, w, C\]"),
        ((1, 8, 8, 3), (2, 4), (1, 2), [4], r"boxes must be \[B, R, 4\]"),
        ((1, 8, 8, 3), (1, 2, 5), (1, 2), [4], r"boxes must be \[B, R, 4\]"),
        ((1, 8, 8, 3), (1, 2, 4), (1, 3), [4], r"levels must be \[B, R\]"),
        ((2, 8, 8, 3), (1, 2, 4), (1, 2), [4], r"features must be \[1, h, w, 3\]"),
        ((1, 0, 8, 3), (1, 2, 4), (1, 2), [4], "h, w >= 1"),
        ((1, 8, 8, 3), (1, 2, 4), (1, 2), [4, 8], "1 levels need as many strides, got 2"),
        ((1, 8, 8, 3), (1, 2, 4), (1, 2), [0], "strides must be positive"),
    ],
)
def test_the_kernel_itself_checks_its_inputs(features, boxes, levels, strides, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        custom_forward([tf.zeros(features)], tf.zeros(boxes), tf.zeros(levels, tf.int32), strides)


@pytest.mark.parametrize("sizes", [[[1, 1]], [[[1, 1], [1, 1]]], [[[1, 1]]] * 2])
def test_the_kernel_itself_checks_the_sizes_of_maps(sizes):
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"map_sizes must be empty or \[1, 1, 2\]"):
        custom_forward(
            [tf.zeros([1, 8, 8, 3])], tf.zeros([1, 2, 4]), tf.zeros([1, 2], tf.int32), map_sizes=sizes
        )


def test_sizes_of_maps_never_exceed_the_maps():
    maps, boxes = [tf.ones([1, 8, 8, 3])], tf.constant([[[-9.0, -9, 60, 60]]])
    whole = custom_forward(maps, boxes, tf.zeros([1, 1], tf.int32))
    wild = custom_forward(maps, boxes, tf.zeros([1, 1], tf.int32), map_sizes=[[[2**31 - 1, 9]]])
    np.testing.assert_array_equal(wild, whole)
    assert np.isfinite(custom_forward(maps, boxes, tf.zeros([1, 1], tf.int32), map_sizes=[[[-7, 0]]])).all()


@pytest.mark.parametrize(
    ("upstream", "shape", "message"),
    [
        ((1, 2, 2, 2), [1, 8, 8, 3], "upstream must be"),
        ((1, 2, 2, 2, 3), [1, 8, 8, 4], r"features must be \[1, h, w, 3\]"),
        ((1, 2, 2, 2, 3), [1, -8, 8, 3], "< 0|must be >= 0|negative"),
        ((1, 2, 2, 2, 3), [[1, 8, 8, 3]], "feature_shapes must be vectors"),
    ],
)
def test_the_gradient_kernel_checks_its_inputs(upstream, shape, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        library.load().cascade_tf_roi_align_grad(
            upstream=tf.zeros(upstream),
            boxes=tf.zeros([1, 2, 4]),
            levels=tf.zeros([1, 2], tf.int32),
            map_sizes=tf.zeros([0], tf.int32),
            feature_shapes=[tf.constant(shape)],
            others=[],
            strides=[4.0],
            sampling_ratio=2,
            aligned=True,
        )


def gradient_beside(others, shape=(1, 8, 8, 3)):
    return library.load().cascade_tf_roi_align_grad(
        upstream=tf.ones([1, 2, 2, 2, 3], others[0].dtype),
        boxes=tf.constant([[[0.0, 0, 20, 20], [4, 4, 12, 30]]]),
        levels=tf.zeros([1, 2], tf.int32),
        map_sizes=tf.zeros([0], tf.int32),
        feature_shapes=[tf.constant(shape)],
        others=others,
        strides=[4.0],
        sampling_ratio=2,
        aligned=True,
    )


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
def test_a_gradient_from_elsewhere_is_added_to_and_stays(rng, dtype):
    other = tf.cast(rng.standard_normal((1, 8, 8, 3)), dtype)
    [alone] = gradient_beside([tf.zeros_like(other)])
    expected = tf.cast(other, tf.float32) + tf.cast(alone, tf.float32)
    tolerance = 1e-6 if dtype == tf.float32 else 0.05

    @tf.function
    def run(x):
        # A value that may be overwritten, and one that is read afterwards.
        mine, shared = x * 1.0, x * 2.0
        return gradient_beside([mine])[0], gradient_beside([shared])[0], shared

    before = other.numpy()
    for found in (gradient_beside([other])[0], run(other)[0]):
        np.testing.assert_allclose(tf.cast(found, tf.float32), expected, atol=tolerance)
        assert found.dtype == dtype
    np.testing.assert_array_equal(other, before)
    _, found, shared = run(other)
    np.testing.assert_array_equal(shared, other * 2)
    np.testing.assert_allclose(
        tf.cast(found - shared, tf.float32), tf.cast(alone, tf.float32), atol=4 * tolerance
    )


def test_gradients_from_elsewhere_must_fit():
    with pytest.raises(
        (ValueError, tf.errors.InvalidArgumentError), match="got 2 other gradients, expected none or 1"
    ):
        gradient_beside([tf.zeros([1, 8, 8, 3])] * 2)
    with pytest.raises(tf.errors.InvalidArgumentError, match="another gradient of shape"):
        gradient_beside([tf.zeros([1, 8, 7, 3])])


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


def test_the_kernel_survives_absurd_attributes():
    op, maps = library.load().cascade_tf_roi_align, [tf.zeros([1, 8, 8, 3])]
    inputs = {"features": maps, "boxes": tf.zeros([1, 2, 4]), "levels": tf.zeros([1, 2], tf.int32)}
    inputs["map_sizes"] = tf.zeros([0], tf.int32)
    settings = {"strides": [4.0], "aligned": True, "output_height": 2, "output_width": 2, "sampling_ratio": 2}
    with pytest.raises(tf.errors.InvalidArgumentError, match="sampling_ratio must be at most 256"):
        op(**inputs, **{**settings, "sampling_ratio": 2**31 - 1})
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"overflow|too many|too large"):
        op(**inputs, **{**settings, "output_height": 2**31 - 1, "output_width": 2**31 - 1})


def test_shape_function_rejects_wrong_ranks_while_the_graph_is_built():
    with tf.Graph().as_default(), pytest.raises(ValueError, match="must be rank 4"):
        custom_forward([tf.zeros([8, 8, 3])], tf.zeros([1, 2, 4]), tf.zeros([1, 2], tf.int32))
    with tf.Graph().as_default(), pytest.raises(ValueError, match="must be equal"):
        custom_forward([tf.zeros([3, 8, 8, 3])], tf.zeros([1, 2, 4]), tf.zeros([1, 2], tf.int32))
    with tf.Graph().as_default():
        unknown = tf.compat.v1.placeholder(tf.float32, [None, None, None, 3])
        pooled = custom_forward([unknown], tf.zeros([1, 2, 4]), tf.zeros([1, 2], tf.int32))
        assert pooled.shape.as_list() == [1, 2, 2, 2, 3]


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
