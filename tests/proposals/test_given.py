"""Proposals that come with the images."""

from __future__ import annotations

import numpy as np
import pytest

from cascade_tf.proposals import GivenProposals
from cascade_tf.structures import ProposalBatch, Proposals
from tests.conformance.sample_inputs import image_batch

BOXES = np.float32([[0, 0, 10, 10], [5, 5, 200, 300], [70, 2, 90, 9], [4, 4, 4, 9]])
SCORES = np.float32([3.0, 2.0, 1.0, 0.5])


@pytest.fixture
def batch():
    """Images of 48 x 64 pixels; the third box lies outside and the fourth has no area."""
    given = Proposals(np.stack([BOXES] * 2), np.stack([SCORES] * 2), np.bool_([[1, 1, 1, 1], [1, 0, 1, 1]]))
    size = np.float32([[48, 64], [48, 64]])
    return ProposalBatch(*image_batch(48, 64)._replace(image_size=size), given)


def test_boxes_are_clipped_and_those_without_area_are_not_valid(batch):
    _, found = GivenProposals().of_batch({}, batch)
    np.testing.assert_array_equal(found.valid, [[True, True, False, False], [True, False, False, False]])
    np.testing.assert_array_equal(found.boxes[0, :2], [[0, 0, 10, 10], [5, 5, 64, 48]])
    np.testing.assert_array_equal(found.boxes[0, 2:], np.zeros((2, 4)))
    np.testing.assert_array_equal(found.scores, [[3, 2, 0, 0], [3, 0, 0, 0]])


@pytest.mark.parametrize(("training", "expected"), [(True, 4), (False, 1)])
def test_all_for_training_and_the_best_for_inference(batch, training, expected):
    _, found = GivenProposals(limit_test=1).of_batch({}, batch, training=training)
    assert found.boxes.shape == (2, expected, 4)


def test_fewer_proposals_than_the_limit_are_all(batch):
    assert GivenProposals(limit_train=100).of_batch({}, batch, training=True)[1].boxes.shape == (2, 4, 4)


def test_there_is_nothing_to_learn(batch):
    layer = GivenProposals()
    output, _ = layer.of_batch({}, batch, training=True)
    assert layer.compute_losses(output, None) == ({}, {})
    assert layer.reported == ()
    assert output.anchors.shape == (0, 4)


def test_a_batch_without_proposals_is_told():
    with pytest.raises(
        TypeError, match="makes no proposals of its own: got ImageBatch, expected ProposalBatch"
    ):
        GivenProposals().of_batch({}, image_batch(48, 64))


def test_limits_are_checked():
    with pytest.raises(ValueError, match="limit_test: got 0, expected 1 or more, or none"):
        GivenProposals(limit_test=0)
