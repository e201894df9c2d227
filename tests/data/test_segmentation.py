"""Segmentations: small masks by hand, pycocotools and Pillow for the rest, a line for each thing wrong."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from cascade_tf.data.segmentation import MAX_COORDINATE, packed_mask, to_packed_mask

SQUARE = [2, 1, 6, 1, 6, 4, 2, 4]  # columns 2..5 and rows 1..3


def unpack(packed, width):
    assert packed.dtype == np.uint8
    assert packed.shape[-1] == -(-width // 8)
    # No bit is set in the padding of the last byte.
    assert not np.unpackbits(packed, axis=-1)[..., width:].any()
    return np.unpackbits(packed, axis=-1, count=width).astype(bool)


def rectangle(height, width, rows, columns):
    mask = np.zeros((height, width), bool)
    mask[slice(*rows), slice(*columns)] = True
    return mask


def drawn_by_pycocotools(polygons, height, width):
    rles = coco_mask.frPyObjects([np.ravel(p).tolist() for p in polygons], height, width)
    return coco_mask.decode(coco_mask.merge(rles)).astype(bool)


def random_polygons(rng, height, width):
    polygons = []
    for _ in range(rng.integers(1, 4)):
        corners = rng.uniform(-0.3, 1.3, (rng.integers(3, 12), 2)) * [width, height]
        corners[0] = [width / 2, height / 2]
        polygons.append(corners.round(2).ravel().tolist())
    return polygons


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_a_polygon_by_hand():
    packed = to_packed_mask([SQUARE], 6, 10)
    np.testing.assert_array_equal(packed, [[0, 0], [0x3C, 0], [0x3C, 0], [0x3C, 0], [0, 0], [0, 0]])


def test_polygons_are_joined():
    packed = to_packed_mask([SQUARE, [8, 0, 10, 0, 10, 6, 8, 6]], 6, 10)
    expected = rectangle(6, 10, (1, 4), (2, 6)) | rectangle(6, 10, (0, 6), (8, 10))
    np.testing.assert_array_equal(unpack(packed, 10), expected)


def test_polygons_are_drawn_as_pycocotools_does(rng):
    for _ in range(150):
        height, width = (int(side) for side in rng.integers(1, 70, 2))
        polygons = random_polygons(rng, height, width)
        expected = drawn_by_pycocotools(polygons, height, width)
        np.testing.assert_array_equal(unpack(to_packed_mask(polygons, height, width), width), expected)


def test_polygons_may_be_arrays(rng):
    polygons = random_polygons(rng, 40, 50)
    arrays = to_packed_mask([np.asarray(polygon) for polygon in polygons], 40, 50)
    np.testing.assert_array_equal(arrays, to_packed_mask(polygons, 40, 50))


def test_self_crossing_polygons_are_filled():
    bow_tie = [0, 0, 10, 10, 10, 0, 0, 10]
    expected = drawn_by_pycocotools([bow_tie], 10, 10)
    assert 30 < expected.sum() < 70
    np.testing.assert_array_equal(unpack(to_packed_mask([bow_tie], 10, 10), 10), expected)


def test_polygons_without_area_are_empty():
    assert not to_packed_mask([[3, 3, 3, 3, 3, 3]], 6, 10).any()


@pytest.mark.parametrize("flip", [False, True])
def test_polygons_are_scaled_before_they_are_drawn(flip):
    packed = packed_mask([SQUARE], (6, 10), (12, 30), flip)
    columns = (30 - 18, 30 - 6) if flip else (6, 18)
    np.testing.assert_array_equal(unpack(packed, 30), rectangle(12, 30, (2, 8), columns))
    # A slanted edge is drawn with the small pixels: the enlarged bitmap would have steps of ten.
    slanted = unpack(packed_mask([[0, 0, 10, 0, 0, 10]], (10, 10), (100, 100), flip), 100)
    lengths = slanted.sum(axis=1)
    np.testing.assert_array_equal(np.diff(lengths), np.full(99, -1))


@pytest.mark.parametrize("flip", [False, True])
def test_polygons_at_another_size_equal_pycocotools(rng, flip):
    for _ in range(50):
        height, width, new_height, new_width = (int(side) for side in rng.integers(1, 70, 4))
        polygons = random_polygons(rng, height, width)
        moved = []
        for polygon in polygons:
            corners = np.reshape(polygon, (-1, 2)) * [new_width / width, new_height / height]
            corners[:, 0] = new_width - corners[:, 0] if flip else corners[:, 0]
            moved.append(corners)
        packed = packed_mask(polygons, (height, width), (new_height, new_width), flip)
        expected = drawn_by_pycocotools(moved, new_height, new_width)
        np.testing.assert_array_equal(unpack(packed, new_width), expected)


# Down the columns of 2 x 3 pixels: one pixel off, two on, one off, two on.
RUNS = {"size": [2, 3], "counts": [1, 2, 1, 2]}
PIXELS = np.array([[0, 1, 1], [1, 0, 1]], bool)


def rle_forms(mask):
    """The same mask in COCO's three notations."""
    compressed = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    lengths = np.diff(np.flatnonzero(np.diff(mask.T.ravel(), prepend=~mask.T.ravel()[:1])), append=mask.size)
    first = [0] if mask[0, 0] else []
    return [
        {"size": list(mask.shape), "counts": [*first, *lengths.tolist()]},
        {"size": list(mask.shape), "counts": compressed["counts"]},
        {"size": list(mask.shape), "counts": compressed["counts"].decode("ascii")},
    ]


def test_run_lengths_by_hand():
    assert rle_forms(PIXELS)[0] == RUNS
    for form in rle_forms(PIXELS):
        np.testing.assert_array_equal(unpack(to_packed_mask(form, 2, 3), 3), PIXELS)


def test_run_lengths_equal_pycocotools(rng):
    for _ in range(150):
        height, width = (int(side) for side in rng.integers(1, 70, 2))
        mask = rng.random((height, width)) < rng.choice([0, 0.02, 0.5, 0.98, 1])
        for form in rle_forms(mask):
            np.testing.assert_array_equal(unpack(to_packed_mask(form, height, width), width), mask)


def test_long_runs_of_large_images(rng):
    mask = np.zeros((3000, 2000), bool)
    mask[1234, 77], mask[2000:, 1500:] = True, True
    for form in rle_forms(mask):
        np.testing.assert_array_equal(unpack(to_packed_mask(form, 3000, 2000), 2000), mask)


@pytest.mark.parametrize("flip", [False, True])
def test_run_lengths_at_another_size_take_the_nearest_pixel(rng, flip):
    doubled = unpack(packed_mask(RUNS, (2, 3), (4, 6), flip), 6)
    expected = PIXELS.repeat(2, axis=0).repeat(2, axis=1)
    np.testing.assert_array_equal(doubled, expected[:, ::-1] if flip else expected)
    for _ in range(100):
        height, width, new_height, new_width = (int(side) for side in rng.integers(1, 70, 4))
        mask = rng.random((height, width)) < 0.5
        resized = np.asarray(
            Image.fromarray(mask.astype(np.uint8)).resize((new_width, new_height), Image.Resampling.NEAREST)
        )
        packed = packed_mask(rle_forms(mask)[1], (height, width), (new_height, new_width), flip)
        np.testing.assert_array_equal(unpack(packed, new_width), resized[:, ::-1] if flip else resized)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("size", [(31, 67), (62, 134), (20, 45), (9, 300)], ids=str)
def test_small_objects_at_another_size(rng, size, flip):
    for _ in range(50):
        mask = np.zeros((31, 67), bool)
        y1, y2, x1, x2 = (*np.sort(rng.integers(0, 32, 2)), *np.sort(rng.integers(0, 68, 2)))
        mask[y1:y2, x1:x2] = rng.random((y2 - y1, x2 - x1)) < 0.7
        expected = np.asarray(
            Image.fromarray(mask.astype(np.uint8)).resize(size[::-1], Image.Resampling.NEAREST)
        )
        for form in rle_forms(mask):
            packed = packed_mask(form, (31, 67), size, flip)
            np.testing.assert_array_equal(unpack(packed, size[1]), expected[:, ::-1] if flip else expected)


@pytest.mark.parametrize("flip", [False, True])
def test_run_lengths_at_their_own_size(rng, flip):
    mask = rng.random((13, 21)) < 0.5
    packed = packed_mask(rle_forms(mask)[2], (13, 21), (13, 21), flip)
    np.testing.assert_array_equal(unpack(packed, 21), mask[:, ::-1] if flip else mask)


TRIANGLE = [1, 1, 8, 1, 1, 5]


@pytest.mark.parametrize(
    ("segmentation", "line"),
    [
        (None, "got None, expected a list of polygons or an RLE mapping"),
        ([], "got [], expected a list of polygons"),
        ("abc", "got 'abc', expected a list of polygons"),
        (7, "got 7, expected a list of polygons"),
        (TRIANGLE, "polygon 0 is 1, expected a list of numbers"),
        ([TRIANGLE, ["a", "b"]], "polygon 1 is ['a', 'b'], expected a list of numbers"),
        ([[TRIANGLE]], "polygon 0 is [[1, 1, 8, 1, 1, 5]], expected a list of numbers"),
        ([[1, [2, 3]]], "polygon 0 is [1, [2, 3]], expected a list of numbers"),
        ([[True, False] * 3], "polygon 0 is [True, False, "),
        ([[1, 1, 8, 1, 1]], "polygon 0 has 5 coordinates, expected pairs of x and y"),
        ([[1, 1, 8, 1]], "polygon 0 has 2 points, expected at least 3"),
        ([TRIANGLE, []], "polygon 1 has 0 points, expected at least 3"),
        ([[1, 1, 8, 1, 1, float("nan")]], "polygon 0 has a coordinate that is not finite"),
        ([[1, 1, 8, 1, float("inf"), 5]], "polygon 0 has a coordinate that is not finite"),
        ([[1, 1, 8, 1, 1e9, 5]], "polygon 0 has the coordinate 1e+09, expected at most 100000 pixels"),
        ([[1, 1, 8, 1, 10**40, 5]], "polygon 0 is [1, 1, 8, 1, 1000"),
        ([[20, 1, 28, 1, 20, 5]], "all polygons lie outside the image of 10 x 6 pixels"),
        ([[1, -9, 8, -9, 1, -1]], "all polygons lie outside the image of 10 x 6 pixels"),
        ([[1, 6, 8, 6, 1, 9], [-5, 0, 0, 0, 0, 5]], "all polygons lie outside the image of 10 x 6 pixels"),
        ({}, "RLE size is None, expected the image's [height, width] [6, 10]"),
        (
            {"size": [10, 6], "counts": [60]},
            "RLE size is [10, 6], expected the image's [height, width] [6, 10]",
        ),
        ({"size": [6, 10]}, "RLE counts are None, expected a list of integers or COCO's text"),
        ({"size": [6, 10], "counts": [30, 30.0]}, "RLE counts are [30, 30.0], expected a list of integers"),
        ({"size": [6, 10], "counts": [59]}, "RLE counts cover 59 pixels, expected 6 x 10"),
        ({"size": [6, 10], "counts": [30, 31]}, "RLE counts cover 61 pixels, expected 6 x 10"),
        ({"size": [6, 10], "counts": []}, "RLE counts cover 0 pixels, expected 6 x 10"),
        ({"size": [6, 10], "counts": [70, -10]}, "RLE counts hold the negative length -10"),
        ({"size": [6, 10], "counts": [2**62] * 4 + [60]}, "RLE counts cover 18446744073709551616 pixels"),
        ({"size": [6, 10], "counts": [10**30]}, "RLE counts hold a length that is too large"),
        ({"size": [6, 10], "counts": ""}, "RLE counts cover 0 pixels, expected 6 x 10"),
        ({"size": [6, 10], "counts": "zzzzzz"}, "counts 'zzzzzz' is no text of run lengths"),
        ({"size": [6, 10], "counts": b"\xff\x00"}, "counts b'\\xff\\x00' is no text of run lengths"),
        ({"size": [6, 10], "counts": "é"}, "counts 'é' is no text of run lengths"),
        (
            {"size": [6, 10], "counts": "oooooooooooooooo0"},
            "counts 'oooooooooooooooo0' has a length that no image has",
        ),
        ({"size": [6, 10], "counts": "oooo1"}, "RLE counts cover 2097151 pixels, expected 6 x 10"),
        ({"size": [6, 10], "counts": "O"}, "RLE counts hold the negative length -1"),
    ],
)
def test_what_is_wrong_is_named(segmentation, line):
    with pytest.raises(ValueError, match="^" + re.escape(line)):
        to_packed_mask(segmentation, 6, 10)


def test_long_values_are_cut_in_messages():
    with pytest.raises(ValueError, match="expected pairs") as odd:
        to_packed_mask([[1.0] * 9999], 6, 10)
    with pytest.raises(ValueError, match="not finite") as infinite:
        to_packed_mask([[float("inf")] * 9998], 6, 10)
    assert max(len(str(odd.value)), len(str(infinite.value))) < 200


def test_a_part_outside_is_no_fault():
    packed = to_packed_mask([SQUARE, [20, 1, 28, 1, 20, 5]], 6, 10)
    np.testing.assert_array_equal(packed, to_packed_mask([SQUARE], 6, 10))


def test_the_largest_coordinates_are_drawn():
    far = MAX_COORDINATE
    assert unpack(to_packed_mask([[-far, -far, far, -far, far, far, -far, far]], 6, 10), 10).all()


def test_hostile_text_is_refused_or_covers_the_image(rng):
    alphabet = np.frombuffer(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmno", np.uint8)
    accepted = 0
    for _ in range(10000):
        text = bytes(rng.choice(alphabet, rng.integers(1, 5)))
        try:
            packed = to_packed_mask({"size": [2, 2], "counts": text}, 2, 2)
        except ValueError:
            continue
        accepted += 1
        np.testing.assert_array_equal(
            unpack(packed, 2), coco_mask.decode({"size": [2, 2], "counts": text}).astype(bool)
        )
    assert 20 < accepted < 5000
