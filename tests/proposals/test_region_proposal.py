"""Proposals against slow loops, and the anchors of the loss."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.proposals import RegionProposal
from tests.boxes.examples import objects_of, targets
from tests.heads.examples import CHANNELS, IMAGE_SIZE, OBJECTS, STRIDES, arrays, ground_truth, pyramid
from tests.reference import cascade as reference

PIXELS = 1e-3
PLAIN = (1.0, 1.0, 1.0, 1.0)
ANCHOR_SIZES = (8, 16, 32, 64, 128)


def build(**settings):
    """Random weights that spread scores and offsets over a wide range."""
    keras.utils.set_random_seed(11)
    settings = {
        "anchor_sizes": ANCHOR_SIZES,
        "pre_nms_train": 40,
        "pre_nms_test": 25,
        "post_nms_train": 50,
        "post_nms_test": 30,
        "samples_per_image": 32,
        **settings,
    }
    layer = RegionProposal(**settings)
    layer.build(dict.fromkeys(STRIDES, (None, None, None, CHANNELS)))
    generator = np.random.default_rng(2)
    for part, scale in ((layer.hidden, 0.3), (layer.objectness, 1.0), (layer.offsets, 0.3)):
        part.kernel.assign(generator.normal(0, scale, part.kernel.shape))
    return layer


def sizes_per_level(features):
    return [3 * value.shape[1] * value.shape[2] for value in features.values()]


def _reference_proposals(output, counts, image, before_nms, after_nms, nms_iou):
    found = []
    logits, deltas, start = output.logits[image], output.deltas[image], 0
    for count in counts:
        places = sorted(range(start, start + count), key=lambda place: -logits[place])[:before_nms]
        start += count
        kept = []
        for place in places:
            box = reference.decode(deltas[place], output.anchors[place], PLAIN)
            box = reference.clip(box, IMAGE_SIZE[image].numpy())
            if reference.is_proper(box) and all(reference.iou(box, other) <= nms_iou for other, _ in kept):
                kept.append((box, logits[place]))
        found += kept
    return sorted(found, key=lambda one: -one[1])[:after_nms]


@pytest.mark.parametrize(
    ("training", "before", "after"), [(False, 25, 30), (True, 40, 50)], ids=["inference", "training"]
)
def test_proposals_equal_loops(training, before, after):
    features = pyramid()
    output, proposals = build()(features, IMAGE_SIZE, training=training)
    assert proposals.boxes.shape == (2, after, 4)
    output, proposals = arrays(output), arrays(proposals)
    for image in range(2):
        expected = _reference_proposals(output, sizes_per_level(features), image, before, after, 0.7)
        valid = proposals.valid[image]
        assert valid.sum() == len(expected)
        np.testing.assert_allclose(proposals.boxes[image][valid], [box for box, _ in expected], atol=PIXELS)
        np.testing.assert_allclose(
            proposals.scores[image][valid], [score for _, score in expected], rtol=1e-6
        )


def test_levels_do_not_suppress_each_other():
    # One box with the best score of two levels: both copies stay, within a level one would go.
    layer = build(anchor_sizes=(16,) * 5, aspect_ratios=(1.0,), pre_nms_test=1, nms_iou=0.5)
    layer.offsets.kernel.assign(tf.zeros_like(layer.offsets.kernel))
    layer.objectness.kernel.assign(tf.zeros_like(layer.objectness.kernel))
    _, proposals = layer(pyramid(), IMAGE_SIZE)
    # Equal scores: the first anchor of each level, all at the origin.
    assert proposals.valid.numpy().sum(axis=1).tolist() == [5, 5]
    np.testing.assert_array_equal(proposals.boxes[:, :5], np.tile([0, 0, 8, 8], (2, 5, 1)))


def test_proposals_lie_in_the_image_and_not_in_its_padding():
    size = tf.constant([[64.0, 96.0], [20.0, 33.0]])
    _, proposals = build(pre_nms_test=500, post_nms_test=400)(pyramid(), size)
    boxes, valid = proposals.boxes.numpy(), proposals.valid.numpy()
    for image in range(2):
        own = boxes[image][valid[image]]
        assert len(own) > 20
        assert own.min() >= 0
        assert np.all(own[:, 2:] <= size[image].numpy()[::-1])
        assert np.all(own[:, 2:] > own[:, :2])
    np.testing.assert_array_equal(boxes[~valid], 0)


@pytest.mark.parametrize("wild", [np.nan, np.inf])
def test_wild_offsets_make_no_proposals(wild):
    layer = build()
    layer.offsets.bias.assign(tf.fill(layer.offsets.bias.shape, wild))
    _, proposals = layer(pyramid(), IMAGE_SIZE)
    valid = proposals.valid.numpy()
    assert np.all(np.isfinite(proposals.boxes))
    if np.isnan(wild):
        assert not valid.any()


def test_proposals_carry_no_gradient():
    layer = build()
    with tf.GradientTape() as tape:
        _, proposals = layer(pyramid(), IMAGE_SIZE, training=True)
        total = tf.reduce_sum(proposals.boxes) + tf.reduce_sum(proposals.scores)
    assert all(gradient is None for gradient in tape.gradient(total, layer.trainable_variables))


def test_labels_equal_loops_where_every_anchor_is_drawn():
    layer = build(samples_per_image=100_000)
    some = ground_truth()
    output, _ = layer(pyramid(), IMAGE_SIZE, training=True)
    labels = arrays(layer.label(output, some))
    anchors = output.anchors.numpy()
    for image in range(2):
        objects, crowds = objects_of(some, image)
        expected = np.array(reference.anchor_labels(anchors, objects, 0.7, 0.3, crowds))
        np.testing.assert_array_equal(labels.labels[image], expected)
        deltas = np.zeros_like(labels.deltas[image])
        for place in np.flatnonzero(expected == 1):
            index, _ = reference.best_object(anchors[place], objects)
            deltas[place] = reference.encode(objects[index].box, anchors[place], PLAIN)
        np.testing.assert_allclose(labels.deltas[image], deltas, atol=1e-5)
    assert (labels.labels[0] == 1).sum() >= 3
    assert (labels.labels[0] == -1).sum() > 0
    assert (labels.labels[1] == 0).all()


def test_labels_keep_to_the_quota():
    layer = build(samples_per_image=16, foreground_fraction=0.125)
    output, _ = layer(pyramid(), IMAGE_SIZE, training=True)
    labels = layer.label(output, ground_truth()).labels.numpy()
    assert [(np.sum(row == 1), np.sum(row == 0)) for row in labels] == [(2, 14), (0, 16)]
    again = layer.label(output, ground_truth()).labels.numpy()
    np.testing.assert_array_equal(labels, again)
    other = layer.label(output, targets(OBJECTS, seeds=[[5, 6], [7, 8]])).labels.numpy()
    assert np.any(labels != other)


def test_several_sizes_per_level():
    layer = build(anchor_sizes=((8, 10),) * 5, aspect_ratios=(1.0,))
    output, _ = layer(pyramid(), IMAGE_SIZE)
    cells = sum(sizes_per_level(pyramid())) // 3
    assert output.logits.shape == (2, 2 * cells)
    assert output.deltas.shape == (2, 2 * cells, 4)
    np.testing.assert_array_equal(output.anchors[:2], [[-4, -4, 4, 4], [-5, -5, 5, 5]])


def test_reads_the_maps_it_is_told_to():
    chosen = build(levels=("P3", "P5"), anchor_sizes=(16, 64), strides=(8, 32))
    output, proposals = chosen(pyramid(), IMAGE_SIZE)
    some = {name: pyramid()[name] for name in ("P3", "P5")}
    assert output.logits.shape[1] == sum(sizes_per_level(some))
    alone = build(anchor_sizes=(16, 64), strides=(8, 32))(some, IMAGE_SIZE)[1]
    np.testing.assert_array_equal(proposals.boxes, alone.boxes)
    with pytest.raises(ValueError, match=r"levels: got \('P3', 'P9'\), expected some of the maps P2, P3"):
        build(levels=("P3", "P9"))
