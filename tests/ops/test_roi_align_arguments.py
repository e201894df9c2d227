"""What RoIAlign refuses, in Python and in the kernel itself."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.ops import library, roi_align

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
        ((1, 0, 8, 3), (1, 2, 4), (1, 2), [4], "h, w, C >= 1"),
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
