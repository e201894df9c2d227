"""Resizing, mirroring and padding at once: C++ op = TensorFlow twin = NumPy reference, to the bit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.ops import shortest_edge_size
from cascade_tf.ops.resize_and_pad import resize_and_pad
from tests.reference import resize as reference

GOLDEN = Path(__file__).parents[1] / "golden" / "resize.npz"
IMPLEMENTATIONS = ["custom", "tensorflow"]
# Pillow computes with 8-bit weights, the ops in float32: a value near .5 may round to the other side.
GREY_LEVELS = 1


def random_image(rng, height, width):
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_equals_pillow(implementation):
    with np.load(GOLDEN) as golden:
        for case in json.loads(bytes(golden["cases_json"]).decode()):
            image, expected = golden[f"case{case['case']}/input"], golden[f"case{case['case']}/output"]
            size = shortest_edge_size(*image.shape[:2], case["short"], case["max_size"])
            resized = resize_and_pad(image, size, multiple=1, implementation=implementation)
            assert resized.shape == expected.shape
            assert np.abs(resized.numpy().astype(int) - expected).max() <= GREY_LEVELS


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(
    ("old", "new", "multiple"),
    [
        ((12, 16), (20, 27), 8),
        ((30, 20), (9, 7), 4),
        ((9, 31), (33, 8), 1),  # larger along one axis, smaller along the other
        ((7, 9), (7, 9), 32),
        ((7, 9), (14, 3), 5),  # every pixel falls onto pixels or between two
        ((1, 1), (3, 5), 1),
        ((1, 40), (1, 13), 2),
        ((23, 1), (1, 1), 3),
    ],
)
def test_equals_reference(rng, old, new, multiple, flip, implementation):
    image = random_image(rng, *old)
    expected = reference.resize_and_pad(image, new, flip, multiple)
    resized = resize_and_pad(image, new, flip=flip, multiple=multiple, implementation=implementation)
    assert resized.dtype == tf.uint8
    np.testing.assert_array_equal(resized, expected)


def test_both_implementations_agree_on_large_images(rng):
    """Ratios such as 5 : 3 make many values of exactly a half, which every rounding decides."""
    cases = [((480, 640), (800, 1067)), ((427, 640), (800, 1199)), ((800, 601), (333, 250))]
    cases += [tuple(map(tuple, rng.integers(50, 700, (2, 2)).tolist())) for _ in range(10)]
    for number, (old, new) in enumerate(cases):
        image, flip = random_image(rng, *old), bool(number % 2)
        custom, twin = (resize_and_pad(image, new, flip=flip, implementation=i) for i in IMPLEMENTATIONS)
        np.testing.assert_array_equal(custom, twin)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_extreme_values_stay(implementation):
    for value in (0, 255):
        image = np.full((50, 70, 3), value, np.uint8)
        for size in ((50, 70), (83, 117), (13, 19)):
            resized = resize_and_pad(image, size, multiple=1, implementation=implementation).numpy()
            assert (resized == value).all()


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_one_trace_for_all_sizes_and_both_sides(rng, implementation):
    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, 3], tf.uint8),
            tf.TensorSpec([2], tf.int32),
            tf.TensorSpec([], tf.bool),
        ]
    )
    def resize(image, size, flip):
        return resize_and_pad(image, size, flip=flip, multiple=16, implementation=implementation)

    assert resize.get_concrete_function().output_shapes.as_list() == [None, None, 3]
    for old, new, flip in [((10, 14), (17, 23), True), ((31, 8), (16, 4), False), ((5, 5), (5, 5), True)]:
        image = random_image(rng, *old)
        np.testing.assert_array_equal(
            resize(image, np.int32(new), flip), reference.resize_and_pad(image, new, flip, 16)
        )


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize(("old", "new"), [((0, 4), (3, 3)), ((4, 4), (0, 3)), ((4, 4), (3, -1))])
def test_empty_images_and_sizes_are_refused(old, new, implementation):
    with pytest.raises(tf.errors.InvalidArgumentError):
        resize_and_pad(np.zeros((*old, 3), np.uint8), new, implementation=implementation)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_wrong_arguments(implementation):
    image = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(ValueError, match="multiple must be at least 1, got 0"):
        resize_and_pad(image, (3, 3), multiple=0, implementation=implementation)
    with pytest.raises(TypeError, match="image must be uint8, got float32"):
        resize_and_pad(image.astype(np.float32), (3, 3), implementation=implementation)
    with pytest.raises(ValueError, match=r"image must be \[H, W, 3\], got \(4, 4, 1\)"):
        resize_and_pad(image[..., :1], (3, 3), implementation=implementation)


def test_an_unknown_implementation():
    with pytest.raises(ValueError, match="implementation must be one of"):
        resize_and_pad(np.zeros((4, 4, 3), np.uint8), (3, 3), implementation="fast")
