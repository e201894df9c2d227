"""The grid of anchors."""

from __future__ import annotations

import numpy as np
import pytest

from cascade_tf.boxes import AnchorGrid, ShapeGrid


def test_order_row_column_size_ratio():
    grid = AnchorGrid(sizes=[(8, 16)], ratios=(0.25, 1.0), strides=(10,))
    (boxes,) = grid([(2, 3)])
    assert grid.anchors_per_cell == 4
    # Around the origin: 16 x 4 and 8 x 8 for size 8, 32 x 8 and 16 x 16 for size 16.
    cell = np.array([[-8, -2, 8, 2], [-4, -4, 4, 4], [-16, -4, 16, 4], [-8, -8, 8, 8]])
    expected = [cell + np.array([x, y, x, y]) for y in (0, 10) for x in (0, 10, 20)]
    np.testing.assert_allclose(boxes, np.concatenate(expected), atol=1e-5)


def test_offset_moves_to_the_middle_of_the_cell():
    corner = AnchorGrid((32, 64), strides=(4, 8))([(3, 2), (2, 1)])
    middle = AnchorGrid((32, 64), strides=(4, 8), offset=0.5)([(3, 2), (2, 1)])
    for stride, one, other in zip((4, 8), corner, middle, strict=True):
        np.testing.assert_allclose(other - one, np.full(one.shape, stride / 2), atol=1e-5)


def test_rounded_anchors_are_those_of_faster_rcnn():
    # The nine anchors of the original code for stride 16, as (first pixel, last pixel).
    published = [
        (-84, -40, 99, 55), (-176, -88, 191, 103), (-360, -184, 375, 199),
        (-56, -56, 71, 71), (-120, -120, 135, 135), (-248, -248, 263, 263),
        (-36, -80, 51, 95), (-80, -168, 95, 183), (-168, -344, 183, 359),
    ]  # fmt: skip
    grid = AnchorGrid(((128, 256, 512),), (0.5, 1.0, 2.0), (16,), offset=0.5, rounding=True)
    (anchors,) = grid([(1, 1)])
    by_ratio = np.asarray(anchors).reshape(3, 3, 4).transpose(1, 0, 2).reshape(9, 4)
    np.testing.assert_array_equal(by_ratio, np.add(published, [0, 0, 1, 1]))


def test_sides_keep_area_and_ratio():
    ratios = (0.5, 1.0, 2.0)
    boxes = AnchorGrid((32,), ratios, (4,))([(1, 1)])[0].numpy()
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    np.testing.assert_allclose(width * height, [1024] * 3, rtol=1e-5)
    np.testing.assert_allclose(height / width, ratios, rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sizes": (32, 64)}, "one size per stride, got 2 sizes and 5 strides"),
        ({"sizes": (32, 64, 128, 256, -1)}, "must be positive"),
        ({"ratios": (0.0, 1.0)}, "must be positive"),
        ({"sizes": (32, 64, 128, 256, (512, 600))}, "same number of anchor sizes"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        AnchorGrid(**settings)


def test_wrong_number_of_levels():
    with pytest.raises(ValueError, match="expected 5 levels of features, got 1"):
        AnchorGrid()([(4, 4)])


SHAPES = ([(8, 4)], [(16, 6), (6, 16), (20, 20)])
STRIDES = (4, 8)
CELLS = np.int32([(5, 7), (3, 4)])


def test_levels_with_different_numbers_of_shapes():
    grid = ShapeGrid(SHAPES, STRIDES)
    assert grid.shapes_per_level == (1, 3)
    first, second = grid(CELLS)
    assert (len(first), len(second)) == (35, 36)
    np.testing.assert_array_equal(first[8], [2, 4, 10, 8])
    np.testing.assert_array_equal(second[3:6], [[4, 1, 20, 7], [9, -4, 15, 12], [2, -6, 22, 14]])
    both = np.concatenate([first, second])[None]
    for level, of_level in zip(grid.split(both, CELLS), (first, second), strict=True):
        np.testing.assert_array_equal(level[0], of_level)


def test_place_of_a_point():
    grid = ShapeGrid(SHAPES, STRIDES)
    anchors = np.concatenate(grid(CELLS))
    generator = np.random.default_rng(0)
    points = generator.uniform(0, [28, 20], (40, 2)).astype(np.float32)
    shapes = generator.integers(0, 4, 40)
    places = grid.place(shapes.astype(np.int32), points, CELLS).numpy()
    for shape, point, place in zip(shapes, points, places, strict=True):
        level = int(shape > 0)
        own = range(35, 71) if level else range(35)
        assert place in own
        assert (place - own[0]) % len(SHAPES[level]) == shape - level
        distance = np.abs((anchors[place, :2] + anchors[place, 2:]) / 2 - point)
        rows, columns = CELLS[level]
        beyond = np.maximum(point - np.array([columns, rows]) * STRIDES[level], 0)
        assert np.all(distance - beyond <= STRIDES[level] / 2 + 1e-4)
    # A border belongs to the cell behind it, and points outside to the nearest cell.
    borders = np.float32([[8, 4], [-3, -3], [99, 99]])
    np.testing.assert_array_equal(grid.place(np.zeros(3, np.int32), borders, CELLS), [9, 0, 34])


def test_cells_of_the_image():
    grid = ShapeGrid(SHAPES, STRIDES)
    # 9.9 / 4 and 14 / 4 are rounded to 2 rows and 4 columns, 9.9 / 8 and 14 / 8 to 1 and 2.
    own = grid.of_image(np.float32([[20, 28], [9.9, 14]]), CELLS).numpy()
    first, second = np.split(own, [35], axis=1)
    assert first[0].all()
    # The second map's last row and column: 20 / 8 and 28 / 8 are rounded up.
    assert second[0].all()
    expected = np.zeros((5, 7), bool)
    expected[:2, :4] = True
    np.testing.assert_array_equal(first[1].reshape(5, 7), expected)
    expected = np.zeros((3, 4, 3), bool)
    expected[:1, :2] = True
    np.testing.assert_array_equal(second[1].reshape(3, 4, 3), expected)


@pytest.mark.parametrize(
    ("shapes", "strides", "message"),
    [
        ([[(8, 8)]], (4, 8), "got 1 levels and 2 strides"),
        ([[(8, 8)], []], (4, 8), "every level needs an anchor"),
        ([[(8, 0)]], (4,), "must be positive"),
        ([[(8, 8)]], (0,), "must be positive"),
    ],
)
def test_wrong_shapes(shapes, strides, message):
    with pytest.raises(ValueError, match=message):
        ShapeGrid(shapes, strides)
