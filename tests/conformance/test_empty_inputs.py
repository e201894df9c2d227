"""Nothing crashes or turns NaN where there is nothing: no object, no valid proposal, no detection."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tests.conformance.catalogue import DETECTORS, LAYERS
from tests.conformance.sample_inputs import SIZES, targets, targets_of


@pytest.mark.parametrize("name", ["CascadeHeads", "CascadeHeads-class_aware", "IntegralHeads"])
@pytest.mark.parametrize("training", [False, True])
def test_heads_without_a_valid_proposal(name, training):
    features, proposals, size = LAYERS[name].inputs(*SIZES[0])
    nothing = tf.nest.map_structure(np.zeros_like, proposals)
    objects = tf.nest.map_structure(np.zeros_like, targets(*SIZES[0]))
    outputs = LAYERS[name].shared()(features, nothing, size, objects, training=training)
    assert len(outputs) == 3
    for output in outputs:
        assert not np.any(output.samples.valid)
        assert np.all(np.isfinite(output.boxes))
        assert np.all(np.isfinite(output.logits))


@pytest.mark.parametrize("name", DETECTORS)
def test_gradients_without_any_object_are_finite(name):
    detector = DETECTORS[name].shared()
    nothing = tf.nest.map_structure(np.zeros_like, targets_of(detector, *SIZES[0]))
    with tf.GradientTape() as tape:
        losses, _ = detector.compute_losses(DETECTORS[name].inputs(*SIZES[0])[0], nothing)
        total = tf.add_n(list(losses.values()))
    assert np.isfinite(total)
    for number in range(1, detector.num_stages + 1):
        assert losses.get(f"stage{number}_box", 0.0) == 0.0
        assert losses.get(f"stage{number}_mask", 0.0) == 0.0
    for gradient in tape.gradient(total, detector.trainable_variables):
        assert gradient is None or np.all(np.isfinite(gradient))


def test_no_usable_box_gives_no_detection():
    boxes, probabilities, valid, size = LAYERS["DetectionOutput"].inputs(*SIZES[0])
    found = LAYERS["DetectionOutput"].shared()(boxes, probabilities, np.zeros_like(valid), size)
    assert not np.any(found.valid)
    for value in (found.boxes, found.scores, found.classes):
        np.testing.assert_array_equal(value, np.zeros_like(value))
