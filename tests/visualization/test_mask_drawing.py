"""Colours of objects, and single masks on a picture."""

import itertools

import numpy as np
import pytest
from PIL import Image

from cascade_tf.visualization.mask_drawing import paint_mask, spread_colors

PALETTE = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)]


@pytest.fixture(autouse=True)
def _same_start():
    """Pictures do not touch Keras, whose state takes longer to reset than these tests take."""
    return


def gap(a, b):
    return max(np.maximum(a[:2] - b[2:], b[:2] - a[2:]))


def test_colors_differ_as_long_as_there_are_enough():
    boxes = np.tile([[0.0, 0.0, 9.0, 9.0]], (4, 1))
    assert spread_colors(boxes, PALETTE) == PALETTE
    assert spread_colors(boxes[:0], PALETTE) == []


def test_neighbours_differ():
    places = [(x, y) for y in range(6) for x in range(6)]
    boxes = np.array([[10.0 * x, 10.0 * y, 10.0 * x + 9, 10.0 * y + 9] for x, y in places])
    palette = [(i, 0, 0) for i in range(8)]
    colors = spread_colors(boxes, palette)
    assert len(set(colors)) == 8
    same = [
        gap(a, b) for (a, c), (b, d) in itertools.combinations(zip(boxes, colors, strict=True), 2) if c == d
    ]
    assert min(same) > 1


def test_an_overlap_counts_as_nearer_than_a_gap():
    boxes = np.array([[0, 0, 10, 10], [20, 0, 30, 10], [8, 0, 18, 10]], float)
    red, green, third = spread_colors(boxes, PALETTE[:2])
    assert (red, green) == (PALETTE[0], PALETTE[1])
    assert third == PALETTE[1]


@pytest.mark.parametrize("factor", [1, 3])
def test_every_part_of_an_object_is_painted(factor):
    """Objects of several parts, holes, single pixels and corners of the image."""
    mask = np.zeros((20, 30), bool)
    mask[3:12, 4:15] = True
    mask[6:9, 7:11] = False
    mask[0, 0] = mask[19, 29] = mask[15, 20] = True
    picture = Image.new("RGB", (30 * factor, 20 * factor), (90, 90, 90))
    paint_mask(picture, mask, (255, 0, 0), 1, (20, 30))
    centers = np.asarray(picture)[factor // 2 :: factor, factor // 2 :: factor].astype(int)
    red = (centers[..., 0] > 90) & (centers[..., 1] < 90)
    np.testing.assert_array_equal(red, mask)


def test_the_mask_is_left_as_it_is():
    mask = np.ones((5, 6), np.uint8)
    paint_mask(Image.new("RGB", (6, 5)), mask, (255, 0, 0), 9, (5, 6))
    assert (mask == 1).all()


def test_small_objects_get_a_thin_contour():
    mask = np.zeros((40, 40), bool)
    mask[10:22, 10:22] = True
    picture = Image.new("RGB", (40, 40), (90, 90, 90))
    paint_mask(picture, mask, (255, 0, 0), 5, (40, 40))
    row = (np.asarray(picture)[16, 10:22] == (255, 0, 0)).all(-1)
    assert row.sum() == 2
