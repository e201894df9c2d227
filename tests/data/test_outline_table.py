"""Outlines of a data set as tensors: each object finds its own, and broken ones are noticed."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from cascade_tf.data.outline_table import OutlineTable
from cascade_tf.data.segmentation import compact_segmentation
from cascade_tf.masks.run_lengths import uncompress

SIZES = np.int32([(8, 10), (8, 10), (6, 6)])
TRIANGLE = np.float64([1, 1, 6, 1, 3, 6])
SQUARE = np.float64([2, 2, 5, 2, 5, 5, 2, 5])
RUNS = coco_mask.encode(np.asfortranarray(np.eye(6, dtype=np.uint8)))
SEGMENTATIONS = (([TRIANGLE], None, [SQUARE, TRIANGLE]), (), (RUNS, [SQUARE]))


def test_each_object_finds_its_own():
    table = OutlineTable.of(SEGMENTATIONS, SIZES)
    first = table.of_objects(0, 3)
    np.testing.assert_array_equal(first.corners, np.concatenate([TRIANGLE, SQUARE, TRIANGLE]).reshape(-1, 2))
    assert first.polygon_corners.numpy().tolist() == [3, 4, 3]
    assert first.object_polygons.numpy().tolist() == [1, 0, 2]
    assert first.object_runs.numpy().tolist() == [0, 0, 0]
    nothing = table.of_objects(3, 3)
    assert [len(part) for part in nothing] == [0] * 5
    last = table.of_objects(3, 5)
    np.testing.assert_array_equal(last.runs, uncompress(RUNS["counts"]))
    assert last.object_runs.numpy().tolist() == [len(last.runs), 0]
    assert last.object_polygons.numpy().tolist() == [0, 1]
    np.testing.assert_array_equal(last.corners, SQUARE.reshape(-1, 2))


def test_a_data_set_without_objects():
    table = OutlineTable.of(((), ()), SIZES[:2])
    assert [len(part) for part in table.of_objects(0, 0)] == [0] * 5


BROKEN = [
    [],
    [TRIANGLE[:4]],
    [TRIANGLE[:5]],
    [SQUARE, TRIANGLE[:5]],
    [np.where(TRIANGLE == 3, np.nan, TRIANGLE)],
    [np.where(TRIANGLE == 3, np.inf, TRIANGLE)],
    [TRIANGLE * 1e5],
    [TRIANGLE + 20],
    [np.add(TRIANGLE, [9, 0, 9, 0, 9, 0])],
    [TRIANGLE - 20],
    [TRIANGLE.reshape(-1, 2)],
    [["1"] * 6],
    [[True] * 6],
    [[1, 2, [3]]],
    "polygon",
    7,
    {},
    {"size": [6, 10], "counts": RUNS["counts"]},
    {"size": [8, 10], "counts": [79]},
    {"size": [8, 10], "counts": [81, -1]},
]


@pytest.mark.parametrize("broken", BROKEN)
def test_what_a_reader_refuses_makes_no_table(broken):
    with pytest.raises(ValueError, match=r"polygon|RLE|expected"):
        compact_segmentation(broken, (8, 10))
    assert OutlineTable.of((([TRIANGLE],), (broken,), ()), SIZES) is None


@pytest.mark.parametrize(
    "usable",
    [
        [TRIANGLE + 20, TRIANGLE],
        [list(map(int, TRIANGLE))],
        [TRIANGLE.astype(np.float32)],
        [np.add(TRIANGLE, [8.9, 0, 8.9, 0, 8.9, 0])],
        {"size": [8, 10], "counts": [79, 1]},
    ],
)
def test_what_a_reader_takes_makes_a_table(usable):
    compact_segmentation(usable, (8, 10))
    assert OutlineTable.of((([TRIANGLE],), (usable,), ()), SIZES) is not None
