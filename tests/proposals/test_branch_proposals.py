"""MS-CNN's proposal branches against slow loops, and what they refuse."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.proposals import BranchProposals
from cascade_tf.structures import BranchOutput
from tests.boxes.examples import targets
from tests.reference import cascade
from tests.reference import proposal_branches as reference

TEMPLATES = (((16, 16), (12, 24)), ((32, 32),))
STRIDES = (8, 16)
CELLS = ((8, 12), (4, 6))
BRANCHES = [(*one, *size) for *one, size in zip(TEMPLATES, STRIDES, CELLS, strict=True)]
IMAGE_SIZE = np.float32([[64, 96], [64, 96]])
STD = (0.1, 0.1, 0.2, 0.2)
# In the first image an object between the templates' sizes, one to ignore, and one half in a region that is
# not looked at; in the second one whose centre lies outside, and a region alone.
OBJECTS = [
    [
        ((8, 8, 24, 25), 1),
        ((40, 16, 74, 44), 2),
        ((60, 40, 66, 45), 2),
        ((2, 40, 20, 58), -1),
        ((80, 4, 93, 27), 1),
        ((84, 0, 96, 40), 0),
    ],
    [((90, 50, 108, 66), 1), ((20, 30, 32, 54), 2), ((0, 0, 40, 24), 0)],
]
SETTINGS = {
    "templates": TEMPLATES,
    "kernels": (((3, 3), (5, 3)), ((1, 1),)),
    "strides": STRIDES,
    "levels": ("P3", "P4"),
    "hidden": (8, None),
    "std": STD,
    "branch_weights": (0.9, 1.0),
    "box_weight": 0.5,
    "min_side": 4.0,
    "min_object_side": 0.0,
    "score_threshold_test": -1.0,
    "pre_nms_test": 60,
    "nms_iou": 0.4,
    "implementation": "tensorflow",
}


def build(**settings):
    keras.utils.set_random_seed(3)
    layer = BranchProposals(2, **{**SETTINGS, **settings})
    layer.build({"P3": (None, None, None, 4), "P4": (None, None, None, 6)})
    generator = np.random.default_rng(2)
    for named in layer.named_layers():
        shape = named.layer.kernel.shape
        named.layer.kernel.assign(generator.normal(0, 1.5 / np.sqrt(np.prod(shape[:3])), shape))
    return layer


def features():
    generator = np.random.default_rng(5)
    pairs = zip(("P3", "P4"), CELLS, (4, 6), strict=True)
    return {
        name: tf.constant(generator.normal(size=(2, *cells, count)), tf.float32)
        for name, cells, count in pairs
    }


def truth():
    return targets(OBJECTS)


def test_proposals_equal_loops():
    layer = build()
    output, proposals = layer(features(), IMAGE_SIZE)
    assert isinstance(output, BranchOutput)
    assert output.logits.shape == (2, 8 * 12 * 2 + 4 * 6, 3)
    for image in range(2):
        candidates = []
        for place, anchor in enumerate(output.anchors.numpy()):
            logits = output.logits[image, place].numpy()
            score = max(logits[1:]) - logits[0]
            box = cascade.clip(cascade.decode(output.deltas[image, place], anchor, STD), IMAGE_SIZE[image])
            if score >= -1.0 and min(box[2] - box[0], box[3] - box[1]) >= 4.0:
                candidates.append((box, score))
        kept = []
        for box, score in sorted(candidates, key=lambda one: -one[1])[:60]:
            if all(cascade.iou(box, other) <= 0.4 for other, _ in kept):
                kept.append((box, score))
        valid = proposals.valid[image].numpy()
        assert 3 < np.count_nonzero(valid) == len(kept) < len(candidates)
        np.testing.assert_allclose(proposals.boxes[image].numpy()[valid], [one for one, _ in kept], atol=1e-3)
        np.testing.assert_allclose(proposals.scores[image].numpy()[valid], [s for _, s in kept], rtol=1e-4)


def test_offsets_are_limited_in_pixels():
    layer = build(max_shift=0.5, max_growth=2.0)
    wild = tf.constant([[9.0, -9.0, 9.0, -9.0]])
    expected = [[5.0, -5.0, np.log(2) / 0.2, -np.log(2) / 0.2]]
    np.testing.assert_allclose(layer.clip_deltas(wild), expected, rtol=1e-6)
    free = build(max_shift=None, max_growth=None)
    np.testing.assert_array_equal(free.clip_deltas(wild), wild)


def test_legacy_arithmetic_of_edges():
    output = build().predict(features(), IMAGE_SIZE)
    box = output.anchors[:1] - tf.constant([10.0, 0, 10, 0])
    one = output._replace(
        logits=tf.constant([[[0.0, 5.0, 0.0]]]),
        deltas=tf.zeros([1, 1, 4]),
        anchors=box,
        image_size=IMAGE_SIZE[:1],
    )
    cut = build(min_side=1.0).propose(one)
    moved = build(min_side=1.0, shift_into_image=True).propose(one)
    handed_on = build(min_side=1.0, inclusive=True).propose(one)
    # Centred on x = -6, sixteen wide.
    np.testing.assert_array_equal(cut.boxes[0], [[0, 0, 2, 12]])
    np.testing.assert_array_equal(moved.boxes[0], [[0, 0, 16, 16]])
    np.testing.assert_array_equal(handed_on.boxes[0], [[0, 0, 3, 13]])


def expected_labels(image):
    objects = [(box, abs(label), label < 0) for box, label in OBJECTS[image] if label]
    regions = [box for box, label in OBJECTS[image] if not label]
    return reference.labels(BRANCHES, objects, regions, IMAGE_SIZE[image])


def test_labels_equal_loops():
    layer = build()
    output = layer.predict(features(), IMAGE_SIZE)
    match = layer.match(output, truth())
    classes = tf.gather(truth().classes, match.index, batch_dims=1).numpy()
    ours = np.where(match.labels == 1, classes, match.labels)
    for image in range(2):
        wanted, owners = expected_labels(image)
        np.testing.assert_array_equal(ours[image], wanted)
        assert sum(label > 0 for label in wanted) >= 1
        own = [n for n, owner in enumerate(owners) if owner is not None]
        np.testing.assert_array_equal(match.index.numpy()[image, own], [owners[n] for n in own])
    # The third object is far smaller than any template: it claims none. The second is claimed or fitted.
    assert {owner for owner in expected_labels(0)[1] if owner is not None} >= {0, 1}


def test_losses_equal_loops():
    layer = build()
    output = layer.predict(features(), IMAGE_SIZE)
    found = layer.label(output, truth())
    losses, metrics = layer.compute_losses(output, truth())
    of_classes, of_boxes, positives = 0.0, 0.0, 0
    every = list(reference.candidate_boxes(BRANCHES))
    labels = [expected_labels(image)[0] for image in range(2)]
    for branch, templates in enumerate(TEMPLATES):
        for template in range(len(templates)):
            places = [n for n, one in enumerate(every) if one[:2] == (branch, template)]
            logits, deltas, wanted = (
                np.asarray(one)[:, places] for one in (output.logits, output.deltas, found.deltas)
            )
            chosen = []
            for image in range(2):
                own = [labels[image][n] for n in places]
                kept = reference.hardest(own, logits[image], 2, 4)
                chosen += [(image, n, own[n]) for n in sorted(kept)]
                np.testing.assert_array_equal(
                    found.labels.numpy()[image, places] >= 0, [n in kept for n in range(len(places))]
                )
            positives += sum(label > 0 for _, _, label in chosen)
            classes, boxes = reference.losses(chosen, logits, deltas, wanted, 2)
            of_classes += SETTINGS["branch_weights"][branch] * classes
            of_boxes += 0.5 * SETTINGS["branch_weights"][branch] * boxes
    np.testing.assert_allclose(losses["rpn_objectness"], of_classes, rtol=1e-5)
    np.testing.assert_allclose(losses["rpn_box"], of_boxes, rtol=1e-5)
    np.testing.assert_allclose(metrics["rpn_positives"], positives / 2)
    assert of_boxes > 0


def test_random_negatives_are_a_function_of_the_seed():
    layer = build(negatives="random", min_negatives=5)
    output = layer.predict(features(), IMAGE_SIZE)
    first, again = (layer.label(output, truth()).labels.numpy() for _ in range(2))
    np.testing.assert_array_equal(first, again)
    other = layer.label(output, targets(OBJECTS, seeds=[[5, 6], [7, 8]])).labels.numpy()
    assert np.any(first != other)
    every = layer.match(output, truth()).labels.numpy()
    for labels in (first, other):
        assert np.all(every[labels == 0] == 0)
        np.testing.assert_array_equal(labels > 0, every == 1)
        for one in layer.by_template(tf.constant(labels), output):
            own = one.numpy()
            np.testing.assert_array_equal(
                (own == 0).sum(axis=1), np.maximum(2 * (own > 0).sum(axis=1), 2 * 5)
            )


@pytest.mark.parametrize("objects", [[[], []], [[((0, 0, 96, 64), 0)]] * 2], ids=["none", "regions"])
def test_losses_are_finite_without_objects(objects):
    layer = build()
    with tf.GradientTape() as tape:
        output = layer.predict(features(), IMAGE_SIZE)
        losses, _ = layer.compute_losses(output, targets(objects, size=3))
        total = tf.add_n(list(losses.values()))
    assert float(losses["rpn_box"]) == 0.0
    gradients = tape.gradient(total, layer.trainable_variables)
    assert all(np.all(np.isfinite(one)) for one in gradients if one is not None)
    assert (float(total) > 0) == (objects == [[], []])


@pytest.mark.parametrize("label", [0, 3])
def test_classes_that_there_are_not_are_refused(label):
    layer, some = build(), truth()
    classes = some.classes.numpy()
    classes[0, 0] = label
    output = layer.predict(features(), IMAGE_SIZE)
    with pytest.raises(ValueError, match=rf"^targets.classes: got {label}, expected 1\.\.2"):
        layer.compute_losses(output, some._replace(classes=tf.constant(classes)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden": (8,)}, r"^hidden: got \(8,\), expected one entry for each of 2 strides"),
        (
            {"kernels": (((1, 1),), ((1, 1),))},
            r"^kernels: got \(\(1, 1\),\), expected as many as templates, 2",
        ),
        ({"negatives": "hard"}, "^negatives: got 'hard', expected one of"),
        ({"background_iou": 0.6}, r"^background_iou: got 0.6, expected an overlap in 0..0.5"),
        ({"min_object_side": (1, 2, 3)}, r"^min_object_side: got \(1, 2, 3\), expected"),
        ({"max_growth": 1.0}, "^max_growth: got 1.0, expected more than 1"),
        ({"pre_nms_test": 0}, "^pre_nms_test: got 0, expected 1 or more"),
    ],
)
def test_what_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        build(**settings)
