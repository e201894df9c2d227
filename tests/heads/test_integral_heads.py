"""The integral loss: labels, losses and probabilities against slow loops, in both forms."""

from __future__ import annotations

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.heads import BoxHead, ConvFCHead, IntegralHeads, PositionSensitiveHead, Stage, integral
from cascade_tf.parts import constructors, part
from cascade_tf.pooling import PSROIPool, ROIAlign
from tests.boxes.examples import objects_of
from tests.heads.examples import (
    CHANNELS,
    IMAGE_SIZE,
    NUM_CLASSES,
    STRIDES,
    arrays,
    ground_truth,
    proposals,
    pyramid,
)
from tests.reference import cascade as reference

IOUS = (0.5, 0.6, 0.7)
STD = (0.1, 0.1, 0.2, 0.2)
# float32 sums over some dozen values.
LOSS = 1e-4
PROBABILITY = 1e-5


def build(hidden_layers="shared", head=None, pooling=None, **settings):
    """Heads whose offsets and logits are neither small nor alike."""
    align = part(ROIAlign, output_size=3, canonical_size=40.0)
    heads = integral(
        NUM_CLASSES,
        hidden_layers=hidden_layers,
        head=head or part(BoxHead, units=8),
        pooling=pooling or align,
        # Places for all proposals.
        **{"num_samples": 40, "foreground_fraction": 1.0, **settings},
    )
    heads.build(dict.fromkeys(STRIDES, (None, None, None, CHANNELS)))
    generator = np.random.default_rng(5)
    for variable in heads.trainable_variables:
        variable.assign(generator.normal(0, 0.3, variable.shape))
    return heads


@pytest.fixture(params=["shared", "own"])
def heads(request):
    return build(request.param)


def train(heads):
    return heads(pyramid(), proposals(), IMAGE_SIZE, ground_truth(), training=True)


def softmax(logits):
    return np.stack([[reference.softmax(one) for one in image] for image in np.asarray(logits)])


def test_labels_and_losses_equal_loops(heads):
    outputs = train(heads)
    losses, metrics = heads.compute_losses(pyramid(), outputs, IMAGE_SIZE, ground_truth())
    assert list(losses) == ["stage1_class", "stage1_box", "stage2_class", "stage3_class"]
    positives = []
    for number, (output, iou) in enumerate(zip(outputs, IOUS, strict=True), start=1):
        samples, found = arrays(output.samples), []
        for image in range(2):
            objects, crowds = objects_of(ground_truth(), image)
            given = [list(map(float, box)) for box in proposals().boxes[image].numpy()]
            drawn = reference.first_stage(given, objects, IOUS[0], crowds)
            expected = [reference.label(one.box, objects, iou, crowds) for one in drawn]
            kept = np.array([one is not None for one in expected])
            np.testing.assert_array_equal(samples.valid[image], np.pad(kept, (0, 40 - len(kept))))
            expected = [one for one in expected if one is not None]
            labels = samples.classes[image][samples.valid[image]]
            np.testing.assert_array_equal(labels, [one.label for one in expected])
            found += expected
        logits, deltas = (value.numpy()[samples.valid] for value in (output.logits, output.deltas))
        class_loss, box_loss = reference.losses(found, logits, deltas, STD)
        np.testing.assert_allclose(losses[f"stage{number}_class"], class_loss, rtol=LOSS)
        if number == 1:
            np.testing.assert_allclose(losses["stage1_box"], box_loss, rtol=LOSS)
        positives.append(sum(one.label > 0 for one in found) / 2)
        assert metrics[f"stage{number}_positives"] == positives[-1]
    assert positives[0] > positives[1] > positives[2] > 0


def test_outputs_differ_in_logits_and_labels_alone(heads):
    for outputs in (train(heads), heads(pyramid(), proposals(), IMAGE_SIZE)):
        assert len(outputs) == heads.num_stages == 3
        for output in outputs[1:]:
            assert output.deltas is outputs[0].deltas
            assert output.boxes is outputs[0].boxes
            assert output.samples.boxes is outputs[0].samples.boxes
            assert output.pooled is outputs[0].pooled
            assert np.abs(output.logits - outputs[0].logits).max() > 0.1


def dense(x, layer):
    return x @ layer.kernel.numpy() + layer.bias.numpy()


def test_hidden_layers_are_shared_or_each_classifiers_own(heads):
    outputs = heads(pyramid(), proposals(), IMAGE_SIZE)
    pooled = outputs[0].pooled.numpy()[0, :16].reshape(16, -1)
    every = [heads.stage.head, *heads.further_heads]
    assert len(every) == (3 if heads.further_heads else 1)
    logits = []
    for head in every:
        hidden = pooled
        for layer in head.dense:
            hidden = np.maximum(dense(hidden, layer), 0)
        logits += np.split(dense(hidden, head.classifier), head.num_classifiers, axis=-1)
        if head is every[0]:
            deltas = dense(hidden, head.regressor)
    for output, expected in zip(outputs, logits, strict=True):
        np.testing.assert_allclose(output.logits[0, :16], expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(output.deltas[0, :16], deltas, rtol=1e-4, atol=1e-4)


def test_probabilities_are_the_mean_of_all_classifiers(heads):
    outputs = heads(pyramid(), proposals(), IMAGE_SIZE)
    each = [softmax(output.logits[:, :16]) for output in outputs]
    rows = [heads.class_probabilities(outputs[row])[:, :16] for row in heads.rows.values()]
    assert list(heads.rows) == ["classifier 0.5", "classifier 0.6", "classifier 0.7", "mean"]
    expected = [*each, np.mean(each, axis=0)]
    for found, probabilities in zip(rows, expected, strict=True):
        np.testing.assert_allclose(found, probabilities, atol=PROBABILITY)
    np.testing.assert_array_equal(heads.class_probabilities(outputs)[:, :16], rows[-1])


@pytest.mark.parametrize("class_agnostic", [True, False])
def test_boxes_are_the_regressors(class_agnostic):
    heads = build(head=part(BoxHead, units=8, class_agnostic=class_agnostic))
    outputs = heads(pyramid(), proposals(), IMAGE_SIZE)
    boxes = heads.detection_boxes(outputs)
    assert boxes.shape == (2, 18, 1 if class_agnostic else NUM_CLASSES, 4)
    for k in range(boxes.shape[2]):
        delta = outputs[0].deltas[0, 3, 4 * k : 4 * k + 4].numpy()
        expected = reference.decode(delta, proposals().boxes[0, 3].numpy(), STD)
        np.testing.assert_allclose(boxes[0, 3, k], expected, rtol=1e-4, atol=1e-3)
    np.testing.assert_array_equal(heads.detection_boxes(outputs[:1])[:, :16], boxes[:, :16])


def gradients_of(heads, choose):
    features = pyramid()
    with tf.GradientTape() as tape:
        outputs = heads(features, proposals(), IMAGE_SIZE, ground_truth(), training=True)
        losses = heads.compute_losses(features, outputs, IMAGE_SIZE, ground_truth())[0]
        total = tf.add_n([value for name, value in losses.items() if choose(name)])
    return tape.gradient(total, heads.trainable_variables)


HEADS = {
    "BoxHead": (part(BoxHead, units=8), None),
    "ConvFCHead": (part(ConvFCHead, units=8, channels=4), None),
    "PositionSensitiveHead": (part(PositionSensitiveHead, channels=6, level="P4"), part(PSROIPool)),
}


def test_all_box_heads_are_tried():
    assert HEADS.keys() == constructors("box head").keys()


@pytest.mark.parametrize("hidden_layers", ["shared", "own"])
@pytest.mark.parametrize("name", HEADS)
def test_gradients_reach_every_variable(name, hidden_layers):
    head, pooling = HEADS[name]
    heads = build(hidden_layers, head, pooling)
    assert [path for path in names_of(heads) if "regressor" in path] == ["head1.regressor"]
    for variable, gradient in zip(
        heads.trainable_variables, gradients_of(heads, lambda name: True), strict=True
    ):
        assert np.abs(tf.convert_to_tensor(gradient)).max() > 0, variable.path


def names_of(heads):
    return [named.name for named in heads.named_layers()]


def test_the_regressor_reads_the_first_classifiers_layers():
    heads = build("own")
    assert names_of(heads) == [
        *("head1.fc1", "head1.fc2", "head1.classifier", "head1.regressor"),
        *("head2.fc1", "head2.fc2", "head2.classifier", "head3.fc1", "head3.fc2", "head3.classifier"),
    ]
    gradients = gradients_of(heads, lambda name: name == "stage1_box")
    pairs = zip(heads.trainable_variables, gradients, strict=True)
    reached = [variable for variable, gradient in pairs if gradient is not None]
    first = heads.stage.head
    layers = (*first.dense, first.regressor)
    assert {id(v) for v in reached} == {id(v) for layer in layers for v in layer.trainable_variables}


def test_random_units_are_drawn_for_each_head_from_the_examples_seed():
    heads = build("own", part(ConvFCHead, units=64, channels=4, dropout=0.5))
    for further in heads.further_heads:
        further.set_weights(heads.stage.head.get_weights()[:-2])
    first, second, third = train(heads)
    assert np.abs(first.logits - second.logits).max() > 0.1
    assert np.abs(second.logits - third.logits).max() > 0.1
    for output, again in zip((first, second, third), train(heads), strict=True):
        np.testing.assert_array_equal(output.logits, again.logits)
    at_test = heads(pyramid(), proposals(), IMAGE_SIZE)
    np.testing.assert_allclose(at_test[0].logits[:, :16], at_test[2].logits[:, :16], atol=1e-5)


def test_weights_of_the_losses():
    stage = Stage(
        BoxHead(NUM_CLASSES, num_classifiers=2, units=8), weight=0.5, box_weight=3.0, num_samples=40
    )
    heads = IntegralHeads(stage, ROIAlign(output_size=3, canonical_size=40.0), ious=(0.5, 0.7))
    keras.utils.set_random_seed(1)
    losses = []
    for weights in ((1.0, 1.0), (0.5, 3.0)):
        stage.weight, stage.box_weight = weights
        losses.append(heads.compute_losses(pyramid(), train(heads), IMAGE_SIZE, ground_truth())[0])
    for name, factor in (("stage1_class", 0.5), ("stage2_class", 0.5), ("stage1_box", 1.5)):
        np.testing.assert_allclose(losses[1][name], factor * losses[0][name], rtol=LOSS)


def test_objects_own_boxes_join_unless_told_otherwise():
    counts = {}
    for append in ("all", "first", "none"):
        some = train(build(append_ground_truth=append))[0].samples
        counts[append] = int(np.sum(some.valid))
    assert counts["all"] == counts["first"] == counts["none"] + 3


def test_batch_without_objects(heads):
    nothing = tf.nest.map_structure(tf.zeros_like, ground_truth())
    outputs = heads(pyramid(), proposals(), IMAGE_SIZE, nothing, training=True)
    losses, _ = heads.compute_losses(pyramid(), outputs, IMAGE_SIZE, nothing)
    assert losses["stage1_box"] == 0
    assert all(losses[f"stage{number}_class"] > 0 for number in (1, 2, 3))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ious": ()}, "ious: got (), expected a threshold or more"),
        ({"ious": (0.7, 0.5)}, "ious: got (0.7, 0.5), expected ascending thresholds from 0.7"),
        ({"ious": (0.5, 0.5)}, "ious: got (0.5, 0.5), expected ascending"),
        (
            {"ious": (0.5, 1.2)},
            "ious: got (0.5, 1.2), expected ascending thresholds from 0.5, the stage's, up to",
        ),
        ({"hidden_layers": "none"}, "hidden_layers: got 'none', expected one of shared, own"),
        ({"append_ground_truth": True}, "append_ground_truth: got True, expected 'all', 'first' or 'none'"),
        ({"box_beta": -1.0}, "box_beta: got -1.0, expected 0 or more"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        integral(2, **settings)


def test_heads_that_do_not_belong_together():
    with pytest.raises(ValueError, match=r"ious: got \(0.5, 0.6\), expected one for each of 1 classifiers"):
        IntegralHeads(Stage(BoxHead(2)), ROIAlign(), ious=(0.5, 0.6))
    with pytest.raises(ValueError, match=r"regresses: got \[True, True\], expected \[True, False\]"):
        IntegralHeads(Stage(BoxHead(2)), ROIAlign(), ious=(0.5, 0.6), further_heads=[BoxHead(2)])
    other = BoxHead(3, regresses=False)
    with pytest.raises(ValueError, match=r"further_heads: got 'heads of \[2, 3\] classes', expected as many"):
        IntegralHeads(Stage(BoxHead(2)), ROIAlign(), ious=(0.5, 0.6), further_heads=[other])


def test_training_needs_targets(heads):
    with pytest.raises(ValueError, match="IntegralHeads needs targets when training=True, got None"):
        heads(pyramid(), proposals(), IMAGE_SIZE, training=True)


class PlainHead(BoxHead):
    """A head as users write them, which knows of one classifier."""

    def __init__(self, num_classes, units: int = 8, **kwargs):
        super().__init__(num_classes, units=units, **kwargs)


def test_a_head_of_one_classifier_is_refused_by_name():
    with pytest.raises(ValueError, match="head: got 'PlainHead', expected one that takes num_classifiers"):
        integral(2, head=part(PlainHead))
