from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.ops import pad_images, resize_image, resize_part, shortest_edge_size
from cascade_tf.ops.resize import network_size

GOLDEN = Path(__file__).parents[1] / "golden" / "resize.npz"
# Pillow computes with 8-bit weights, TensorFlow in float32: a value near .5 may round to the other side.
GREY_LEVELS = 1.0


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as file:
        return {key: file[key] for key in file.files}


def test_equals_pillow(golden):
    for case in json.loads(bytes(golden["cases_json"]).decode()):
        image, expected = golden[f"case{case['case']}/input"], golden[f"case{case['case']}/output"]
        size = shortest_edge_size(*image.shape[:2], case["short"], case["max_size"])
        resized = resize_image(image, size)
        assert resized.dtype == tf.float32
        assert resized.shape == expected.shape
        difference = np.abs(resized.numpy() - expected)
        assert difference.max() <= GREY_LEVELS
        assert difference.mean() < 0.3
        np.testing.assert_array_equal(resized, np.round(resized))


@pytest.mark.parametrize("short_side", [640, 800])
def test_sizes_equal_detectron2(golden, short_side):
    for size, expected in zip(
        golden["shape/input_hw"], golden[f"shape/output_hw_{short_side}_1333"], strict=True
    ):
        assert [int(side) for side in shortest_edge_size(*size, short_side, 1333)] == expected.tolist()


@pytest.mark.parametrize(
    ("size", "short", "limit", "expected"),
    [
        ((480, 640), 800, 1333, (800, 1067)),
        ((640, 480), 800, 1333, (1067, 800)),
        ((100, 1000), 800, 1333, (133, 1333)),
        ((500, 500), 600, 1000, (600, 600)),
        ((1, 5000), 600, 1000, (1, 1000)),  # never zero
    ],
)
def test_sizes_by_hand(size, short, limit, expected):
    assert tuple(int(side) for side in shortest_edge_size(*size, short, limit)) == expected


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((480, 640), (608, 800)),
        ((375, 500), (608, 800)),
        ((640, 427), (896, 608)),
        ((333, 500), (608, 896)),
        ((300, 900), (608, 992)),  # 600 x 1800: one side is limited, the other stays
        ((4, 2000), (608, 992)),
    ],
)
def test_sizes_of_which_each_is_rounded_by_itself(size, expected):
    assert tuple(int(side) for side in shortest_edge_size(*size, 600, 1000, multiple=32)) == expected
    small = shortest_edge_size(*size, 10, 1000, multiple=32)
    assert min(int(side) for side in small) == 32


def test_size_inside_a_graph():
    @tf.function(input_signature=[tf.TensorSpec([], tf.int32)] * 2)
    def size(height, width):
        return shortest_edge_size(height, width, 800, 1333)

    height, width = size(427, 640)
    assert (int(height), int(width)) == (800, 1199)
    assert height.dtype == width.dtype == tf.int32


def test_resize_to_the_same_size_changes_nothing(rng):
    image = rng.integers(0, 256, (7, 9, 3)).astype(np.uint8)
    np.testing.assert_array_equal(resize_image(image, (7, 9)), image)


@pytest.mark.parametrize(
    ("size", "multiple", "expected"), [((33, 64), 32, (64, 64)), ((1, 1), 8, (8, 8)), ((5, 7), 1, (5, 7))]
)
def test_pads_at_the_right_and_the_bottom(rng, size, multiple, expected):
    images = rng.uniform(1, 255, (2, *size, 3)).astype(np.float32)
    padded = pad_images(images, multiple).numpy()
    assert padded.shape == (2, *expected, 3)
    np.testing.assert_array_equal(padded[:, : size[0], : size[1]], images)
    assert padded.sum(dtype=np.float64) == pytest.approx(images.sum(dtype=np.float64))
    np.testing.assert_array_equal(pad_images(images[0], multiple), padded[0])


@pytest.mark.parametrize("size", [(21, 60), (7, 9), (40, 333), (4, 5)])
def test_a_part_equals_that_of_the_whole(size, rng):
    image = rng.integers(0, 256, (13, 31, 3), dtype=np.uint8)
    whole = resize_image(image, size).numpy()
    for top, left, height, width in ((0, 0, *size), (1, 2, 3, 3), (size[0] - 2, size[1] - 4, 2, 4)):
        part = resize_part(image, size, (top, left), (height, width)).numpy()
        expected = whole[top : top + height, left : left + width]
        assert part.shape == expected.shape
        assert np.abs(part - expected).max() <= 1
        assert (part != expected).mean() < 0.01


def test_a_part_of_a_very_long_image(rng):
    """The whole would be 540 MB; in it every column is 60 wide."""
    image = np.repeat(rng.integers(0, 256, (1, 5000, 3), dtype=np.uint8), 10, axis=0)
    part = resize_part(image, (600, 300_000), (0, 180_000), (600, 120)).numpy()
    for number, column in enumerate((3000, 3001)):
        # Its centre lies half a pixel after the pixel 29 of its 60.
        expected = image[0, column] * (119 / 120) + image[0, column - 1] / 120
        np.testing.assert_allclose(part[:, 60 * number + 29], np.tile(expected, (600, 1)), atol=0.6)


def test_pad_rejects_a_wrong_multiple():
    with pytest.raises(ValueError, match="multiple must be at least 1, got 0"):
        pad_images(np.zeros((4, 4, 3)), 0)


@pytest.mark.parametrize(
    ("resize", "multiple", "size", "expected"),
    [
        ("shorter_side", None, (375, 1242), (576, 1908)),
        ("both_sides", None, (375, 1242), (576, 1920)),
        ("both_sides", None, (1242, 375), (1920, 576)),
        ("both_sides", None, (300, 300), (576, 1920)),
        ("both_sides", 100, (375, 1242), (600, 1900)),
        ("none", None, (375, 1242), (375, 1242)),
        ("none", 32, (375, 1242), (384, 1248)),
        ("none", None, (1000, 3000), (640, 1920)),
        # 992 x 3008, and both shrink by 1920 / 3008: the aspect ratio stays as near as multiples are.
        ("none", 32, (1000, 3000), (640, 1920)),
        ("none", 32, (3000, 20), (1920, 32)),
        ("none", 32, (1936, 1000), (1920, 960)),
    ],
)
def test_rules_of_the_networks_size(resize, multiple, size, expected):
    found = network_size(*size, 576, 1920, multiple, resize=resize)
    assert [int(side) for side in found] == list(expected)
    # Many at once, as tensors.
    both = network_size(*np.array([size, size]).T, 576, 1920, multiple, resize)
    np.testing.assert_array_equal(np.stack(both, axis=1), [expected, expected])


def test_an_unknown_rule_is_told():
    with pytest.raises(
        ValueError, match="resize: got 'both', expected one of shorter_side, both_sides, none"
    ):
        network_size(3, 4, 5, 6, resize="both")
