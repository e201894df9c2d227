"""What MS-CNN's branches and heads learn in both steps of the authors' training, and from what.

The pixels, the weights and what was drawn at random are handed over, and nothing else.
"""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.losses import stage_losses
from cascade_tf.pooling import ROIPool
from cascade_tf.structures import StageOutput
from cascade_tf.weights.places import places
from tests.golden.caffe_boxes import continuous, find, rows
from tests.golden.mscnn_nets import RecordedStep, imported, steps
from tests.golden.mscnn_pooling import RecordedROIPool
from tests.golden.test_caffe_nets import STAGES, batch_of, close, in_caffes_layout, samples_of

BACKGROUND_IOU = 0.2
RELATIVE = 1e-4
BOX = 1e-4
# A bias sums what thousands of cells say, some of which are at the kink of a ReLU.
GRADIENT = 2e-4


def predicted(detector, step):
    """The maps and what the branches say of them."""
    batch = batch_of(step.arrays)
    features = detector.features(batch, training=True)
    return features, detector.proposals.predict(features, batch.image_size)


@pytest.mark.parametrize(("net", "step"), steps())
def test_labels(net, step):
    detector, recorded = imported(net, step).detector, RecordedStep(net, step)
    _, output = predicted(detector, recorded)
    targets, expected = recorded.targets(), recorded.labels()
    match = detector.proposals.match(output, targets)
    foreground = expected[..., 0] > 0
    background = ~foreground & (expected[..., 5] < BACKGROUND_IOU)
    np.testing.assert_array_equal(match.labels, np.where(foreground, 1, np.where(background, 0, -1)))
    assert foreground.sum() > 10
    classes = tf.gather(targets.classes, match.index, batch_dims=1).numpy()
    np.testing.assert_array_equal(classes[foreground], expected[foreground, 0])
    boxes = tf.gather(targets.boxes, match.index, batch_dims=1).numpy() - np.float32([0, 0, 1, 1])
    centre, half = expected[..., 1:3], expected[..., 3:5] / 2
    corners = np.concatenate([centre - half, centre + half], axis=-1)
    np.testing.assert_allclose(boxes[foreground], corners[foreground], atol=BOX)
    # The record says 1 of what an object claims in a region that is not looked at.
    known = foreground & (expected[..., 5] < 1)
    np.testing.assert_allclose(match.iou.numpy()[known], expected[known, 5], atol=BOX)


@pytest.mark.parametrize(("net", "step"), [one for one in steps() if one.values[1] == "train_2nd"])
def test_proposals(net, step):
    detector, recorded = imported(net, step).detector, RecordedStep(net, step)
    _, output = predicted(detector, recorded)
    proposals = detector.proposals.propose(output, training=True)
    expected = rows(recorded.arrays["out/proposals"])
    for image, (boxes, valid) in enumerate(zip(proposals.boxes, proposals.valid, strict=True)):
        wanted = continuous(expected[expected[:, 0] == image, 1:])
        assert len(wanted) == np.count_nonzero(valid) > 100
        find(boxes.numpy()[valid], wanted)


@pytest.mark.parametrize(("net", "step"), [one for one in steps() if one.values[1] == "train_2nd"])
def test_hardest_negatives(net, step):
    detector, recorded = imported(net, step).detector, RecordedStep(net, step)
    _, output = predicted(detector, recorded)
    found = detector.proposals.label(output, recorded.targets())
    assert detector.proposals.negatives == "hardest"
    np.testing.assert_array_equal(found.labels >= 0, recorded.chosen())


@pytest.mark.parametrize(("net", "step"), [one for one in steps() if one.values[1] == "train_1st"])
def test_random_negatives_are_as_many_as_the_authors_draw_at_most(net, step):
    detector, recorded = imported(net, step).detector, RecordedStep(net, step)
    _, output = predicted(detector, recorded)
    network = detector.proposals
    assert network.negatives == "random"
    found = network.label(output, recorded.targets()).labels
    drawn, possible = recorded.chosen(), recorded.labels()
    background = (possible[..., 0] == 0) & (possible[..., 5] < BACKGROUND_IOU)
    assert np.all(background[found == 0])
    np.testing.assert_array_equal(found > 0, possible[..., 0] > 0)
    # They draw with repetition, and lose the draws that hit what is ignored.
    assert np.count_nonzero(drawn) <= np.count_nonzero(found >= 0) <= 2.2 * np.count_nonzero(drawn)


def losses_of_heads(detector, net, features):
    """Weighted losses of all stages on the RoIs that the record drew."""
    found = []
    for number, stage in enumerate(detector.heads.stages):
        samples = samples_of(net, number)
        maps = stage.head.prepare(features)
        pooling = detector.heads.pooling
        pooling = RecordedROIPool(pooling) if isinstance(pooling, ROIPool) else pooling
        pooled = stage.head.pool(pooling, maps, samples.boxes)
        output = StageOutput(samples, maps, pooled, *stage(pooled, training=True), samples.boxes)
        mine = stage_losses(output, stage.coder)
        names = [f"out/loss_{kind}{STAGES[number]}" for kind in ("cls", "bbox")]
        np.testing.assert_allclose(mine, [net.train[name] for name in names], rtol=RELATIVE)
        found += [stage.weight * loss for loss in mine]
    return found


def check_branch_losses(network, recorded, losses):
    """Compares the losses of every template, and the weights of their branches."""
    for layers, weight, (classes, boxes) in zip(
        recorded.branches, network.branch_weights, losses, strict=True
    ):
        for number, name in enumerate(layers):
            layer = recorded.losses[name]
            both, box = recorded.arrays[f"out/{layer.tops[0]}"].ravel()
            np.testing.assert_allclose(classes[number] + boxes[number], both, rtol=RELATIVE)
            np.testing.assert_allclose(boxes[number], box, rtol=RELATIVE, atol=1e-6)
            assert float(layer.settings.get("loss_weight", 1)) == weight


@pytest.mark.parametrize(("net", "step"), steps())
def test_losses_and_gradients(net, step):
    done, recorded = imported(net, step), RecordedStep(net, step)
    detector = done.detector
    network = detector.proposals
    with tf.GradientTape() as tape:
        features, output = predicted(detector, recorded)
        targets = recorded.chosen_targets(network, output)
        check_branch_losses(network, recorded, network.losses_of_branches(output, targets))
        losses = list(network.anchor_losses(output, targets))
        if step == "train_2nd":
            losses += losses_of_heads(detector, net.in_phase(step), features)
        total = tf.add_n(losses)
    variables = detector.trainable_variables
    gradients = {id(v): g for v, g in zip(variables, tape.gradient(total, variables), strict=True)}
    expected = {k.split("__")[0]: v for k, v in recorded.arrays.items() if k.startswith("grad/")}
    found = places(detector)
    for name, blobs in done.report.loaded.items():
        place, (blob,) = found[name], blobs
        gradient = gradients.get(id(place.variable))
        if gradient is None:
            assert f"grad/{blob}" not in expected
            continue
        # What is zero was not recorded.
        wanted = expected.pop(f"grad/{blob}", np.zeros_like(net.weights[blob]))
        close(in_caffes_layout(gradient, place, detector)[: len(wanted)], wanted, GRADIENT)
    assert not expected
