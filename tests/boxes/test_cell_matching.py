"""The authors' labels of anchors: by hand where a threshold is met exactly, and against slow loops."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.boxes import ShapeGrid, match_cells
from cascade_tf.boxes.matching import gather_matched
from tests.boxes.examples import objects_of, random_boxes, targets
from tests.reference.cells import Rule, cell_labels

# One row of three cells with one anchor each: [0, 10], [10, 20], [20, 30] in x, [0, 10] in y.
ROW = ShapeGrid([[(10, 10)]], (10,))
ROW_SIZE = (10, 30)


def match(objects, grid=ROW, cells=((1, 3),), image_size=ROW_SIZE, **rule):
    """Labels and objects of anchors of one image; objects are boxes, or (box, class) as for ``targets``."""
    pairs = [one if len(one) == 2 else (one, place + 1) for place, one in enumerate(objects)]
    sizes = tf.constant(cells, tf.int32)
    found = match_cells(
        grid,
        tf.concat(grid(list(cells)), axis=0),
        sizes,
        targets([pairs]),
        tf.constant([image_size], tf.float32),
        **rule,
    )
    return found.labels[0].numpy().tolist(), found.index[0].numpy().tolist()


def test_overlap_has_to_exceed_the_foreground_threshold():
    # IoU 0.7 exactly is not enough, but the object claims the anchor that it lies in.
    labels, index = match([(0, 0, 10, 7), (10, 0, 20, 7.5)], claim_iou=0.8)
    assert labels == [-1, 1, 0]
    assert index[1] == 1
    assert match([(0, 0, 10, 7), (10, 0, 20, 7.5)])[0] == [1, 1, 0]


def test_overlap_has_to_fall_short_of_the_background_threshold():
    assert match([(0, 0, 10, 3), (10, 0, 20, 2.9)], claim_iou=0.5)[0] == [-1, 0, 0]


def test_an_object_claims_from_the_threshold_on():
    assert match([(0, 0, 10, 2), (10, 0, 20, 1.9)])[0] == [1, 0, 0]


def test_an_object_claims_the_anchor_of_its_cell_not_the_best():
    # Two thirds of the object lie in the second cell, and its centre at the border belongs to the second.
    assert match([(5, 0, 15, 10)])[0] == [-1, 1, 0]
    # Of the shape that fits best somewhere it gets the one of its own cell, the third.
    grid = ShapeGrid([[(10, 10), (60, 10)]], (10,))
    labels, _ = match([(10, 0, 31, 10)], grid=grid, cells=((1, 4),), image_size=(10, 40))
    assert labels == [0, -1, -1, -1, 1, -1, 0, -1]


def test_the_first_of_two_objects_gets_the_anchor():
    labels, index = match([(12, 0, 18, 6), (10, 0, 20, 4)])
    assert labels == [0, 1, 0]
    assert index[1] == 0
    # One that the anchor stands for already keeps it.
    labels, index = match([(12, 0, 18, 6), (10, 0, 20, 8)])
    assert labels == [0, 1, 0]
    assert index[1] == 1


def test_a_claimed_anchor_may_reach_over_the_border():
    rule = {"grid": ShapeGrid([[(20, 10)]], (10,)), "image_size": (10.1, 30.1), "max_outside": 0.0}
    assert match([], **rule)[0] == [-1, 0, -1]
    # It overlaps the second anchor by 0.21 and lies in the first cell.
    assert match([(2, 0, 9.9, 10)], **rule)[0] == [1, 0, -1]
    # What it overlaps outside does not count.
    assert match([(0, 0, 9, 10)], **rule)[0] == [-1, 0, -1]


def test_the_margin_itself():
    # The first anchor begins at -margin and counts; the last ends at width + margin and does not.
    grid = ShapeGrid([[(15, 10)]], (10,))
    labels, _ = match([], grid=grid, image_size=(10.1, 30), max_outside=1 / 3)
    assert labels == [0, 0, -1]
    assert match([], grid=grid, image_size=(10.1, 30.1), max_outside=1 / 3)[0] == [0, 0, 0]
    assert match([], grid=grid, image_size=(10, 30), max_outside=None)[0] == [0, 0, 0]


def test_objects_that_are_not_searched_for():
    small, outside = (12, 0, 16, 10), (25, 0, 36, 10)
    assert match([small, outside], min_object_side=4.0)[0] == [0, 1, -1]
    assert match([small, outside], min_object_side=4.1)[0] == [0, -1, -1]
    assert match([(10, 0, 20, 10)], min_object_side=11.0)[0] == [0, -1, 0]
    ignored = ((10, 0, 20, 10), -1)
    assert match([ignored])[0] == [0, -1, 0]
    # Another object can be found in its place.
    assert match([ignored, (11, 0, 20, 10)])[0] == [0, 1, 0]


def test_an_object_to_ignore_leaves_background_over_it_and_a_crowd_does_not():
    # The region covers all of each anchor; none has an IoU of more than 0.25 with it.
    region = (-5, 0, 35, 10)
    assert match([(region, -1)])[0] == [0, 0, 0]
    assert match([(region, -1)], match_crowds=True)[0] == [0, 0, 0]
    assert match([(region, 0)])[0] == [-1, -1, -1]
    # A crowd that is no region either is an object to ignore, if that is wanted.
    crowd = ((10, 0, 20, 10), 0)
    assert match([crowd], crowd_cover=None)[0] == [0, 0, 0]
    assert match([crowd], crowd_cover=None, match_crowds=True)[0] == [0, -1, 0]


def test_crowd_regions_together_hide_background():
    left, right = ((0, 0, 2, 10), 0), ((8, 0, 10, 10), 0)
    assert match([left])[0] == [0, 0, 0]
    assert match([left, right])[0] == [-1, 0, 0]
    assert match([left, right], crowd_cover=0.41)[0] == [0, 0, 0]
    assert match([left, right], crowd_cover=None)[0] == [0, 0, 0]
    assert match([left, right, (0, 0, 10, 10)])[0] == [1, 0, 0]


def test_an_image_that_is_ignored_throughout():
    assert match([((-50, -50, 90, 90), 0)])[0] == [-1, -1, -1]
    assert match([], image_size=(4, 4))[0] == [-1, -1, -1]


@pytest.mark.parametrize("size", [0, 2])
def test_without_objects_all_is_background(size):
    found = match_cells(
        ROW,
        ROW([(1, 3)])[0],
        tf.constant([[1, 3]]),
        targets([[], []], size=size),
        tf.constant([[10.0, 30.0], [10.0, 10.0]]),
    )
    np.testing.assert_array_equal(found.labels, [[0, 0, 0], [0, -1, -1]])
    np.testing.assert_array_equal(gather_matched(tf.zeros([2, size, 4]), found), np.zeros([2, 3, 4]))


def test_first_and_last_pixels():
    # In the authors' arithmetic the anchor is 11 x 11.
    strict = {"foreground_iou": 0.9, "claim_iou": 0.95}
    assert match([(0, 0, 11, 11)], **strict, inclusive=True)[0][0] == 1
    assert match([(0, 0, 11, 11)], **strict)[0][0] == -1
    # A centre half a pixel before the border's is in the cell before.
    assert match([(5, 0, 15, 10)], inclusive=True)[0] == [1, 0, 0]


LEVELS = (([(8, 8), (16, 8)], 4, 10, 12), ([(16, 16), (30, 15), (15, 30)], 8, 5, 6))


@pytest.mark.parametrize(
    "rule",
    [Rule(), Rule(0.5, 0.4, 0.3, 6.0, 0.5, 0.2), Rule(0.6, 0.2, 0.0, 3.0, 0.0, 0.6)],
    ids=["plain", "margin", "inside"],
)
def test_labels_equal_loops(rule):
    images = []
    for image in range(3):
        boxes = random_boxes(9, seed=image, min_side=2, extent=25)
        images.append([(box, 0 if place == 0 else 1 + place) for place, box in enumerate(boxes)])
    some = targets([*images, []])
    image_size = np.float32([[40, 48], [37, 44], [31, 48], [40, 30]])
    grid = ShapeGrid([shapes for shapes, *_ in LEVELS], [stride for _, stride, *_ in LEVELS])
    cells = np.int32([size for *_, size in [(*level[:2], level[2:]) for level in LEVELS]])
    found = match_cells(
        grid,
        tf.concat(grid(cells), axis=0),
        tf.constant(cells),
        some,
        tf.constant(image_size),
        **rule._asdict(),
    )
    foreground = 0
    for image in range(4):
        objects, crowds = objects_of(some, image)
        boxes = [one.box for one in objects]
        labels, owners = cell_labels(LEVELS, boxes, crowds, image_size[image], rule)
        np.testing.assert_array_equal(found.labels[image], labels)
        matched = gather_matched(some.boxes, found)[image].numpy()
        for place in np.flatnonzero(np.equal(labels, 1)):
            np.testing.assert_array_equal(matched[place], np.float32(boxes[owners[place]]))
            foreground += 1
    assert foreground > 8
