"""Proposals from a file go where their images go."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.data.class_matching import as_one_class
from cascade_tf.data.coco import read_coco
from cascade_tf.data.pipeline import eval_batches, train_batches
from cascade_tf.data.proposal_set import ProposalSet
from cascade_tf.data.proposals import with_proposals
from cascade_tf.structures import ImageBatch, ProposalBatch


@pytest.fixture
def dataset(dataset_dir):
    return read_coco(dataset_dir / "instances_train.json")


def own_boxes(dataset, **changes):
    """The objects as proposals, in an order of the images of its own; worse come the later ones."""
    examples = dataset.examples[::-1]
    counts = [len(example.boxes) for example in examples]
    proposals = ProposalSet(
        image_ids=np.array([example.image_id for example in examples]),
        offsets=np.concatenate([[0], np.cumsum(counts)]),
        boxes=np.concatenate([example.boxes for example in examples]),
        scores=np.concatenate([-np.arange(count, dtype=np.float32) for count in counts]),
        sizes=np.array([(example.height, example.width) for example in examples], np.int32),
        source="proposals x.npz",
    )
    return replace(proposals, **changes)


@pytest.mark.parametrize("settings", [{"short_sides": (30, 60)}, {"crop": True}])
def test_what_happens_to_objects_happens_to_proposals(dataset, settings):
    given = with_proposals(dataset, own_boxes(dataset))
    settings = {"batch_size": 2, "short_sides": (64,), "max_side": 80, "num_steps": 8, **settings}
    plain = list(train_batches(dataset, **settings))
    for (batch, targets), (before, same_targets) in zip(train_batches(given, **settings), plain, strict=True):
        assert isinstance(batch, ProposalBatch)
        tf.nest.map_structure(np.testing.assert_array_equal, ImageBatch(*batch[:4]), before)
        tf.nest.map_structure(np.testing.assert_array_equal, targets, same_targets)
        np.testing.assert_array_equal(batch.proposals.boxes, targets.boxes)
        np.testing.assert_array_equal(batch.proposals.valid, targets.valid | targets.crowd)


def test_evaluation_has_them_in_the_frame_that_it_shows(dataset):
    given = with_proposals(dataset, own_boxes(dataset))
    settings = {"batch_size": 1, "short_side": 80, "max_side": 200}
    for batch, example in zip(eval_batches(given, **settings), dataset.examples, strict=True):
        scale = np.tile((batch.image_size / batch.original_size).numpy()[0, ::-1], 2)
        found = batch.proposals.boxes.numpy()[0, : len(example.boxes)]
        np.testing.assert_allclose(found, example.boxes * scale, rtol=1e-6)
        assert np.sum(batch.proposals.valid) == len(example.boxes)


def test_evaluation_at_the_files_own_size(dataset):
    given = with_proposals(dataset, own_boxes(dataset))
    batch = next(iter(eval_batches(given, batch_size=1, short_side=None, max_side=None)))
    np.testing.assert_array_equal(batch.proposals.boxes[0, :1], dataset.examples[0].boxes)


def test_the_best_come_first_whatever_the_order_of_the_file(dataset):
    own = own_boxes(dataset)
    worse = with_proposals(dataset, replace(own, scores=-own.scores))
    batches = list(eval_batches(worse, batch_size=5, short_side=None, max_side=None))
    boxes, scores = batches[0].proposals.boxes[1].numpy(), batches[0].proposals.scores[1].numpy()
    np.testing.assert_array_equal(boxes, dataset.examples[1].boxes[::-1])
    np.testing.assert_array_equal(scores, [1, 0])


def test_a_resumed_run_gets_the_proposals_of_one_that_never_stopped(dataset):
    given = with_proposals(dataset, own_boxes(dataset))
    settings = {"batch_size": 2, "short_sides": (48, 64), "max_side": 80}
    whole = list(train_batches(given, **settings, num_steps=7))
    for got, expected in zip(
        train_batches(given, **settings, start_step=4, num_steps=3), whole[4:], strict=True
    ):
        tf.nest.map_structure(np.testing.assert_array_equal, got, expected)


def test_all_images_may_be_without_a_proposal(dataset):
    nothing = own_boxes(
        dataset,
        offsets=np.zeros(6, np.int64),
        boxes=np.zeros((0, 4), np.float32),
        scores=np.zeros(0, np.float32),
    )
    batch = next(
        iter(eval_batches(with_proposals(dataset, nothing), batch_size=5, short_side=40, max_side=80))
    )
    assert batch.proposals.boxes.shape == (5, 1, 4)
    assert not np.any(batch.proposals.valid)


def test_images_that_are_missing_are_told(dataset):
    own = own_boxes(dataset)
    fewer = replace(own, image_ids=np.where(own.image_ids == 12, 99, own.image_ids))
    with pytest.raises(
        ValueError, match=r"x\.npz: 1 of 5 images are not in it, the first has the id 12 \(.*c"
    ):
        with_proposals(dataset, fewer)


def test_proposals_of_another_picture_are_told(dataset):
    own = own_boxes(dataset)
    with pytest.raises(
        ValueError, match=r"record 4 \(image id 10\): proposals of an image of 40 x 60 pixels, exp"
    ):
        with_proposals(dataset, replace(own, sizes=own.sizes[:, ::-1]))


def test_one_class_of_all(dataset):
    merged = as_one_class(dataset)
    assert merged.class_names == ("object",)
    assert merged.num_objects == dataset.num_objects
    assert {int(c) for example in merged.examples for c in example.classes} == {1}
    truth = merged.ground_truth()
    assert truth["categories"] == [{"id": 1, "name": "object"}]
    assert {record["category_id"] for record in truth["annotations"]} == {1}
    assert len(truth["annotations"]) == len(dataset.ground_truth()["annotations"])
    assert as_one_class(merged).ground_truth() == truth
