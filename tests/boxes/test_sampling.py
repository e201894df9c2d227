"""Random choice of anchors and RoIs: quotas, determinism, appended objects, unusable boxes."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.boxes import relabelled, sample_labels, sample_rois, unlabelled_samples, with_ground_truth
from cascade_tf.structures import Proposals
from tests.boxes.examples import objects_of, random_boxes, targets
from tests.reference import cascade as reference

SEEDS = tf.constant([[1, 2], [3, 4], [1, 2]])


def draw(labels, seed=SEEDS, num_samples=8, foreground_fraction=0.25, salt=1):
    chosen = sample_labels(
        tf.constant(labels, tf.int32),
        seed,
        num_samples=num_samples,
        foreground_fraction=foreground_fraction,
        salt=salt,
    )
    return chosen.numpy()


def counts(labels):
    return [(np.sum(row == 1), np.sum(row == 0)) for row in labels]


@pytest.mark.parametrize(
    ("foreground", "background", "expected"),
    [
        (10, 20, (2, 6)),
        (1, 20, (1, 7)),  # background fills the rest
        (0, 20, (0, 8)),
        (10, 3, (2, 3)),  # foreground does not
        (0, 0, (0, 0)),
    ],
)
def test_quotas(foreground, background, expected):
    labels = [[1] * foreground + [0] * background + [-1] * 5] * 3
    chosen = draw(labels)
    assert counts(chosen) == [expected] * 3
    kept = chosen >= 0
    np.testing.assert_array_equal(chosen[kept], np.array(labels)[kept])


def test_one_seed_one_choice():
    labels = [[1] * 10 + [0] * 50] * 3
    chosen = draw(labels)
    np.testing.assert_array_equal(chosen, draw(labels))
    np.testing.assert_array_equal(chosen[0], chosen[2])
    assert np.any(chosen[0] != chosen[1])
    assert np.any(chosen != draw(labels, salt=2))


def test_an_image_does_not_depend_on_its_batch():
    labels = [[1] * 10 + [0] * 50, [1] * 30 + [0] * 30, [0] * 60]
    chosen = draw(labels)
    for image in range(3):
        alone = draw(labels[image : image + 1], seed=SEEDS[image : image + 1])
        np.testing.assert_array_equal(alone[0], chosen[image])


def test_every_box_gets_its_turn():
    seeds = tf.stack([tf.range(200), tf.range(200) + 5], axis=1)
    chosen = draw([[1] * 8 + [0] * 8] * 200, seed=seeds, num_samples=4, foreground_fraction=0.5)
    share = (chosen >= 0).mean(axis=0)
    # 200 draws of 2 out of 8: a standard deviation of 0.03 around 1/4.
    np.testing.assert_allclose(share, np.full(16, 0.25), atol=0.12)


SQUARE, NEAR, FAR = (0.0, 0, 10, 10), (0.0, 0, 9, 10), (30.0, 30, 40, 40)


def proposals(boxes, valid=None):
    boxes = np.asarray(boxes, np.float32)
    if boxes.ndim == 2:
        boxes = boxes[None]
    scores = np.tile(np.arange(boxes.shape[1], dtype=np.float32), (len(boxes), 1))
    return Proposals(
        tf.constant(boxes), tf.constant(scores), tf.ones(boxes.shape[:2], tf.bool) if valid is None else valid
    )


def test_foreground_comes_first_and_objects_join():
    some = targets([[(SQUARE, 3)]], size=2)
    drawn = sample_rois(proposals([FAR, NEAR, FAR]), some, iou=0.5, num_samples=6, foreground_fraction=0.5)
    np.testing.assert_array_equal(drawn.valid, [[True] * 4 + [False] * 2])
    np.testing.assert_array_equal(drawn.classes, [[3, 3, 0, 0, 0, 0]])
    np.testing.assert_array_equal(drawn.boxes[0, :4], [NEAR, SQUARE, FAR, FAR])
    np.testing.assert_array_equal(drawn.gt_boxes[0], [SQUARE, SQUARE] + [[0] * 4] * 4)
    np.testing.assert_allclose(drawn.gt_iou[0], [0.9, 1.0, 0, 0, 0, 0], rtol=1e-6)
    # An object's own logit stands for a certain detection.
    np.testing.assert_allclose(drawn.scores[0, :4], [1, 23.02585, 0, 2])
    np.testing.assert_array_equal(drawn.gt_index, np.zeros([1, 6]))


def test_objects_do_not_join_unless_told():
    some = targets([[(SQUARE, 3)]])
    drawn = sample_rois(proposals([FAR]), some, iou=0.5, num_samples=None, append_ground_truth=False)
    np.testing.assert_array_equal(drawn.boxes, [[FAR]])
    np.testing.assert_array_equal(drawn.classes, [[0]])


def test_no_number_keeps_all_in_order():
    some = targets([[(SQUARE, 3)]])
    boxes = [FAR, NEAR, FAR, NEAR, NEAR]
    drawn = sample_rois(proposals(boxes), some, iou=0.5, num_samples=None)
    np.testing.assert_array_equal(drawn.boxes[0], [*boxes, SQUARE])
    np.testing.assert_array_equal(drawn.classes, [[0, 3, 0, 3, 3, 3]])


def test_a_crowd_is_not_appended_and_hides_background():
    some = targets([[(FAR, 0), (SQUARE, 2)]])
    drawn = sample_rois(
        proposals([FAR, NEAR, (60, 60, 70, 70)]), some, iou=0.5, num_samples=5, foreground_fraction=1
    )
    np.testing.assert_array_equal(drawn.classes, [[2, 2, 0, 0, 0]])
    np.testing.assert_array_equal(drawn.valid, [[True, True, True, False, False]])


@pytest.mark.parametrize(
    "box", [(5, 5, 5, 9), (9, 5, 5, 9), (np.nan, 0, 10, 10), (0, 0, np.inf, 10), (-np.inf, 0, 10, 10)]
)
@pytest.mark.parametrize("num_samples", [None, 4])
def test_unusable_boxes_are_never_sampled(box, num_samples):
    some = targets([[(SQUARE, 1)]])
    drawn = sample_rois(
        proposals([box, NEAR]), some, iou=0.5, num_samples=num_samples, foreground_fraction=1.0
    )
    valid = drawn.valid[0].numpy()
    np.testing.assert_array_equal(drawn.boxes[0][valid], [NEAR, SQUARE])
    np.testing.assert_array_equal(drawn.classes[0][valid], [1, 1])
    np.testing.assert_array_equal(drawn.classes[0][~valid], 0)


def test_padding_of_the_proposals_is_never_sampled():
    some = targets([[(SQUARE, 1)]])
    valid = tf.constant([[False, True]])
    drawn = sample_rois(proposals([NEAR, FAR], valid), some, iou=0.5, num_samples=3, foreground_fraction=1.0)
    np.testing.assert_array_equal(drawn.boxes[0][drawn.valid[0]], [SQUARE, FAR])


@pytest.mark.parametrize("size", [0, 3])
def test_image_without_objects(size):
    drawn = sample_rois(proposals([FAR, NEAR]), targets([[]], size=size), iou=0.5, num_samples=4)
    np.testing.assert_array_equal(drawn.valid, [[True, True, False, False]])
    np.testing.assert_array_equal(drawn.classes, np.zeros([1, 4]))


# Boxes of the height of SQUARE, whose IoU with it is their width / 10.
HALF, QUARTER, TENTH = ((0.0, 0, width, 10) for width in (5, 2.5, 1))


def labels_of(drawn):
    """The first image's classes, -1 where a box is left out."""
    return np.where(drawn.valid[0], drawn.classes[0], -1).tolist()


@pytest.mark.parametrize(
    ("background_range", "expected"),
    [
        (None, [3, 0, 0, 0]),
        ((0.0, 0.6), [3, 0, 0, 0]),
        ((0.25, 0.5), [3, -1, 0, -1]),  # the lower end belongs to it, the upper does not
        ((0.1, 0.25), [3, -1, -1, 0]),
    ],
)
def test_range_of_the_background(background_range, expected):
    drawn = sample_rois(
        proposals([NEAR, HALF, QUARTER, TENTH]),
        targets([[(SQUARE, 3)]]),
        iou=0.6,
        num_samples=None,
        append_ground_truth=False,
        background_range=background_range,
    )
    assert labels_of(drawn) == expected


@pytest.mark.parametrize(
    ("num_samples", "expected"),
    [
        (3, [NEAR, QUARTER, HALF]),
        (4, [NEAR, QUARTER, HALF, TENTH]),
        (5, [NEAR, QUARTER, HALF, TENTH, FAR]),
        (9, [NEAR, QUARTER, HALF, TENTH, FAR]),  # more than there are
    ],
)
def test_boxes_left_out_fill_up_in_their_order(num_samples, expected):
    boxes = [HALF, NEAR, (5, 5, 5, 9), TENTH, QUARTER, FAR]
    settings = {
        "iou": 0.6,
        "num_samples": num_samples,
        "foreground_fraction": 0.34,
        "append_ground_truth": False,
        "background_range": (0.2, 0.4),
    }
    some = targets([[(SQUARE, 3)]])
    filled = sample_rois(proposals(boxes), some, top_up=True, **settings)
    found = filled.boxes[0][filled.valid[0]].numpy()
    assert {tuple(box) for box in found} == {tuple(box) for box in expected}
    assert sorted(labels_of(filled), reverse=True)[: len(expected)] == [3] + [0] * (len(expected) - 1)
    alone = sample_rois(proposals(boxes), some, **settings)
    np.testing.assert_array_equal(alone.boxes[0][alone.valid[0]], [NEAR, QUARTER])


@pytest.mark.parametrize("top_up", [False, True])
@pytest.mark.parametrize("size", [0, 2])
def test_range_of_the_background_without_objects(size, top_up):
    drawn = sample_rois(
        proposals([FAR, NEAR]),
        targets([[]], size=size),
        iou=0.5,
        num_samples=4,
        background_range=(0.1, 0.5),
        top_up=top_up,
    )
    assert labels_of(drawn) == ([0, 0, -1, -1] if top_up else [-1] * 4)
    assert np.all(np.isfinite(drawn.boxes))


def test_a_crowd_that_is_matched_takes_its_foreground_away():
    some = targets([[(FAR, 0), (SQUARE, 2)]])
    boxes = [FAR, NEAR, (30, 30, 34, 40), (60, 60, 70, 70)]
    drawn = sample_rois(
        proposals(boxes), some, iou=0.5, num_samples=None, match_crowds=True, crowd_cover=None
    )
    # The part of the crowd, with an IoU of 0.4, is background, and the crowd's own box is nothing.
    assert labels_of(drawn) == [-1, 2, 0, 0, -1, 2]
    topped = sample_rois(
        proposals(boxes), some, iou=0.5, num_samples=8, match_crowds=True, crowd_cover=None, top_up=True
    )
    assert sorted(labels_of(topped)) == [-1] * 4 + [0, 0, 2, 2]


def test_an_object_to_ignore_takes_its_foreground_away():
    some = targets([[(FAR, -1), (SQUARE, 2)]])
    inside = (33.0, 33, 37, 37)
    drawn = sample_rois(proposals([FAR, NEAR, inside]), some, iou=0.5, num_samples=None)
    assert labels_of(drawn) == [-1, 2, 0, -1, 2]
    topped = sample_rois(proposals([FAR, NEAR, inside]), some, iou=0.5, num_samples=8, top_up=True)
    assert sorted(labels_of(topped)) == [-1] * 5 + [0, 2, 2]


@pytest.mark.parametrize("append", [True, False])
def test_equals_loops(append):
    images = [list(zip(random_boxes(4, seed=s, min_side=5), (1, 2, 3, 0), strict=True)) for s in range(3)]
    some = targets([images[0], images[1][:1], []])
    boxes = np.stack([random_boxes(40, seed=50 + s, min_side=3) for s in range(3)])
    drawn = sample_rois(
        proposals(boxes), some, iou=0.3, num_samples=60, foreground_fraction=1.0, append_ground_truth=append
    )
    for image in range(3):
        objects, crowds = objects_of(some, image)
        expected = reference.first_stage([list(b) for b in boxes[image]], objects, 0.3, crowds, append)
        valid = drawn.valid[image].numpy()
        np.testing.assert_array_equal(drawn.boxes[image][valid], np.float32([s.box for s in expected]))
        np.testing.assert_array_equal(drawn.classes[image][valid], [s.label for s in expected])
        np.testing.assert_allclose(drawn.gt_iou[image][valid], [s.iou for s in expected], atol=1e-6)
        wanted = np.float32([s.target or [0] * 4 for s in expected])
        np.testing.assert_array_equal(drawn.gt_boxes[image][valid], wanted)


# IoU of 0.9, 0.65, 0.55 and 0.4 with SQUARE.
STRIPS = [(0.0, 0, width, 10) for width in (9, 6.5, 5.5, 4)]


@pytest.mark.parametrize(
    ("iou", "classes"), [(0.5, [3, 3, 3, 0]), (0.6, [3, 3, 0, 0]), (0.7, [3, 0, 0, 0]), (0.95, [0] * 4)]
)
def test_labels_of_another_threshold(iou, classes):
    some = targets([[(SQUARE, 3), ((100, 100, 120, 120), 1)]])
    drawn = sample_rois(proposals(STRIPS), some, iou=0.5, num_samples=None, append_ground_truth=False)
    again = relabelled(drawn, some, iou=iou)
    np.testing.assert_array_equal(again.classes, [classes])
    np.testing.assert_array_equal(again.valid, [[True] * 4])
    for field in ("boxes", "scores", "gt_boxes", "gt_iou", "gt_index"):
        assert getattr(again, field) is getattr(drawn, field)


def test_what_becomes_background_under_a_crowd_is_left_out():
    some = targets([[(SQUARE, 3), ((0, 0, 30, 30), 0)]])
    drawn = sample_rois(proposals(STRIPS), some, iou=0.5, num_samples=None, append_ground_truth=False)
    np.testing.assert_array_equal(drawn.valid, [[True, True, True, False]])
    again = relabelled(drawn, some, iou=0.6)
    np.testing.assert_array_equal(again.valid, [[True, True, False, False]])
    np.testing.assert_array_equal(again.classes, [[3, 3, 0, 0]])
    np.testing.assert_array_equal(relabelled(drawn, some, iou=0.6, crowd_cover=None).valid, drawn.valid)


def test_what_is_not_drawn_stays_so_under_another_threshold():
    some = targets([[(SQUARE, -3)]])
    drawn = sample_rois(proposals(STRIPS), some, iou=0.5, num_samples=None, append_ground_truth=False)
    np.testing.assert_array_equal(drawn.valid, [[False, False, False, True]])
    np.testing.assert_array_equal(relabelled(drawn, some, iou=0.7).valid, drawn.valid)


def test_objects_join_the_proposals():
    some = targets([[(SQUARE, 3), (FAR, 0)], [(FAR, -2)]])
    given = proposals([[NEAR], [NEAR]], tf.constant([[True], [False]]))
    both = with_ground_truth(given, some)
    np.testing.assert_array_equal(both.boxes[0], [NEAR, SQUARE, FAR])
    np.testing.assert_array_equal(both.valid, [[True, True, False], [False, False, False]])
    np.testing.assert_allclose(both.scores[0], [0, 23.02585, 23.02585])


def test_samples_at_test_are_the_proposals():
    given = proposals([FAR, NEAR], tf.constant([[True, False]]))
    samples = unlabelled_samples(given)
    assert samples[:3] == given
    assert not any(np.any(value) for value in samples[3:])
    assert samples.gt_index.dtype == samples.classes.dtype == tf.int32
