"""Under a mixed policy the features are 16 bits wide and every box keeps its float32 coordinates."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.structures import Proposals
from tests.conformance.catalogue import DETECTORS, EVERYTHING, LAYERS
from tests.conformance.sample_inputs import SIZES, image_size, pyramid, targets_of

GEOMETRY = ("boxes", "anchors", "deltas", "logits", "scores", "gt_boxes", "gt_iou")


@pytest.fixture(params=["mixed_bfloat16", "mixed_float16"])
def policy(request):
    keras.config.set_dtype_policy(request.param)
    return request.param


@pytest.mark.parametrize("name", EVERYTHING)
def test_boxes_and_scores_are_float32(name, policy):
    subject = EVERYTHING[name]
    outputs = subject.make()(*subject.inputs(*SIZES[0]))
    for structure in _structures(outputs):
        for field, value in structure._asdict().items():
            if field in GEOMETRY:
                assert value.dtype == tf.float32, field


@pytest.mark.parametrize("name", ["FPN", "ResNet"])
def test_features_follow_the_policy(name, policy):
    outputs = LAYERS[name].make()(*LAYERS[name].inputs(*SIZES[0]))
    assert {value.dtype.name for value in tf.nest.flatten(outputs)} == {policy.removeprefix("mixed_")}


def test_coordinates_pass_unrounded_through_the_cascade(policy):
    layer = LAYERS["CascadeHeads"].make()
    # 801.37 is 800 in bfloat16 and 801.5 in float16.
    boxes = np.tile(np.float32([3.37, 5.21, 801.37, 333.33]), (2, 1, 1))
    some = Proposals(boxes, np.zeros((2, 1), np.float32), np.ones((2, 1), bool))
    outputs = layer(pyramid(*SIZES[0]), some, image_size(*SIZES[0]))
    np.testing.assert_array_equal(outputs[0].samples.boxes, boxes)


@pytest.mark.parametrize("name", DETECTORS)
def test_boxes_are_clipped_to_the_unrounded_size_of_the_image(name, policy):
    detector = DETECTORS[name].make()
    detector.proposals.pre_nms_test = detector.proposals.post_nms_test = 500
    size = np.float32([[63.37, 93.37], [61.21, 91.21]])
    _, _, found = detector.propose(DETECTORS[name].inputs(*SIZES[0])[0]._replace(image_size=size))
    right = found.boxes.numpy()[..., 2]
    assert np.all(right <= size[:, 1:])
    # Some proposals reach the border: anchors of 128 pixels are wider than the images.
    assert np.any(right == size[:, 1:])


@pytest.mark.parametrize("name", DETECTORS)
def test_losses_are_finite_float32(name, policy):
    detector = DETECTORS[name].make()
    batch = DETECTORS[name].inputs(*SIZES[0])[0]
    losses, _ = detector.compute_losses(batch, targets_of(detector, *SIZES[0]))
    for key, value in losses.items():
        assert value.dtype == tf.float32, key
        assert np.isfinite(value), key


def _structures(nest):
    """All NamedTuples in a nest, the inner ones too."""
    if hasattr(nest, "_asdict"):
        yield nest
    if isinstance(nest, (list, tuple)):
        for item in nest:
            yield from _structures(item)
