"""Proposals with a head for each level, and what their losses do where there is little to learn."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.boxes import Match
from cascade_tf.proposals import LevelProposals
from cascade_tf.proposals.suppression import without_padding
from cascade_tf.structures import AnchorTargets, LevelOutput, Proposals
from tests.boxes.examples import targets
from tests.heads.examples import arrays
from tests.reference import cascade as reference

SHAPES = (((16, 16),), ((32, 16), (16, 32)))
STRIDES = (8, 16)
CELLS = ((8, 12), (4, 6))
IMAGE_SIZE = np.float32([[64, 96], [50, 80]])
PIXELS = 1e-3
PLAIN = (1.0, 1.0, 1.0, 1.0)


def build(**settings):
    """Random weights that spread scores and offsets over a wide range."""
    keras.utils.set_random_seed(11)
    settings = {
        "anchors": SHAPES,
        "strides": STRIDES,
        "channels": 8,
        "score_threshold_test": (0.3, 0.0),
        "min_side": (6.0, 0.0),
        "pre_nms_test": (30, 12),
        "post_nms_test": None,
        "implementation": "tensorflow",
        **settings,
    }
    layer = LevelProposals(**settings)
    layer.build({"P3": (None, None, None, 8), "P4": (None, None, None, 12)})
    generator = np.random.default_rng(2)
    for part, scale in ((layer.hidden, 0.3), (layer.objectness, 1.0), (layer.offsets, 1.5)):
        for convolution in part:
            convolution.kernel.assign(generator.normal(0, scale, convolution.kernel.shape))
    return layer


def one_cell(shapes, **settings):
    """A layer with one level of stride 20 that needs no weights, because its output is given."""
    settings = {"score_threshold_test": 0.0, "min_side": 1.0, "post_nms_test": None, **settings}
    return LevelProposals(anchors=[shapes], strides=(20,), implementation="tensorflow", **settings)


def features():
    generator = np.random.default_rng(5)
    return {
        name: tf.constant(generator.normal(size=(2, *cells, channels)), tf.float32)
        for name, cells, channels in zip(("P3", "P4"), CELLS, (8, 12), strict=True)
    }


def output_of(layer, logits, deltas=None, image_size=(10, 10)):
    """Output for one image whose maps have one cell each."""
    logits = np.asarray([logits], np.float32)
    deltas = np.zeros((*logits.shape, 4), np.float32) if deltas is None else np.float32([deltas])
    cells = [(1, 1)] * len(layer.strides)
    return LevelOutput(
        tf.constant(logits),
        tf.constant(deltas),
        tf.concat(layer.grid(cells), axis=0),
        tf.constant(cells),
        tf.constant([image_size], tf.float32),
    )


def _reference_proposals(output, layer, image):
    found, start = [], 0
    logits, deltas, anchors = output.logits[image], output.deltas[image], output.anchors
    settings = (SHAPES, CELLS, layer.score_threshold_test, layer.min_side, layer.pre_nms_test)
    for shapes, (rows, columns), threshold, min_side, before in zip(*settings, strict=True):
        candidates = []
        for place in range(start, start + rows * columns * len(shapes)):
            box = reference.decode(deltas[place], anchors[place], PLAIN)
            box = reference.clip(box, IMAGE_SIZE[image])
            side = min(box[2] - box[0], box[3] - box[1])
            if 1 / (1 + np.exp(-logits[place])) >= threshold and side > 0 and side >= min_side:
                candidates.append((box, logits[place]))
        start += rows * columns * len(shapes)
        kept = []
        for box, score in sorted(candidates, key=lambda one: -one[1])[:before]:
            if all(reference.iou(box, other) <= layer.nms_iou for other, _ in kept):
                kept.append((box, score))
        found.append(kept)
    if layer.by_level:
        return found[0] + found[1]
    return sorted(found[0] + found[1], key=lambda one: -one[1])


@pytest.mark.parametrize("by_level", [False, True])
def test_proposals_equal_loops(by_level):
    layer = build(by_level=by_level, nms_iou=0.4)
    output, proposals = layer(features(), IMAGE_SIZE)
    output, proposals = arrays(output), arrays(proposals)
    room = max(len(_reference_proposals(output, layer, image)) for image in range(2))
    assert proposals.boxes.shape == (2, room, 4)
    dropped = 0
    for image in range(2):
        expected = _reference_proposals(output, layer, image)
        dropped += 42 - len(expected)
        valid = proposals.valid[image]
        np.testing.assert_array_equal(valid, np.arange(room) < len(expected))
        np.testing.assert_allclose(proposals.boxes[image][valid], [box for box, _ in expected], atol=PIXELS)
        np.testing.assert_allclose(proposals.scores[image][valid], [one for _, one in expected], rtol=1e-5)
        np.testing.assert_array_equal(proposals.boxes[image][~valid], 0)
    assert dropped > 0


def test_output_is_that_of_the_two_numbers_of_an_anchor():
    layer = build()
    output = layer.predict(features(), IMAGE_SIZE)
    hidden = layer.hidden[1](features()["P4"])
    of_level = layer.objectness[1](hidden).numpy().reshape(2, 24, 2, 2)
    _, second = layer.grid.split(output.logits, output.feature_sizes)
    softmax = np.exp(of_level) / np.exp(of_level).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(tf.sigmoid(second), softmax[..., 1].reshape(2, 48), rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(output.feature_sizes, CELLS)
    deltas = np.abs(output.deltas)
    assert deltas[..., :2].max() == 1.0
    np.testing.assert_allclose(deltas[..., 2:].max(), np.log(8.0), rtol=1e-6)


def test_offsets_beyond_the_limits_still_learn():
    layer = build()
    deltas = tf.constant([[3.0, -0.5, -9.0, 9.0]])
    with tf.GradientTape() as tape:
        tape.watch(deltas)
        clipped = layer.clip_deltas(deltas)
    np.testing.assert_allclose(clipped, [[1.0, -0.5, -np.log(8), np.log(8)]], rtol=1e-6)
    np.testing.assert_array_equal(tape.gradient(clipped, deltas), [[1, 1, 1, 1]])
    np.testing.assert_array_equal(build(max_shift=None, max_growth=None).clip_deltas(deltas), deltas)


def test_thresholds_of_proposals_are_met_exactly():
    shapes = [(10, 10), (10, 5), (10, 4)]
    layer = one_cell(shapes, score_threshold_test=0.5, min_side=5.0, pre_nms_test=3, nms_iou=0.5)
    # The first two have an IoU of 0.5, which does not suppress; the third is too small.
    proposals = layer.propose(output_of(layer, [0.0, 1.0, 2.0], image_size=(20, 20)))
    np.testing.assert_array_equal(proposals.valid, [[True, True]])
    np.testing.assert_array_equal(proposals.boxes[0], [[5, 7.5, 15, 12.5], [5, 5, 15, 15]])
    proposals = layer.propose(output_of(layer, [-1e-3, np.nan, 2.0], image_size=(20, 20)))
    assert not proposals.valid.numpy().any()
    np.testing.assert_array_equal(proposals.boxes, np.zeros((1, 1, 4)))


def test_only_what_can_be_a_proposal_counts_before_nms():
    # The best box lies outside the image: the second is the one that reaches NMS.
    layer = one_cell([(10, 10), (20, 20)], pre_nms_test=1)
    deltas = [[1.0, 1.0, -2.0, -2.0], [0, 0, 0, 0]]
    proposals = layer.propose(output_of(layer, [5.0, -1.0], deltas, image_size=(14, 14)))
    np.testing.assert_array_equal(proposals.boxes, [[[0, 0, 14, 14]]])


def test_where_boxes_are_clipped():
    layer = one_cell([(20, 20)], border=1.0, pre_nms_test=1)
    proposals = layer.propose(output_of(layer, [0.0], image_size=(14, 14)))
    np.testing.assert_array_equal(proposals.boxes, [[[0, 0, 15, 15]]])
    # What lies outside is as wide as a pixel.
    for inclusive in (False, True):
        layer = one_cell([(4, 4)], inclusive=inclusive, pre_nms_test=1)
        proposals = layer.propose(output_of(layer, [0.0], image_size=(6, 14)))
        assert proposals.valid.numpy().tolist() == [[inclusive]]
        np.testing.assert_array_equal(proposals.boxes, [[[8, 5, 12, 6] if inclusive else [0, 0, 0, 0]]])


def test_cap_after_nms_and_limits_of_training():
    layer = build(post_nms_test=7, pre_nms_train=(9, 4), score_threshold_train=0.0, post_nms_train=None)
    assert layer(features(), IMAGE_SIZE)[1].boxes.shape == (2, 7, 4)
    _, proposals = layer(features(), IMAGE_SIZE, training=True)
    assert proposals.boxes.shape == (2, 13, 4)
    assert proposals.valid.numpy().any()


def test_proposals_carry_no_gradient():
    layer = build()
    with tf.GradientTape() as tape:
        _, proposals = layer(features(), IMAGE_SIZE)
        total = tf.reduce_sum(proposals.boxes) + tf.reduce_sum(proposals.scores)
    assert all(gradient is None for gradient in tape.gradient(total, layer.trainable_variables))


OBJECTS = [[((8, 8, 24, 24), 1), ((40, 16, 71, 33), 2), ((60, 40, 76, 58), 3)], []]


def test_labels_keep_to_the_quota_of_each_level():
    layer = build(samples_per_level=4, foreground_fraction=0.25, foreground_iou=0.3)
    output = layer.predict(features(), IMAGE_SIZE)
    every = layer.match(output, targets(OBJECTS, size=3)).labels
    labels = layer.label(output, targets(OBJECTS, size=3))
    for level, before in zip(
        layer.grid.split(labels.labels, output.feature_sizes),
        layer.grid.split(every, output.feature_sizes),
        strict=True,
    ):
        assert (before[0].numpy() == 1).sum() > 1
        assert [(np.sum(row == 1), np.sum(row == 0)) for row in level.numpy()] == [(1, 3), (0, 4)]
    drawn = labels.labels.numpy() >= 0
    np.testing.assert_array_equal(labels.labels.numpy()[drawn], every.numpy()[drawn])
    again = layer.label(output, targets(OBJECTS, size=3))
    np.testing.assert_array_equal(labels.labels, again.labels)
    other = layer.label(output, targets(OBJECTS, size=3, seeds=[[5, 6], [7, 8]]))
    assert np.any(labels.labels != other.labels)


@pytest.mark.parametrize("inclusive", [False, True])
def test_offsets_lead_to_the_objects(inclusive):
    layer = build(inclusive=inclusive)
    output = layer.predict(features(), IMAGE_SIZE)
    some = targets(OBJECTS, size=3)
    labels = layer.label(output, some)
    decoded = layer.coder.decode(labels.deltas, output.anchors[None])
    match = layer.match(output, some)
    foreground = labels.labels.numpy() == 1
    boxes = tf.gather(some.boxes, match.index, batch_dims=1).numpy()[foreground]
    assert len(boxes) >= 3
    np.testing.assert_allclose(decoded.numpy()[foreground], boxes - (0.5 if inclusive else 0), atol=PIXELS)
    np.testing.assert_array_equal(labels.deltas.numpy()[~foreground], 0)


def test_crowds_as_objects_that_are_not_searched_for():
    # The crowd overlaps an anchor of the first level by 0.5, and covers half of it.
    crowd = targets([[((8, 8, 24, 16), 0)]])
    settings = {"crowd_cover": 0.6, "max_outside": None}
    labels = {}
    for match_crowds in (False, True):
        layer = build(match_crowds=match_crowds, **settings)
        output = layer.predict({name: value[:1] for name, value in features().items()}, IMAGE_SIZE[:1])
        match = layer.match(output, crowd)
        assert isinstance(match, Match)
        labels[match_crowds] = match.labels[0].numpy()
    assert (labels[False] == 0).all()
    assert labels[True].min() == -1
    assert labels[True].max() == 0


@pytest.mark.parametrize(
    "case", ["no_object", "all_ignored", "all_crowd", "objects"], ids=lambda name: name.replace("_", "-")
)
def test_losses_are_finite(case):
    layer = build(max_outside=None)
    objects = {"no_object": [[], []], "objects": OBJECTS, "all_ignored": [[], []]}
    everywhere = [[((-99, -99, 199, 199), 0)]] * 2
    some = targets(objects.get(case, everywhere), size=3)
    size = np.full((2, 2), 1, np.float32) if case == "all_ignored" else IMAGE_SIZE
    with tf.GradientTape() as tape:
        losses, metrics = layer.compute_losses(layer.predict(features(), size), some)
        total = losses["rpn_objectness"] + losses["rpn_box"]
    gradients = [np.abs(value).max() for value in tape.gradient(total, layer.trainable_variables)]
    assert np.all(np.isfinite(gradients))
    found = {name: float(value) for name, value in {**losses, **metrics}.items()}
    assert set(layer.reported) <= set(found)
    if case in ("all_ignored", "all_crowd"):
        assert found == {"rpn_objectness": 0.0, "rpn_box": 0.0, "rpn_positives": 0.0}
        assert max(gradients) == 0.0
    else:
        assert found["rpn_objectness"] > 0.0
        assert (found["rpn_box"] > 0.0) == (found["rpn_positives"] > 0.0) == (case == "objects")


def test_losses_are_means_of_levels():
    layer = build(anchors=[[(10, 10)] * 3, [(20, 20)]], strides=(20, 40), box_weight=0.5)
    deltas = [[0.5, 0, 0, 0], [3, 0, 0, 0], [7, 7, 7, 7], [0, 0, 0, 0]]
    output = output_of(layer, [0.0, 2.0, 50.0, -1.0], deltas)
    labels = AnchorTargets(tf.constant([[1, 1, -1, 0]]), tf.zeros([1, 4, 4]))
    (first, second) = layer.losses_of_levels(output, labels)
    np.testing.assert_allclose(first[0], (np.log(2) + np.log1p(np.exp(-2))) / 2, rtol=1e-6)
    np.testing.assert_allclose(first[1], 0.5 * (0.125 + 2.5) / 8, rtol=1e-6)
    np.testing.assert_allclose(second, [np.log1p(np.exp(-1)), 0.0], rtol=1e-6)


def test_images_count_by_the_anchors_that_were_drawn_of_them():
    """So the losses of two replicas do not average to that of their batch, as the authors' do not."""
    layer = one_cell([(10, 10)] * 2)
    first = output_of(layer, [0.0, 2.0], [[0.5, 0, 0, 0], [3, 0, 0, 0]])
    second = output_of(layer, [-1.0, 50.0], [[0, 0.25, 0, 0], [9, 9, 9, 9]])
    both = first._replace(
        logits=tf.concat([first.logits, second.logits], axis=0),
        deltas=tf.concat([first.deltas, second.deltas], axis=0),
    )
    labels = tf.constant([[1, 1], [1, -1]])
    deltas = tf.zeros([2, 2, 4])
    (whole,) = layer.losses_of_levels(both, AnchorTargets(labels, deltas))
    (of_first,) = layer.losses_of_levels(first, AnchorTargets(labels[:1], deltas[:1]))
    (of_second,) = layer.losses_of_levels(second, AnchorTargets(labels[1:], deltas[1:]))
    for batch, one, other in zip(whole, of_first, of_second, strict=True):
        np.testing.assert_allclose(batch, (2 * one + other) / 3, rtol=1e-6)
        assert abs(batch - (one + other) / 2) > 0.05


def test_reads_the_maps_it_is_told_to():
    layer = LevelProposals(levels=("C4",), channels=None)
    layer.build({"C3": (None, None, None, 4), "C4": (None, None, None, 6), "C5": (None, None, None, 9)})
    assert tuple(layer.hidden[0].kernel.shape) == (3, 3, 6, 6)
    assert tuple(layer.objectness[0].kernel.shape) == (1, 1, 6, 24)
    assert [one.name for one in layer.named_layers()] == ["hidden1", "objectness1", "offsets1"]
    maps = {"C4": tf.zeros([1, 2, 3, 6]), "C5": tf.zeros([1, 1, 2, 9])}
    output = layer.predict(maps, tf.constant([[32.0, 48.0]]))
    assert output.logits.shape == (1, 2 * 3 * 12)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pre_nms_test": (1, 2, 3)}, "pre_nms_test: got .*one for each of 2 levels"),
        ({"pre_nms_train": (0, 2)}, "pre_nms_train: got .*1 or more"),
        ({"post_nms_test": 0}, "post_nms_test: got 0"),
        ({"score_threshold_train": (0.1,)}, "score_threshold_train: got"),
        ({"nms_iou": 1.5}, "nms_iou: got 1.5"),
        ({"foreground_fraction": -0.5}, "foreground_fraction: got -0.5"),
        ({"max_growth": 1.0}, "max_growth: got 1.0"),
        ({"max_shift": 0.0}, "max_shift: got 0.0"),
        ({"strides": (8, 16, 32)}, "anchors need shapes for every stride, got 2 levels and 3 strides"),
        ({"levels": ("P3", "P9")}, r"levels: got \('P3', 'P9'\), expected some of the maps P3, P4"),
        ({"levels": ("P3",)}, "levels: got .*expected as many maps as strides, which are 2"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        build(**settings)


@pytest.mark.parametrize("counts", [(3, 1), (0, 2), (0, 0)])
def test_without_a_limit_there_is_room_for_the_fullest_image(counts):
    valid = np.arange(5) < np.array(counts)[:, None]
    boxes = np.random.default_rng(0).uniform(size=(2, 5, 4)).astype(np.float32)
    given = Proposals(tf.constant(boxes), tf.constant(boxes[..., 0]), tf.constant(valid))
    found = without_padding(given)
    room = max(*counts, 1)
    assert found.boxes.shape == (2, room, 4)
    np.testing.assert_array_equal(found.boxes, boxes[:, :room])
    np.testing.assert_array_equal(found.valid, valid[:, :room])
    np.testing.assert_array_equal(found.scores, boxes[:, :room, 0])
