"""Single layers of MS-CNN: proposals, labels and losses of the branches, case by case."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.proposals import BranchProposals
from cascade_tf.structures import AnchorTargets, BranchOutput
from tests.golden.caffe_boxes import continuous, find, rows
from tests.golden.caffe_layers import recorded
from tests.golden.caffe_rpn import numbers, objects_and_regions

LOSS = 1e-5
GRADIENT = 1e-6
BACKGROUND_IOU = 0.2


def of_mscnn(layer):
    """The cases of a layer that are of the authors' second fork."""
    return [one for one in recorded(layer) if one.values[0] is None or one.values[0].fork == "mscnn"]


def network(shapes, strides, **settings):
    """Branches of given templates: those of the same stride are one branch."""
    levels = sorted(set(strides))
    templates = [
        [one for one, stride in zip(shapes, strides, strict=True) if stride == level] for level in levels
    ]
    count = len(levels)
    return BranchProposals(
        templates=templates,
        kernels=[[(1, 1)] * len(level) for level in templates],
        strides=[int(level) for level in levels],
        levels=[f"P{level}" for level in range(count)],
        hidden=[None] * count,
        branch_weights=[1.0] * count,
        inclusive=True,
        shift_into_image=True,
        **settings,
    )


def shapes_and_strides(given):
    shapes = list(zip(numbers(given["field_w"]), numbers(given["field_h"]), strict=True))
    return shapes, numbers(given["downsample_rate"])


def output_of(layer, maps, strides):
    """[B, N, K + 5] values of maps [B, h, w, C] of templates as the layer's output."""
    per_level, sizes = [], []
    for level in sorted(set(strides)):
        own = [one for one, stride in zip(maps, strides, strict=True) if stride == level]
        per_level.append(np.stack(own, axis=3).reshape(len(own[0]), -1, own[0].shape[-1]))
        sizes.append(own[0].shape[1:3])
    every = np.concatenate(per_level, axis=1)
    size = np.float32([[sizes[0][0] * min(strides), sizes[0][1] * min(strides)]] * len(every))
    anchors = tf.concat(layer.grid(sizes), axis=0)
    classes = layer.num_classes + 1
    deltas = layer.clip_deltas(every[..., classes:])
    return BranchOutput(every[..., :classes], deltas, anchors, tf.constant(sizes), tf.constant(size)), every


def plain_nms(case):
    """Whether boxes are suppressed by their IoU, as in all released nets."""
    return case is None or case.settings.get("nms_type", "IOU") == "IOU"


@pytest.mark.parametrize("case", [one for one in of_mscnn("BoxOutput") if plain_nms(one.values[0])])
def test_proposals(case):
    given = case.settings
    shapes, strides = shapes_and_strides(given)
    maps = [case.maps(f"in/{name}") for name in case.inputs]
    layer = network(
        shapes,
        strides,
        num_classes=maps[0].shape[-1] - 5,
        std=numbers(given.get("bbox_std", [1] * 4)),
        max_growth=float(given.get("field_whr", 2)),
        max_shift=1 / float(given.get("field_xyr", 2)),
        score_threshold_test=float(given["fg_thr"]),
        min_side=float(given.get("min_size", 15)),
        pre_nms_test=int(given.get("max_nms_num", 3000)),
        nms_iou=float(given.get("iou_thr", 0.65)),
        post_nms_test=int(given["max_post_nms_num"]) if "max_post_nms_num" in given else None,
    )
    output, _ = output_of(layer, maps, strides)
    proposals = layer.propose(output)
    expected = rows(case.array("out/boxes_scores"))
    if layer.score_threshold_test > 10:
        # Caffe makes one box of its own where there is none.
        assert not proposals.valid.numpy().any()
        return
    assert len(expected) > 20
    for image in range(len(maps[0])):
        valid, wanted = proposals.valid[image].numpy(), expected[expected[:, 0] == image]
        assert np.count_nonzero(valid) == len(wanted)
        place = find(proposals.boxes[image].numpy()[valid], continuous(wanted[:, 1:5]))
        np.testing.assert_allclose(proposals.scores[image].numpy()[valid], wanted[place, 5], rtol=1e-5)


@pytest.mark.parametrize("case", of_mscnn("DataLabels"))
def test_labels(case):
    given = case.settings
    shapes, strides = shapes_and_strides(given)
    maps = [case.maps(f"out/label{number}") for number in range(len(shapes))]
    layer = network(
        shapes, strides, num_classes=4, min_object_side=(0.0, float(given.get("min_gt_height", 0)))
    )
    padded = [np.concatenate([one, np.zeros_like(one[..., :3])], axis=-1) for one in maps]
    output, every = output_of(layer, padded, strides)
    offsets = case.array("in/offsets")
    output = output._replace(image_size=tf.constant(offsets[:, [3, 2]], tf.float32))
    targets = objects_and_regions(case.array("in/windows"), case.array("in/roni"), len(maps[0]))
    match = layer.match(output, targets)
    foreground = every[..., 0] > 0
    background = ~foreground & (every[..., 5] < BACKGROUND_IOU)
    expected = np.where(foreground, 1, np.where(background, 0, -1))
    classes = tf.gather(targets.classes, match.index, batch_dims=1).numpy()
    # Images of this package begin in the upper left corner, and cells of their padding are ignored.
    whole = np.all(offsets == [0, 0, offsets[:, 2].max(), offsets[:, 3].max()], axis=1)
    for image in np.flatnonzero(whole):
        np.testing.assert_array_equal(match.labels[image], expected[image])
        assert foreground[image].sum() >= 5
        own = foreground[image]
        np.testing.assert_array_equal(classes[image][own], every[image, own, 0])
    assert whole.any() or "padded" in case.case


def released(case):
    """Whether foreground and background have fixed shares, and no candidate a weight of its own."""
    if case is None:
        return True
    given = case.settings
    weighted = given.get("pos_neg_weighted") == "true"
    return weighted and "objectness" not in given and "iou_weighted" not in given


@pytest.mark.parametrize("case", [one for one in of_mscnn("DetectionLoss") if released(one.values[0])])
def test_losses(case):
    given = case.settings
    shape, stride = (float(given["field_w"]), float(given["field_h"])), float(given["downsample_rate"])
    maps, truth = case.maps("in/x"), case.maps("in/gt")
    layer = network(
        [shape],
        [stride],
        num_classes=int(given["cls_num"]) - 1,
        negative_multiple=int(given.get("bg_multiple", 2)),
    )
    output, _ = output_of(layer, [maps], [stride])
    labels = truth[..., 0].reshape(len(maps), -1)
    drawn = case.maps("hidden/bootstrap_map").reshape(len(maps), -1) > 0
    labels = np.where(drawn | (labels > 0), labels, -1).astype(np.int32)
    centre, half = truth[..., 1:3], truth[..., 3:5] / 2
    boxes = np.concatenate([centre - half, centre + half], axis=-1).reshape(len(maps), -1, 4)
    wanted = tf.where((labels > 0)[..., None], layer.coder.encode(boxes, output.anchors[None]), 0.0)
    values = tf.constant(np.reshape(maps, [len(maps), -1, maps.shape[-1]]))
    classes = layer.num_classes + 1
    with tf.GradientTape() as tape:
        tape.watch(values)
        given_output = output._replace(
            logits=values[..., :classes], deltas=layer.clip_deltas(values[..., classes:])
        )
        losses = layer.anchor_losses(given_output, AnchorTargets(tf.constant(labels), wanted))
        total = tf.add_n(losses)
    both, box = case.array("out/loss").ravel()
    np.testing.assert_allclose(total, both, rtol=LOSS)
    np.testing.assert_allclose(losses[1], box, rtol=LOSS, atol=LOSS)
    gradient = tape.gradient(total, values).numpy().reshape(maps.shape)
    np.testing.assert_allclose(gradient, case.maps("grad/x"), atol=GRADIENT)
