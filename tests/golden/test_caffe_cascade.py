"""The cascade's training pass, stage by stage, against the authors' nets.

The heads say of each box what the recorded ones said of the recorded box at its place; all else is the
package's: what the stages sample, what they learn from it, and which boxes they hand on.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.heads import CascadeHeads, Stage, StageHead
from tests.golden.caffe_boxes import (
    PIXELS,
    continuous,
    find,
    offsets,
    padded,
    proposals_of,
    rows,
    targets_of,
)
from tests.golden.caffe_phases import recorded_phases

# Sums of some hundred float32 losses; boxes that were decoded twice.
LOSS = 1e-4
WEIGHTS = (1.0, 0.5, 0.25)


class OwnBoxes(keras.layers.Layer):
    """Pools the boxes themselves, [B, S, 1, 1, 4]."""

    def pooled_shape(self, shapes):
        return (None, None, 1, 1, 4)

    def call(self, features, boxes):
        return boxes[:, :, None, None]

    def pool_in_turn(self, features, boxes):
        return self(features, boxes), features


class RecordedHead(StageHead):
    """Logits and offsets of the nearest recorded box of an image."""

    def __init__(self, boxes, valid, logits, deltas):
        super().__init__(autocast=False)
        self.num_classes = logits.shape[-1] - 1
        # A box of the padding is near to none.
        self.known = tf.where(valid[..., None], boxes, np.float32(1e6))
        self.logits, self.deltas = tf.constant(logits), tf.constant(deltas)

    def call(self, boxes, training=False):
        boxes = boxes[:, :, 0, 0]
        distance = tf.reduce_max(tf.abs(boxes[:, :, None] - self.known[:, None]), axis=3)
        nearest = tf.argmin(distance, axis=2)
        return (tf.gather(values, nearest, batch_dims=1) for values in (self.logits, self.deltas))


def stage_layers(net):
    """For each stage the layers ProposalTarget, SoftmaxWithLoss, SmoothL1Loss and BboxAccuracy."""
    kinds = ("ProposalTarget", "SoftmaxWithLoss", "SmoothL1Loss", "BboxAccuracy")
    return list(zip(*(net.of_kind(kind) for kind in kinds), strict=True))


def cascade_of(net, number):
    """The package's cascade with the recorded heads and settings, for a batch of ``number`` images."""
    stages = []
    for weight, (sampler, classes, boxes, _) in zip(WEIGHTS, stage_layers(net), strict=False):
        rois = rows(net.blob(sampler.tops[0]))
        values = (
            continuous(rois[:, 1:]),
            rows(net.blob(classes.bottoms[0])),
            offsets(net.blob(boxes.bottoms[0])),
        )
        known, logits, deltas, valid = padded(rois[:, 0], number, *values)
        assert float(boxes.settings["loss_weight"]) == weight
        head = RecordedHead(known, valid, logits, deltas)
        settings = sampler.settings
        std = [float(value) for value in settings["bbox_std"]]
        # The first stage's draw is taken as given.
        stages.append(Stage(head, float(settings["fg_thr"]), std, weight, num_samples=None))
    return CascadeHeads(stages, OwnBoxes(), rescale_heads=False, min_side=1.0)


def drawn_proposals(net, number):
    """What the first stage drew, without the objects' own boxes, which join again."""
    rois, objects = (rows(net.blob(name)) for name in ("rois", "gt_boxes"))
    own = np.abs(rois[:, None, :5] - objects[:, :5]).max(axis=2).min(axis=1) < PIXELS
    return proposals_of(rois[~own], number)


def whole_cascades():
    """Nets of several stages whose levels do not take RoIs twice, as those of FPN+ do."""
    return [
        parameter
        for parameter in recorded_phases("train", "train_2nd", kind="DecodeBBox")
        if parameter.values[0] is None or not parameter.values[0].of_kind("ScaleRoute")
    ]


@pytest.mark.parametrize("net", whole_cascades())
def test_training_pass(net):
    number = len(net.blob("data_u8"))
    objects = targets_of(rows(net.blob("gt_boxes")), number)
    heads, features = cascade_of(net, number), {"C5": tf.zeros([number, 1, 1, 1])}
    size = tf.constant([[160.0, 224.0]] * number)
    outputs = heads(features, drawn_proposals(net, number), size, objects, training=True)
    losses, metrics = heads.compute_losses(features, outputs, size, objects)
    assert len(outputs) == 3
    for stage, (output, layers) in enumerate(zip(outputs, stage_layers(net), strict=True), start=1):
        sampler, classes, boxes, overlaps = layers
        rois, labels = (rows(net.blob(name)) for name in sampler.tops[:2])
        samples = type(output.samples)(*(value.numpy() for value in output.samples))
        assert np.count_nonzero(samples.valid) == len(rois)
        for image in range(number):
            valid, here = samples.valid[image], rois[:, 0] == image
            place = find(continuous(rois[here, 1:]), samples.boxes[image][valid])
            np.testing.assert_array_equal(samples.classes[image][valid][place], labels[here, 0])
        for name, layer in (("class", classes), ("box", boxes)):
            expected = WEIGHTS[stage - 1] * net.blob(layer.tops[0])
            np.testing.assert_allclose(losses[f"stage{stage}_{name}"], expected, rtol=LOSS)
        before = np.ravel(net.blob(overlaps.tops[1]))[0]
        np.testing.assert_allclose(metrics[f"stage{stage}_iou_before"], before, rtol=LOSS)
