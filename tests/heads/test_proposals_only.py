"""Proposals as detections."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.heads import ProposalsOnly
from tests.conformance.sample_inputs import image_size, proposals, targets


def test_probability_is_the_sigmoid_of_the_score_and_boxes_stay():
    some = proposals(64, 96)
    layer = ProposalsOnly(1)
    outputs = layer({}, some, image_size(64, 96))
    assert len(outputs) == layer.num_stages
    np.testing.assert_allclose(
        layer.class_probabilities(outputs)[..., 1], tf.sigmoid(some.scores), rtol=1e-6, atol=1e-7
    )
    np.testing.assert_array_equal(layer.detection_boxes(outputs), some.boxes[:, :, None])
    np.testing.assert_array_equal(outputs[-1].samples.valid, some.valid)


def test_nothing_is_learnt():
    layer, some, size = ProposalsOnly(1), proposals(64, 96), image_size(64, 96)
    outputs = layer({}, some, size, targets(64, 96), training=True)
    assert layer.compute_losses({}, outputs, size, targets(64, 96)) == ({}, {})
    assert layer.reported == ()
    assert not layer.variables


def test_several_classes_are_refused_with_the_remedy():
    with pytest.raises(ValueError, match="num_classes: got 3, expected 1, as proposals have no classes"):
        ProposalsOnly(3)
