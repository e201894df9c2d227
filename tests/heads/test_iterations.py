"""Iterative box regression: the same head on its own boxes, against applying it by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cascade_tf.heads import BoxHead, CascadeHeads, PositionSensitiveHead, Stage, cascade
from cascade_tf.pooling import PSROIPool, ROIAlign
from tests.conformance import sample_inputs
from tests.heads.examples import IMAGE_SIZE, NUM_CLASSES, build_heads, ground_truth, proposals, pyramid
from tests.reference import cascade as reference

# float32 rounding of coordinates of up to a hundred pixels, handed on through three iterations.
PIXELS = 2e-3
PROBABILITY = 1e-4


def one_head(**settings):
    return build_heads(ious=(0.5,), weights=(1.0,), **settings)


def softmax(logits):
    return np.stack([[reference.softmax(one) for one in image] for image in np.asarray(logits)])


def regressed(heads, logits, deltas, boxes):
    """[R, 4] the next boxes of one image by slow loops."""
    found = []
    for own_logits, own, box in zip(logits, deltas, boxes, strict=True):
        likeliest = int(np.argmax(own_logits[1:])) if len(own) > 4 else 0
        moved = reference.decode(own[4 * likeliest : 4 * likeliest + 4], box, heads.stages[0].std)
        found.append(reference.clip(moved, IMAGE_SIZE[0].numpy()) if heads.clip_boxes else moved)
    return np.float32(found)


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("class_agnostic", [True, False])
def test_iterations_equal_applying_the_head_by_hand(class_agnostic, clip):
    heads = one_head(class_agnostic=class_agnostic, clip_boxes=clip, iterations=3)
    features, some = pyramid(), proposals()
    outputs = heads(features, some, IMAGE_SIZE)
    assert len(outputs) == heads.num_stages == 3
    # The last two proposals are no boxes.
    boxes = some.boxes[:1, :16].numpy()
    for output in outputs:
        np.testing.assert_allclose(output.samples.boxes[:1, :16], boxes, atol=PIXELS)
        logits, deltas = (value.numpy() for value in heads.head_on_boxes(0, features, output.samples.boxes))
        np.testing.assert_allclose(output.logits[0, :16], logits[0, :16], atol=PROBABILITY)
        boxes = regressed(heads, logits[0, :16], deltas[0, :16], output.samples.boxes[0, :16].numpy())[None]
        np.testing.assert_allclose(output.boxes[:1, :16], boxes, atol=PIXELS)
    assert np.abs(outputs[2].samples.boxes - outputs[1].samples.boxes)[0, :16].max() > 1.0
    assert not outputs[2].samples.valid[:, -2:].numpy().any()


def test_whose_word_counts():
    heads = one_head(iterations=3)
    outputs = heads(pyramid(), proposals(), IMAGE_SIZE)
    own = [softmax(output.logits[:, :16]) for output in outputs]
    expected = {
        "first_stage": own[0],
        "last_stage": own[2],
        "own_boxes": np.mean(own, axis=0),
        # There is but one classifier.
        "last_boxes": own[2],
    }
    for ensemble, probabilities in expected.items():
        found = heads.class_probabilities(outputs, ensemble)[:, :16]
        np.testing.assert_allclose(found, probabilities, atol=PROBABILITY)
    assert np.abs(own[0] - own[2]).max() > 1e-2


def test_fewer_iterations_are_the_first_ones():
    heads, shorter = one_head(iterations=3), one_head(iterations=2)
    outputs = heads(pyramid(), proposals(), IMAGE_SIZE)
    fewer = shorter(pyramid(), proposals(), IMAGE_SIZE)
    assert len(fewer) == 2
    for values in ("class_probabilities", "detection_boxes"):
        np.testing.assert_array_equal(
            getattr(heads, values)(outputs[:2])[:, :16], getattr(shorter, values)(fewer)[:, :16]
        )


def test_training_knows_no_iterations():
    plain, iterated = one_head(), one_head(iterations=3)
    outputs, others = (
        heads(pyramid(), proposals(), IMAGE_SIZE, ground_truth(), training=True)
        for heads in (plain, iterated)
    )
    assert len(outputs) == len(others) == 1
    losses, others_losses = (
        heads.compute_losses(pyramid(), found, IMAGE_SIZE, ground_truth())[0]
        for heads, found in ((plain, outputs), (iterated, others))
    )
    assert losses.keys() == others_losses.keys() == {"stage1_class", "stage1_box"}
    assert [float(value) for value in losses.values()] == [float(value) for value in others_losses.values()]
    assert iterated.reported == plain.reported


def test_the_last_stage_of_a_cascade_iterates_and_each_classifier_is_heard_once():
    heads = build_heads(ious=(0.5, 0.6), weights=(1.0, 0.5), iterations=2)
    features = pyramid()
    outputs = heads(features, proposals(), IMAGE_SIZE)
    assert len(outputs) == 3
    np.testing.assert_array_equal(outputs[2].samples.boxes, outputs[1].boxes)
    last = outputs[2].samples.boxes
    expected = np.mean([softmax(heads.head_on_boxes(n, features, last)[0][:, :16]) for n in (0, 1)], axis=0)
    np.testing.assert_allclose(heads.class_probabilities(outputs)[:, :16], expected, atol=PROBABILITY)


def test_maps_of_a_head_are_made_once():
    head = PositionSensitiveHead(NUM_CLASSES, channels=6, level="P4")
    heads = CascadeHeads([Stage(head)], PSROIPool(3, implementation="tensorflow"), iterations=3)
    made = []
    prepare = head.prepare
    head.prepare = lambda features: made.append(prepare(features)) or made[-1]
    height, width = sample_inputs.SIZES[0]
    outputs = heads(
        sample_inputs.pyramid(height, width),
        sample_inputs.proposals(height, width),
        sample_inputs.image_size(height, width),
    )
    assert len(outputs) == 3
    assert len(made) == 1
    assert all(output.maps is made[0] for output in outputs)


def test_names_of_the_rows():
    three = {f"iteration {count}": slice(count) for count in (1, 2, 3)}
    assert one_head(iterations=3).rows == three
    assert list(one_head().rows) == ["stage 1"]
    assert list(build_heads(iterations=2).rows) == ["stage 1", "stage 2", "stage 3", "stage 4"]


def test_a_setting_of_the_heads():
    heads = cascade(2, ious=(0.5,), iterations=3, ensemble="own_boxes")
    assert (heads.iterations, heads.ensemble, heads.num_stages, len(heads.stages)) == (3, "own_boxes", 3, 1)
    with pytest.raises(ValueError, match="iterations: got 0, expected 1 or more"):
        CascadeHeads([Stage(BoxHead(2))], ROIAlign(), iterations=0)
