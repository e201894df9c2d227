"""Detectors of which one half comes from elsewhere: a proposal network alone, and Fast R-CNN."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.models import fast_cascade_rcnn_fpn, fast_rcnn_fpn, rpn_fpn
from cascade_tf.models.recipe_of_detector import recipe_of_detector
from cascade_tf.parts import part
from cascade_tf.prediction.test_time_augmentation import Augmentation, detect
from cascade_tf.proposals import GivenProposals
from cascade_tf.structures import ProposalBatch
from tests.conformance.catalogue import CLASS_NAMES, TINY
from tests.conformance.sample_inputs import image_batch, proposals, targets

SIZE = (64, 96)


def settings_of(recipe):
    """Those of the tiny detectors that a recipe has; the limit of detections stays."""
    known = recipe.names()
    mine = {n: v for n, v in TINY.items() if n in known or n.startswith("*")}
    return {n: v for n, v in mine.items() if n not in ("output.max_detections", "output.score_threshold")}


def rpn():
    keras.utils.set_random_seed(3)
    return rpn_fpn(["object"], **settings_of(rpn_fpn))


def fast(recipe=fast_cascade_rcnn_fpn):
    keras.utils.set_random_seed(3)
    return recipe(CLASS_NAMES, **settings_of(recipe))


def batch():
    return ProposalBatch(*image_batch(*SIZE), proposals(*SIZE))


def test_detections_of_an_rpn_are_its_proposals_best_first():
    detector = rpn()
    found = detector(image_batch(*SIZE))
    _, _, expected = detector.propose(image_batch(*SIZE))
    count = expected.valid.shape[1]
    assert not np.any(found.valid[:, count:])
    np.testing.assert_array_equal(found.valid[:, :count], expected.valid)
    np.testing.assert_array_equal(found.boxes[:, :count], expected.boxes)
    probabilities = np.where(expected.valid, tf.sigmoid(expected.scores), 0.0)
    np.testing.assert_allclose(found.scores[:, :count], probabilities, rtol=1e-6)
    np.testing.assert_array_equal(found.classes, found.valid)


def test_an_rpn_learns_from_its_own_losses_alone():
    detector = rpn()
    with tf.GradientTape() as tape:
        losses, metrics = detector.compute_losses(image_batch(*SIZE), targets(*SIZE))
        total = tf.add_n(list(losses.values()))
    assert set(losses) == {"rpn_objectness", "rpn_box"}
    assert set(metrics) == {"rpn_positives"}
    assert all(gradient is not None for gradient in tape.gradient(total, detector.trainable_variables))


@pytest.mark.parametrize("recipe", [fast_rcnn_fpn, fast_cascade_rcnn_fpn])
def test_fast_rcnn_has_no_losses_of_proposals(recipe):
    detector = fast(recipe)
    losses, _ = detector.compute_losses(batch(), targets(*SIZE))
    assert not any(name.startswith("rpn") for name in losses)
    assert len(losses) == 2 * detector.num_stages
    assert all(np.isfinite(value) for value in losses.values())


def test_the_boxes_that_are_given_decide_what_is_found():
    detector, here = fast(), batch()
    moved = here._replace(proposals=here.proposals._replace(boxes=here.proposals.boxes * np.float32(0.5)))
    assert not np.array_equal(detector(here).boxes, detector(moved).boxes)
    nothing = here._replace(proposals=here.proposals._replace(valid=np.zeros_like(here.proposals.valid)))
    assert not np.any(detector(nothing).valid)
    losses, _ = detector.compute_losses(nothing, targets(*SIZE))
    assert all(np.isfinite(value) for value in losses.values())


def test_the_loss_falls_on_given_proposals():
    detector, optimizer = fast(fast_rcnn_fpn), keras.optimizers.SGD(0.02, momentum=0.9)
    totals = []
    for _ in range(10):
        with tf.GradientTape() as tape:
            losses, _ = detector.compute_losses(batch(), targets(*SIZE))
            totals.append(tf.add_n(list(losses.values())))
        gradients = tape.gradient(totals[-1], detector.trainable_variables)
        optimizer.apply_gradients(zip(gradients, detector.trainable_variables, strict=True))
    assert totals[-1] < 0.7 * totals[0]


def test_given_proposals_are_where_they_were_in_every_size_and_mirrored():
    settings = {k: v for k, v in TINY.items() if k.startswith(("backbone", "neck", "short", "max"))}
    detector = rpn_fpn(["object"], proposals=part(GivenProposals), **settings, **{"output.nms_iou": 0.99})
    here = batch()
    # Test-time augmentation takes images in their own sizes.
    here = here._replace(original_size=here.image_size)
    alone = detector(here)
    here = tf.nest.map_structure(tf.convert_to_tensor, here)
    together = detect(detector, here, Augmentation(scales=(96, 40), max_side=200, flip=True))
    np.testing.assert_array_equal(together.valid, alone.valid)
    np.testing.assert_allclose(together.boxes, alone.boxes, atol=1e-3)


@pytest.mark.parametrize(("make", "inputs"), [(rpn, lambda: image_batch(*SIZE)), (fast, batch)])
def test_keras_file_and_recipe(make, inputs, tmp_path):
    detector = make()
    detector.save(tmp_path / "detector.keras")
    again = keras.saving.load_model(tmp_path / "detector.keras")
    for one, other in zip(again(inputs()), detector(inputs()), strict=True):
        np.testing.assert_array_equal(one, other)
    twin = recipe_of_detector(detector)(detector.class_names)
    assert [v.shape for v in twin.weights] == [v.shape for v in detector.weights]
