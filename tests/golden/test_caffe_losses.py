"""What a stage learns from, against the authors' Caffe layers of losses, hard examples and overlaps."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.losses import hardest, smooth_l1, stage_losses, stage_metrics
from cascade_tf.structures import Samples
from tests.golden.caffe_boxes import coder_of, continuous, find, offsets, padded, rows, stage_output
from tests.golden.caffe_layers import recorded
from tests.golden.caffe_phases import recorded_phases

# float32 sums over some hundred rows in another order.
LOSS = 1e-5
GRADIENT = 1e-4
OVERLAP = 1e-5
# MS-CNN's layer looks for offsets of the class where there are none but those for all, and reads other rows'.
MISREAD = ("kitti_cascade",)


def samples_of(rois, labels, match):
    """Rows (image, box), (label) and (label, box, overlap) as the samples of one image, [1, R]."""
    count = len(rois)
    return Samples(
        boxes=tf.constant(continuous(rois[None, :, 1:])),
        scores=tf.zeros([1, count]),
        valid=tf.ones([1, count], tf.bool),
        classes=tf.constant(labels.reshape(1, -1), tf.int32),
        gt_boxes=tf.constant(continuous(match[None, :, 1:5])),
        gt_iou=tf.constant(match[None, :, 5]),
        gt_index=tf.zeros([1, count], tf.int32),
    )


def beta(settings):
    """Where the recorded loss, whose pieces meet at 1 / sigma^2, changes from quadratic to linear."""
    return 1.0 / float(settings.get("sigma", 1)) ** 2


@pytest.mark.parametrize("layer", recorded("SmoothL1Loss"))
def test_smooth_l1(layer):
    predicted, wanted, *weights = (tf.constant(layer.array(f"in/{name}")) for name in layer.inputs)
    inside, outside = weights or (1.0, 1.0)
    weight = layer.settings["loss_weight"]
    weight = float(weight[0] if isinstance(weight, list) else weight)
    with tf.GradientTape() as tape:
        tape.watch(predicted)
        losses = tf.reduce_sum(
            outside * smooth_l1(inside * (predicted - wanted), beta(layer.settings)), axis=1
        )
        loss = tf.reduce_mean(losses)
        weighted = weight * loss
    np.testing.assert_allclose(loss, layer.array("out/loss"), rtol=LOSS)
    if "per_row" in layer.outputs:
        np.testing.assert_allclose(losses, layer.array("out/per_row").ravel(), rtol=LOSS, atol=LOSS)
    gradient = tape.gradient(weighted, predicted)
    np.testing.assert_allclose(gradient, layer.array("grad/pred"), rtol=GRADIENT, atol=1e-6)


@pytest.mark.parametrize("layer", recorded("SoftmaxWithLoss"))
def test_class_loss(layer):
    logits, labels = tf.constant(layer.array("in/x")[None]), layer.array("in/label")
    boxes, nothing = (
        np.tile(np.float32([0, 0, 0, 9, 9]), (len(labels), 1)),
        np.zeros([len(labels), 6], np.float32),
    )
    output = stage_output(samples_of(boxes, labels, nothing), logits, tf.zeros([1, len(labels), 4]))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss, _ = stage_losses(output, coder_of({}))
    np.testing.assert_allclose(loss, layer.array("out/loss"), rtol=LOSS)
    np.testing.assert_allclose(
        tape.gradient(loss, logits)[0], layer.array("grad/x"), rtol=GRADIENT, atol=1e-6
    )


@pytest.mark.parametrize("layer", recorded("HardMining"))
def test_hard_examples(layer):
    images, kept = (rows(layer.array(name))[:, 0] for name in ("in/rois", "out/rois_k"))
    count = int(layer.settings["num_roi_per_image"])
    losses, place, valid = padded(
        images, 2, layer.array("in/score")[:, 0], np.arange(len(images), dtype=np.float32)
    )
    chosen = place[hardest(tf.constant(losses), tf.constant(valid), count).numpy()]
    table, found = (
        np.concatenate(
            [rows(layer.array(f"{way}{name}{end}")) for name in ("rois", "labels", "targets")], axis=1
        )
        for way, end in (("in/", ""), ("out/", "_k"))
    )
    expected = np.flatnonzero((table[:, None] == found).all(axis=2).any(axis=1))
    if all(np.count_nonzero(images == image) >= count for image in range(2)):
        np.testing.assert_array_equal(np.sort(chosen), expected)
    # The authors fill a short image's places with rows of the other one.
    assert len(kept) == min(2 * count, len(images))
    assert set(chosen.astype(int)) <= set(expected)


def stages_of(net):
    """Settings of both losses, and the rows of each stage: RoIs, labels, matches, logits, offsets."""
    for metric in net.of_kind("BboxAccuracy"):
        deltas, rois, match = metric.bottoms
        classes = next(
            layer
            for layer in net.of_kind("SoftmaxWithLoss")
            if layer.bottoms[0] == deltas.replace("bbox", "cls")
        )
        boxes = next(layer for layer in net.of_kind("SmoothL1Loss") if layer.bottoms[0] == deltas)
        yield (
            metric,
            classes,
            boxes,
            samples_of(*(rows(net.blob(name)) for name in (rois, classes.bottoms[1], match))),
        )


@pytest.mark.parametrize("net", recorded_phases("train", "train_2nd", kind="BboxAccuracy"))
def test_losses_of_nets(net):
    for metric, classes, boxes, samples in stages_of(net):
        logits = tf.constant(rows(net.blob(classes.bottoms[0]))[None])
        deltas = tf.constant(offsets(net.blob(boxes.bottoms[0]))[None])
        coder = coder_of(metric.settings)
        output = stage_output(
            samples, logits, deltas, coder.decode(_of_class(deltas, samples), samples.boxes)
        )
        weight = float(boxes.settings["loss_weight"])
        with tf.GradientTape(persistent=True) as tape:
            tape.watch([logits, deltas])
            losses = stage_losses(output, coder)
            total = weight * tf.add_n(losses)
        for loss, layer in zip(losses, (classes, boxes), strict=True):
            np.testing.assert_allclose(loss, net.blob(layer.tops[0]), rtol=LOSS)
        for value, layer in ((logits, classes), (deltas, boxes)):
            expected = net.gradient(layer.bottoms[0])
            if expected is not None:
                expected = rows(expected) if layer is classes else offsets(expected)
                largest = np.abs(expected).max()
                gradient = tape.gradient(total, value)[0]
                np.testing.assert_allclose(gradient, expected, rtol=GRADIENT, atol=GRADIENT * largest)
        after, before = (float(np.ravel(net.blob(name))[0]) for name in metric.tops)
        metrics = stage_metrics(output)
        np.testing.assert_allclose(metrics.iou_before, before, atol=OVERLAP)
        if net.folder.name not in MISREAD:
            np.testing.assert_allclose(metrics.iou_after, after, atol=OVERLAP)


def _of_class(deltas, samples):
    """[1, R, 4] the offsets of the true class, or those for all classes."""
    by_class = tf.reshape(deltas, [1, deltas.shape[1], -1, 4])
    own = tf.maximum(samples.classes - 1, 0) if by_class.shape[2] > 1 else tf.zeros_like(samples.classes)
    return tf.gather(by_class, own, axis=2, batch_dims=2)


@pytest.mark.parametrize("net", recorded_phases("train", kind="HardMining"))
def test_hard_examples_of_nets(net):
    (layer,) = net.of_kind("HardMining")
    _, rois, labels, _, _, _, match = (rows(net.blob(name)) for name in layer.bottoms)
    logits, deltas = rows(net.blob("cls_pred_readonly")), offsets(net.blob("bbox_pred_readonly"))
    parts = (*(value[0] for value in samples_of(rois, labels, match)), logits, deltas)
    *samples, logits, deltas, exists = map(
        tf.constant, padded(rois[:, 0], 2, *(np.asarray(part) for part in parts))
    )
    samples = Samples(*samples)._replace(valid=exists)
    output = stage_output(samples, logits, deltas)
    (metric,) = net.of_kind("BboxAccuracy")
    with tf.GradientTape() as tape:
        tape.watch(logits)
        losses = stage_losses(
            output, coder_of(metric.settings), hard_examples=int(layer.settings["num_roi_per_image"])
        )
    for loss, name in zip(losses, ("loss_cls", "loss_bbox"), strict=True):
        np.testing.assert_allclose(loss, net.blob(name), rtol=LOSS)
    learned = np.any(tape.gradient(losses[0], logits).numpy() != 0, axis=2)
    kept = continuous(rows(net.blob("ohem_rois"))[:, 1:])
    assert len(kept) == np.count_nonzero(learned)
    find(kept, samples.boxes.numpy()[learned])


@pytest.mark.parametrize("layer", recorded("BboxAccuracy"))
def test_overlaps_before_and_after(layer):
    deltas, rois, match = (layer.array(f"in/{name}") for name in ("bbox", "rois", "match_gt"))
    samples = samples_of(rois, match[:, 0], match)
    deltas = tf.constant(offsets(deltas)[None])
    if layer.settings["cls_aware"] == "false":
        deltas = deltas[..., :4]
    boxes = coder_of(layer.settings).decode(_of_class(deltas, samples), samples.boxes)
    logits = tf.zeros([1, len(rois), 5])
    metrics = stage_metrics(stage_output(samples, logits, deltas, boxes))
    np.testing.assert_allclose(metrics.iou_after, layer.array("out/after").ravel()[0], atol=OVERLAP)
    np.testing.assert_allclose(metrics.iou_before, layer.array("out/before").ravel()[0], atol=OVERLAP)
