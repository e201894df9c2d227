"""Drawing of masks: C++ op = pycocotools, as the pipeline's Python functions use it, to the bit."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from pycocotools import mask as coco_mask

from cascade_tf.data.segmentation import packed_mask
from cascade_tf.masks.run_lengths import uncompress
from cascade_tf.ops.draw_masks import Outlines, draw_masks


def outlines_of(segmentations):
    """Polygons are lists of [n, 2] arrays, run lengths are mappings, None is an object without a mask."""
    polygons = [s if isinstance(s, list) else [] for s in segmentations]
    runs = [uncompress(s["counts"]) if isinstance(s, dict) else [] for s in segmentations]
    return Outlines(
        np.concatenate([np.zeros((0, 2)), *(corners for object_ in polygons for corners in object_)]),
        np.array([len(corners) for object_ in polygons for corners in object_], np.int32),
        np.array([len(object_) for object_ in polygons], np.int32),
        np.concatenate([[], *runs]).astype(np.int32),
        np.array([len(lengths) for lengths in runs], np.int32),
    )


def expected_masks(segmentations, original, size, flip, frame):
    masks = np.zeros((max(len(segmentations), 1), frame[0], -(-frame[1] // 8)), np.uint8)
    for mask, segmentation in zip(masks, segmentations, strict=False):
        if segmentation is not None:
            plain = segmentation
            if isinstance(segmentation, list):
                plain = [corners.ravel() for corners in segmentation]
            packed = packed_mask(plain, original, size, flip)
            mask[: size[0], : packed.shape[1]] = packed
    return masks


def assert_equals_pycocotools(segmentations, original, size, flip=False, frame=None):
    frame = size if frame is None else frame
    masks, drawn = draw_masks(outlines_of(segmentations), original, size, flip, frame)
    expected = expected_masks(segmentations, original, size, flip, frame)
    np.testing.assert_array_equal(masks, expected)
    assert drawn.numpy().tolist() == [
        s is None or bool(mask.any()) for s, mask in zip(segmentations, expected, strict=False)
    ]
    return masks.numpy()


def random_polygon(rng, height, width):
    """May cross itself, leave the image, repeat corners and stand on pixels, halves and hundredths."""
    corners = rng.uniform(-0.3, 1.3, (rng.integers(3, 25), 2)) * [width, height]
    step = rng.choice([1, 0.5, 0.01, 1e-9])
    corners = np.round(corners / step) * step
    corners[0] = [width / 2, height / 2]
    corners[rng.integers(1, len(corners))] = corners[rng.integers(len(corners))]
    return corners


def random_runs(rng, height, width):
    pixels = rng.random((height, width)) < rng.choice([0.02, 0.5, 0.98])
    if rng.random() < 0.5:
        pixels[:] = False
        pixels[height // 3 : height // 2 + 1, width // 4 : width // 2 + 1] = True
    return dict(coco_mask.encode(np.asfortranarray(pixels, "u1")))


def test_equals_pycocotools_on_many_objects(rng):
    seen = 0
    for _ in range(300):
        original, size = (tuple(rng.integers(1, 60, 2).tolist()) for _ in range(2))
        kinds = rng.integers(0, 4, rng.integers(0, 6))
        objects = [
            None
            if kind == 0
            else random_runs(rng, *original)
            if kind == 1
            else [random_polygon(rng, *original) for _ in range(rng.integers(1, 4))]
            for kind in kinds
        ]
        frame = tuple(side + int(rng.integers(0, 12)) for side in size)
        masks = assert_equals_pycocotools(objects, original, size, bool(rng.integers(2)), frame)
        seen += masks.any(axis=(1, 2)).sum()
    assert seen > 300


def test_equals_pycocotools_on_large_images(rng):
    objects = [[random_polygon(rng, 480, 640) * 0.4 + rng.uniform(0, 200)] for _ in range(20)]
    objects += [random_runs(rng, 480, 640), None, [random_polygon(rng, 480, 640) for _ in range(3)]]
    for flip in (False, True):
        masks = assert_equals_pycocotools(objects, (480, 640), (800, 1067), flip, (800, 1088))
        assert 0.02 < np.unpackbits(masks).mean() < 0.9


def test_a_rectangle_by_hand():
    corners = np.float64([[2, 1], [5, 1], [5, 3], [2, 3]])
    masks, drawn = draw_masks(outlines_of([[corners]]), (4, 10), (4, 10), False, (5, 10))
    assert masks.numpy().tolist() == [[[0, 0], [0b00111000, 0], [0b00111000, 0], [0, 0], [0, 0]]]
    assert drawn.numpy().tolist() == [True]
    mirrored, _ = draw_masks(outlines_of([[corners]]), (4, 10), (4, 10), True, (5, 10))
    assert mirrored[0, 1].numpy().tolist() == [0b00000111, 0]
    enlarged, _ = draw_masks(outlines_of([[corners]]), (4, 10), (8, 20), False, (8, 20))
    assert enlarged[0, :, 0].numpy().tolist() == [0, 0, *[0b00001111] * 4, 0, 0]
    assert enlarged[0, 2].numpy().tolist() == [0b00001111, 0b11000000, 0]


def test_polygons_of_an_object_are_united():
    """Where two polygons overlap is inside, where one crosses itself twice is not."""
    square = np.float64([[0, 0], [8, 0], [8, 8], [0, 8]])
    twice = np.concatenate([square, square])
    united = assert_equals_pycocotools([[square, square]], (8, 8), (8, 8))
    assert (united == 255).all()
    cancelled, drawn = draw_masks(outlines_of([[twice]]), (8, 8), (8, 8), False, (8, 8))
    assert not cancelled.numpy().any()
    assert drawn.numpy().tolist() == [False]


@pytest.mark.parametrize(
    "corners",
    [
        [[3, 3], [3, 3], [3, 3]],
        [[0, 2], [7, 2], [3, 2]],
        [[2, 0], [2, 7], [2, 3]],
        [[-9, -9], [20, -9], [20, 20], [-9, 20]],
        [[-9, 2], [-5, 9], [-1, 4]],
        [[9, 2], [15, 9], [11, 4], [0.5, 0.5]],
        [[-1e5, -1e5], [1e5, -1e5], [1e5, 1e5], [-1e5, 1e5]],
        [[0, 0], [7.9, 7.9], [0, 7.9]],
    ],
    ids=["point", "row", "column", "around", "left", "right", "far", "triangle"],
)
@pytest.mark.parametrize("flip", [False, True])
def test_outlines_without_area_and_beyond_the_border(corners, flip):
    # Next to a polygon inside, since one that is outside is refused by the reader.
    inside = np.float64([[1, 1], [3, 1], [3, 3]])
    assert_equals_pycocotools([[np.float64(corners), inside]], (8, 8), (8, 8), flip)
    assert_equals_pycocotools([[np.float64(corners), inside]], (8, 8), (13, 5), flip)


def test_no_objects():
    masks, drawn = draw_masks(outlines_of([]), (4, 4), (8, 8), False, (10, 20))
    assert masks.shape == (1, 10, 3)
    assert not masks.numpy().any()
    assert drawn.shape == (0,)


def test_runs_that_are_empty_or_full():
    for runs, value in (([24], 0), ([0, 24], 255), ([0, 24, 0], 255)):
        nothing = outlines_of([None])
        outlines = nothing._replace(runs=np.int32(runs), object_runs=np.int32([len(runs)]))
        masks, drawn = draw_masks(outlines, (3, 8), (6, 16), True, (6, 16))
        assert (masks.numpy() == value).all()
        assert drawn.numpy().tolist() == [value > 0]


TRIANGLE = outlines_of([[np.float64([[1, 1], [6, 1], [3, 6]])]])
RUNS = TRIANGLE._replace(
    corners=np.zeros((0, 2)),
    polygon_corners=np.zeros(0, np.int32),
    object_polygons=np.int32([0]),
    runs=np.int32([60, 4]),
    object_runs=np.int32([2]),
)


@pytest.mark.parametrize(
    ("outlines", "line"),
    [
        (TRIANGLE._replace(corners=np.full((3, 2), np.nan)), "a corner must be within"),
        (TRIANGLE._replace(corners=np.full((3, 2), -np.inf)), "a corner must be within"),
        (TRIANGLE._replace(corners=np.full((3, 2), 1e9)), "a corner must be within"),
        (TRIANGLE._replace(polygon_corners=np.int32([4])), "must add up to the 3 corners"),
        (TRIANGLE._replace(polygon_corners=np.int32([5, -2])), "must add up to the 3 corners, 2 polygons"),
        (TRIANGLE._replace(object_polygons=np.int32([2])), "must add up"),
        (TRIANGLE._replace(object_runs=np.int32([1])), "must add up"),
        (RUNS._replace(runs=np.int32([60, 5])), "must cover the 64 pixels of the original, got 65"),
        (RUNS._replace(runs=np.int32([65, -1])), "must not be negative, got -1"),
        (
            TRIANGLE._replace(corners=np.ones((2, 2)), polygon_corners=np.int32([2])),
            "at least 3 corners, got 2",
        ),
        (TRIANGLE._replace(runs=RUNS.runs, object_runs=np.int32([2])), "object 0 has polygons and runs"),
    ],
)
def test_broken_outlines_are_refused(outlines, line):
    with pytest.raises(tf.errors.InvalidArgumentError, match=line):
        draw_masks(outlines, (8, 8), (8, 8), False, (8, 8))


@pytest.mark.parametrize(
    ("original", "size", "frame", "line"),
    [
        ((0, 8), (8, 8), (8, 8), "a side must be in 1"),
        ((8, 8), (8, -1), (8, 8), "a side must be in 1"),
        ((8, 8), (8, 8), (8, 1 << 24), "a side must be in 1"),
        ((8, 8), (8, 9), (8, 8), "the frame must hold the image of 8 x 9, got 8 x 8"),
    ],
)
def test_wrong_sizes_are_refused(original, size, frame, line):
    with pytest.raises(tf.errors.InvalidArgumentError, match=line):
        draw_masks(TRIANGLE, original, size, False, frame)


def test_ranks_are_checked_while_the_graph_is_built():
    @tf.function(autograph=False)
    def draw(corners):
        return draw_masks(TRIANGLE._replace(corners=corners), (8, 8), (8, 8), False, (8, 8))

    with pytest.raises(ValueError, match="must be rank 2"):
        draw(tf.zeros([6], tf.float64))
