"""The cascade of heads: labels and losses against slow loops, gradients, ensembles, edge cases."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.heads import BoxHead, CascadeHeads, Stage, cascade
from cascade_tf.losses import stage_losses
from cascade_tf.pooling import ROIAlign
from cascade_tf.structures import Proposals
from tests.boxes.examples import objects_of, targets
from tests.heads.examples import (
    IMAGE_SIZE,
    NUM_CLASSES,
    arrays,
    build_heads,
    ground_truth,
    proposals,
    pyramid,
)
from tests.reference import cascade as reference

# float32 rounding of coordinates of up to a hundred pixels, handed on through three stages.
PIXELS = 1e-3
# float32 sums over some dozen values.
LOSS = 1e-4
GRADIENT = 1e-5


def train(heads, some=None, features=None, boxes=None):
    some = ground_truth() if some is None else some
    features = pyramid() if features is None else features
    return heads(features, proposals() if boxes is None else boxes, IMAGE_SIZE, some, training=True)


def _reference_stages(outputs, some, image, heads, append):
    """Samples of each stage by slow loops, with the network's own offsets between the stages."""
    objects, crowds = objects_of(some, image)
    given = [list(map(float, box)) for box in proposals().boxes[image].numpy()]
    first = heads.stages[0]
    samples = reference.first_stage(given, objects, first.iou, crowds, append != "none")
    stages = [samples]
    for output, stage, following in zip(outputs[:-1], heads.stages[:-1], heads.stages[1:], strict=True):
        deltas = output.deltas[image].numpy()[output.samples.valid[image].numpy()]
        boxes = [reference.decode(delta, s.box, stage.std) for delta, s in zip(deltas, samples, strict=True)]
        if heads.clip_boxes:
            boxes = [reference.clip(box, IMAGE_SIZE[image].numpy()) for box in boxes]
        samples = reference.next_stage(samples, boxes, objects, following.iou, crowds, append == "all")
        stages.append(samples)
    return stages


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("append", ["all", "first", "none"])
def test_training_equals_loops(append, clip):
    heads = build_heads(append_ground_truth=append, clip_boxes=clip)
    some = ground_truth()
    outputs = train(heads, some)
    by_image = [_reference_stages(outputs, some, image, heads, append) for image in range(2)]
    assert min(sum(s.label > 0 for s in stage) for stage in by_image[0]) >= 3
    for number, output in enumerate(outputs):
        samples, logits, deltas = arrays(output.samples), output.logits.numpy(), output.deltas.numpy()
        for image in range(2):
            expected, valid = by_image[image][number], samples.valid[image]
            assert valid.sum() == len(expected)
            np.testing.assert_allclose(samples.boxes[image][valid], [s.box for s in expected], atol=PIXELS)
            np.testing.assert_array_equal(samples.classes[image][valid], [s.label for s in expected])
            np.testing.assert_allclose(samples.gt_iou[image][valid], [s.iou for s in expected], atol=1e-4)
            wanted = [s.target or [0] * 4 for s in expected]
            np.testing.assert_array_equal(samples.gt_boxes[image][valid], np.float32(wanted))
        both = by_image[0][number] + by_image[1][number]
        stage = heads.stages[number]
        for beta in (1.0, 0.0):
            expected = reference.losses(both, logits[samples.valid], deltas[samples.valid], stage.std, beta)
            np.testing.assert_allclose(stage_losses(output, stage.coder, beta=beta), expected, rtol=LOSS)


@pytest.mark.parametrize(
    ("append", "sizes"), [("all", (12, 16, 16)), ("first", (12, 12, 12)), ("none", (12,) * 3)]
)
def test_later_stages_keep_every_box(append, sizes):
    outputs = train(build_heads(num_samples=12, append_ground_truth=append))
    assert tuple(output.samples.boxes.shape[1] for output in outputs) == sizes


def test_same_boxes_are_judged_more_strictly_from_stage_to_stage():
    heads = build_heads(spread=0.0, append_ground_truth="none", num_samples=4)
    # IoU 0.95, 0.65, 0.55 and 0.4 with the object; a head that moves nothing keeps them.
    widths = (19.0, 13.0, 11.0, 8.0)
    boxes = tf.constant([[(0.0, 0, width, 20) for width in widths]] * 2)
    given = Proposals(boxes, tf.zeros([2, 4]), tf.ones([2, 4], tf.bool))
    outputs = train(heads, targets([[((0, 0, 20, 20), 3)], []]), boxes=given)
    expected = ([3, 3, 3, 0], [3, 3, 0, 0], [3, 0, 0, 0])
    for output, classes in zip(outputs, expected, strict=True):
        np.testing.assert_array_equal(output.samples.classes, [classes, [0] * 4])
        np.testing.assert_allclose(output.samples.gt_iou[0], np.array(widths) / 20, rtol=1e-5)
        assert output.samples.valid.numpy().all()


@pytest.mark.parametrize(("append", "left"), [("all", 2), ("first", 4)])
def test_boxes_that_came_in_as_good_as_the_object_do_not_go_on(append, left):
    heads = build_heads(spread=0.0, append_ground_truth=append, num_samples=4)
    boxes = tf.constant([[(0.0, 0, 20, 20), (0, 0, 19, 20), (0, 0, 12, 20)]] * 2)
    given = Proposals(boxes, tf.zeros([2, 3]), tf.ones([2, 3], tf.bool))
    outputs = train(heads, targets([[((0, 0, 20, 20), 3)], []]), boxes=given)
    assert outputs[0].samples.valid.numpy()[0].sum() == 4
    for output in outputs[1:]:
        valid = output.samples.valid[0].numpy()
        assert valid.sum() == left
        widths = sorted(output.samples.boxes[0].numpy()[valid][:, 2])
        np.testing.assert_allclose(widths, [12, 20] if append == "all" else [12, 19, 20, 20], rtol=1e-6)


@pytest.mark.parametrize(("min_side", "left"), [(0.0, 3), (1.0, 2), (1.5, 1)])
def test_boxes_that_became_too_small_do_not_go_on_in_training(min_side, left):
    heads = build_heads(spread=0.0, append_ground_truth="none", num_samples=3, min_side=min_side)
    boxes = tf.constant([[(0.0, 0, 20, 20), (30, 30, 31, 40), (50, 50, 60, 50.5)]] * 2)
    given = Proposals(boxes, tf.zeros([2, 3]), tf.ones([2, 3], tf.bool))
    outputs = train(heads, targets([[((0, 0, 20, 20), 3)], []]), boxes=given)
    counts = [np.count_nonzero(output.samples.valid) // 2 for output in outputs]
    assert counts == [3, left, left]
    assert np.all(heads(pyramid(), given, IMAGE_SIZE)[-1].samples.valid)


def test_settings_of_the_first_stage_and_of_all():
    heads = cascade(
        NUM_CLASSES,
        ious=(0.45, 0.65),
        means=((0, 0, 0, 0), (0.01, 0, 0, 0.02)),
        stds=((0.2, 0.2, 0.3, 0.3), (0.1, 0.1, 0.1, 0.1)),
        box_weight=2.0,
        background_range=(0.05, 0.44),
        top_up=True,
        match_crowds=True,
        min_side=1.0,
        hard_examples=7,
    )
    first, second = heads.stages
    assert (first.coder.mean, second.coder.mean) == ((0, 0, 0, 0), (0.01, 0, 0, 0.02))
    assert (first.coder.std, second.coder.std) == ((0.2, 0.2, 0.3, 0.3), (0.1, 0.1, 0.1, 0.1))
    assert (first.background_range, second.background_range) == ((0.05, 0.44), None)
    assert (first.top_up, second.top_up) == (True, False)
    assert [(stage.box_weight, stage.hard_examples) for stage in heads.stages] == [(2.0, 7)] * 2
    assert (heads.match_crowds, heads.min_side) == (True, 1.0)


@pytest.mark.parametrize("name", ["means", "stds"])
def test_statistics_of_another_number_of_stages(name):
    with pytest.raises(ValueError, match=f"{name}: got .* expected a row for each of 3 stages"):
        cascade(NUM_CLASSES, **{name: [(1.0, 1.0, 1.0, 1.0)] * 2})


def test_hard_examples_of_all_proposals():
    heads = build_heads(num_samples=None, ious=(0.5,), weights=(1.0,))
    (output,) = train(heads)
    # All 16 proposals that can be used, and the objects of the first image.
    assert np.count_nonzero(output.samples.valid, axis=1).tolist() == [19, 16]
    heads.stages[0].hard_examples = 4
    losses, _ = heads.compute_losses(pyramid(), [output], IMAGE_SIZE, ground_truth())
    expected = stage_losses(output, heads.stages[0].coder, hard_examples=4)
    np.testing.assert_allclose([losses["stage1_class"], losses["stage1_box"]], expected, rtol=LOSS)


def test_losses_by_the_settings_of_the_stages():
    plain, changed = build_heads(), build_heads()
    for stage in changed.stages:
        stage.box_weight, stage.hard_examples = 3.0, 5
    features, some = pyramid(), ground_truth()
    outputs = train(plain, some)
    losses, _ = changed.compute_losses(features, outputs, IMAGE_SIZE, some)
    for number, (output, stage) in enumerate(zip(outputs, plain.stages, strict=True), start=1):
        classes, boxes = stage_losses(output, stage.coder, hard_examples=5)
        np.testing.assert_allclose(losses[f"stage{number}_class"], classes, rtol=LOSS)
        np.testing.assert_allclose(losses[f"stage{number}_box"], 3.0 * boxes, rtol=LOSS)
        assert classes > stage_losses(output, stage.coder)[0]


def test_class_aware_boxes_are_those_of_the_true_or_the_likeliest_class():
    heads = build_heads(class_agnostic=False)
    output = train(heads)[0]
    samples = arrays(output.samples)
    for image in range(2):
        for place in np.flatnonzero(samples.valid[image]):
            label = samples.classes[image, place] or 1 + int(np.argmax(output.logits[image, place, 1:]))
            delta = output.deltas[image, place, 4 * (label - 1) : 4 * label].numpy()
            expected = reference.decode(delta, samples.boxes[image, place], heads.stages[0].std)
            np.testing.assert_allclose(output.boxes[image, place], expected, atol=PIXELS)
    assert len(set(samples.classes[samples.valid])) > 2


def test_class_aware_loss_reads_the_true_class():
    heads = build_heads(class_agnostic=False)
    output = train(heads)[0]
    samples = arrays(output.samples)
    own = []
    for image, place in zip(*np.nonzero(samples.valid), strict=True):
        label = samples.classes[image, place]
        own.append(output.deltas[image, place].numpy().reshape(NUM_CLASSES, 4)[max(label - 1, 0)])
    some = [
        reference.Sample(list(box), label, 1.0, list(gt))
        for box, label, gt in zip(
            samples.boxes[samples.valid],
            samples.classes[samples.valid],
            samples.gt_boxes[samples.valid],
            strict=True,
        )
    ]
    expected = reference.losses(some, output.logits.numpy()[samples.valid], own, heads.stages[0].std)
    np.testing.assert_allclose(stage_losses(output, heads.stages[0].coder), expected, rtol=LOSS)


@pytest.mark.parametrize("class_agnostic", [True, False])
@pytest.mark.parametrize("clip", [True, False])
def test_inference_hands_boxes_from_stage_to_stage(class_agnostic, clip):
    heads = build_heads(class_agnostic=class_agnostic, clip_boxes=clip)
    given = proposals()
    outputs = heads(pyramid(), given, IMAGE_SIZE)
    np.testing.assert_array_equal(outputs[0].samples.boxes, given.boxes)
    np.testing.assert_array_equal(outputs[0].samples.valid, given.valid)
    for number, (output, stage) in enumerate(zip(outputs, heads.stages, strict=True)):
        samples = arrays(output.samples)
        likeliest = 1 + np.argmax(output.logits[..., 1:], axis=-1)
        for image in range(2):
            for place in range(16):
                first = 0 if class_agnostic else 4 * (likeliest[image, place] - 1)
                delta = output.deltas[image, place, first : first + 4].numpy()
                expected = reference.decode(delta, samples.boxes[image, place], stage.std)
                if clip:
                    expected = reference.clip(expected, IMAGE_SIZE[image].numpy())
                np.testing.assert_allclose(output.boxes[image, place], expected, atol=PIXELS)
        if number:
            np.testing.assert_array_equal(samples.boxes, outputs[number - 1].boxes)
            np.testing.assert_array_equal(samples.valid[:, -2:], np.zeros([2, 2]))


def _gradients(rescale, weights):
    heads = build_heads(weights=weights, rescale_heads=rescale)
    features = pyramid()
    with tf.GradientTape() as tape:
        tape.watch(features)
        total = 0.0
        for output, stage, weight in zip(
            train(heads, features=features), heads.stages, heads.loss_weights, strict=True
        ):
            total += weight * tf.add_n(stage_losses(output, stage.coder))
    variables = [stage.trainable_variables for stage in heads.stages]
    return tape.gradient(total, (features, variables))


@pytest.mark.parametrize("weights", [(1.0, 0.5, 0.25), (1 / 3, 1 / 3, 1 / 3)], ids=["decay", "avg"])
def test_heads_learn_at_full_rate_while_the_features_see_weighted_losses(weights):
    features, by_stage = _gradients(True, weights)
    weighted_features, weighted_by_stage = _gradients(False, weights)
    for name in ("P2", "P3"):
        assert np.abs(features[name]).max() > 0
        np.testing.assert_allclose(features[name], weighted_features[name], atol=GRADIENT)
    for own, weighted, weight in zip(by_stage, weighted_by_stage, weights, strict=True):
        assert len(own) == 8
        for gradient, scaled in zip(own, weighted, strict=True):
            np.testing.assert_allclose(
                gradient, scaled / weight, atol=GRADIENT * max(1, np.abs(gradient).max())
            )


def test_gradients_do_not_flow_through_boxes():
    heads = build_heads()
    with tf.GradientTape() as tape:
        outputs = train(heads)
        later = tf.add_n(stage_losses(outputs[1], heads.stages[1].coder))
    assert all(gradient is None for gradient in tape.gradient(later, heads.stages[0].trainable_variables))


def softmax(logits):
    return np.stack([[reference.softmax(one) for one in image] for image in np.asarray(logits)])


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_ensembles(stages):
    heads = build_heads()
    features = pyramid()
    outputs = heads(features, proposals(), IMAGE_SIZE)[:stages]
    own = [softmax(output.logits) for output in outputs]
    boxes = outputs[-1].samples.boxes
    on_last = [softmax(heads.head_on_boxes(head, features, boxes)[0]) for head in range(stages)]
    expected = {
        "own_boxes": np.mean(own, axis=0),
        "last_stage": own[-1],
        "first_stage": own[0],
        "last_boxes": np.mean(on_last, axis=0),
    }
    expected["own_logits"] = softmax(np.mean([output.logits for output in outputs], axis=0))
    for ensemble, probabilities in expected.items():
        np.testing.assert_allclose(heads.class_probabilities(outputs, ensemble), probabilities, atol=1e-5)
    assert heads.ensemble == "last_boxes"
    np.testing.assert_array_equal(
        heads.class_probabilities(outputs), heads.class_probabilities(outputs, "last_boxes")
    )
    if stages > 1:
        assert np.abs(expected["own_boxes"] - expected["last_boxes"]).max() > 1e-2


def test_a_head_on_the_boxes_of_its_own_stage():
    heads = build_heads()
    features = pyramid()
    for number, output in enumerate(heads(features, proposals(), IMAGE_SIZE)):
        logits, deltas = heads.head_on_boxes(number, features, output.samples.boxes)
        np.testing.assert_allclose(logits, output.logits, atol=1e-5)
        np.testing.assert_allclose(deltas, output.deltas, atol=1e-5)


@pytest.mark.parametrize("class_agnostic", [True, False])
def test_detection_boxes_are_those_of_every_class(class_agnostic):
    heads = build_heads(class_agnostic=class_agnostic)
    outputs = heads(pyramid(), proposals(), IMAGE_SIZE)
    boxes = heads.detection_boxes(outputs)
    count = 1 if class_agnostic else NUM_CLASSES
    assert boxes.shape == (2, 18, count, 4)
    for k in range(count):
        delta = outputs[-1].deltas[1, 3, 4 * k : 4 * k + 4].numpy()
        expected = reference.decode(delta, outputs[-1].samples.boxes[1, 3].numpy(), heads.stages[-1].std)
        np.testing.assert_allclose(boxes[1, 3, k], expected, atol=PIXELS)


def _losses_and_gradients(heads, some, boxes=None):
    with tf.GradientTape() as tape:
        outputs = train(heads, some, boxes=boxes)
        losses = [
            stage_losses(output, stage.coder) for output, stage in zip(outputs, heads.stages, strict=True)
        ]
        total = tf.add_n([loss for pair in losses for loss in pair])
    return outputs, np.array(losses), tape.gradient(total, heads.trainable_variables)


def test_stage_without_positives():
    heads = build_heads(ious=(0.5, 1.0, 1.0), append_ground_truth="none")
    outputs, losses, gradients = _losses_and_gradients(heads, ground_truth())
    assert np.all(np.isfinite(losses))
    assert losses[0, 1] > 0
    np.testing.assert_array_equal(losses[1:, 1], [0, 0])
    assert not outputs[2].samples.classes.numpy().any()
    assert outputs[2].samples.valid.numpy().any()
    assert all(np.all(np.isfinite(gradient)) for gradient in gradients)


@pytest.mark.parametrize("size", [0, 2])
def test_batch_without_objects(size):
    outputs, losses, gradients = _losses_and_gradients(build_heads(), targets([[], []], size=size))
    assert np.all(np.isfinite(losses))
    assert np.all(losses[:, 0] > 0)
    np.testing.assert_array_equal(losses[:, 1], np.zeros(3))
    assert all(output.samples.valid.numpy().sum() == 32 for output in outputs)
    assert all(gradient is None or np.all(np.isfinite(gradient)) for gradient in gradients)


def test_batch_without_proposals():
    nothing = Proposals(tf.zeros([2, 5, 4]), tf.zeros([2, 5]), tf.zeros([2, 5], tf.bool))
    outputs, losses, gradients = _losses_and_gradients(build_heads(), targets([[], []], size=1), nothing)
    assert not any(output.samples.valid.numpy().any() for output in outputs)
    np.testing.assert_array_equal(losses, np.zeros([3, 2]))
    assert all(gradient is None or np.all(np.isfinite(gradient)) for gradient in gradients)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
@pytest.mark.parametrize("append", ["all", "none"])
def test_wild_offsets_of_one_stage_do_not_spoil_the_next(value, append):
    heads = build_heads(append_ground_truth=append)
    heads.stages[0].head.regressor.bias.assign([value, 0, 0, 0])
    outputs, losses, _ = _losses_and_gradients(heads, ground_truth())
    assert np.all(np.isfinite(losses[1:]))
    for output in outputs[1:]:
        samples = arrays(output.samples)
        assert samples.valid.sum() == (3 if append == "all" else 0)
        assert np.all(np.isfinite(samples.boxes[samples.valid]))
        assert np.all(np.isfinite(output.logits))


def test_training_needs_targets():
    with pytest.raises(ValueError, match="needs targets when training=True, got None"):
        build_heads()(pyramid(), proposals(), IMAGE_SIZE, training=True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"ensemble": "mean"},
            "must be one of last_boxes, own_boxes, own_logits, last_stage, first_stage, got 'mean'",
        ),
        ({"append_ground_truth": True}, "append_ground_truth must be 'all', 'first' or 'none', got True"),
        ({"stages": []}, "at least one stage, got none"),
    ],
)
def test_wrong_settings_of_the_cascade(settings, message):
    settings = {"stages": [Stage(BoxHead(2))], **settings}
    with pytest.raises(ValueError, match=message):
        CascadeHeads(pooling=ROIAlign(), **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"iou": 0.0}, r"iou must be in \(0, 1\], got 0.0"),
        ({"iou": 1.5}, r"iou must be in \(0, 1\], got 1.5"),
        ({"weight": 0.0}, "weight must be positive, got 0.0"),
        ({"std": (0.1, 0.1)}, "four positive numbers"),
        ({"mean": (0.1, 0.1)}, "mean must be four numbers"),
        ({"box_weight": -1.0}, "box_weight: got -1.0, expected 0 or more"),
        ({"hard_examples": 0}, "hard_examples: got 0, expected 1 or more"),
        ({"background_range": (0.1, 0.6)}, r"a lower and an upper IoU in 0..0.5, the stage's iou"),
        ({"background_range": (0.4, 0.1)}, "background_range: got"),
        ({"background_range": (0.4,)}, "background_range: got"),
    ],
)
def test_wrong_settings_of_a_stage(settings, message):
    with pytest.raises(ValueError, match=message):
        Stage(BoxHead(2), **settings)
