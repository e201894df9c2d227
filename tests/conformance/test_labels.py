"""Objects bear the labels 1..K: labels that start at 0 would be learnt as background without a word."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tests.conformance.catalogue import DETECTORS, LAYERS
from tests.conformance.sample_inputs import NUM_CLASSES, SIZES, targets, targets_of

START = "labels start at 1, class 0 is the background"
HEADS = [name for name in LAYERS if name.startswith(("CascadeHeads", "IntegralHeads"))]


def with_label(truth, label):
    """The ground truth whose first object has this label."""
    classes = np.array(truth.classes)
    classes[0, 0] = label
    return truth._replace(classes=classes)


@pytest.mark.parametrize("name", DETECTORS)
def test_detectors_refuse_labels_that_start_at_0(name):
    detector = DETECTORS[name].construct()
    truth = with_label(targets_of(detector, *SIZES[0]), 0)
    with pytest.raises(ValueError, match=rf"^targets.classes: got 0, expected .*: {START}"):
        detector.compute_losses(*DETECTORS[name].inputs(*SIZES[0]), truth)


@pytest.mark.parametrize("name", HEADS)
def test_heads_refuse_classes_that_there_are_not(name):
    layer, inputs = LAYERS[name].shared(), LAYERS[name].inputs(*SIZES[0])

    def run(truth):
        return layer(*inputs, truth, training=True)[0].logits

    traced = tf.function(run, autograph=False)
    for label in (0, -3, NUM_CLASSES + 1):
        truth = with_label(targets(*SIZES[0]), label)
        limits = f"expected 1..{NUM_CLASSES}: {START}"
        with pytest.raises(ValueError, match=f"targets.classes: got {label}, {limits}"):
            run(truth)
        with pytest.raises(tf.errors.InvalidArgumentError) as caught:
            traced(tf.nest.map_structure(tf.constant, truth))
        assert f"[{label}]" in str(caught.value)
        assert limits in str(caught.value)


@pytest.mark.parametrize("name", HEADS)
def test_what_is_no_object_may_have_any_class(name):
    layer, inputs = LAYERS[name].shared(), LAYERS[name].inputs(*SIZES[0])
    truth = targets(*SIZES[0])
    other = truth._replace(
        classes=np.where(truth.valid, truth.classes, 99).astype(np.int32), crowd=~truth.valid
    )
    expected = layer(*inputs, truth._replace(crowd=~truth.valid), training=True)
    for one, same in zip(layer(*inputs, other, training=True), expected, strict=True):
        np.testing.assert_array_equal(one.samples.classes, same.samples.classes)
