"""Proposals, labels and losses of anchors against the authors' Caffe code: single layers and whole nets."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.proposals import LevelProposals
from cascade_tf.proposals.anchor_shapes import COCO_ANCHORS, FPN_PLUS_ANCHORS, VOC_ANCHORS
from cascade_tf.structures import AnchorTargets, LevelOutput
from tests.golden.caffe_boxes import continuous, find, rows
from tests.golden.caffe_layers import recorded
from tests.golden.caffe_nets import recorded_nets
from tests.golden.caffe_rpn import RecordedRPN, by_anchor, numbers, objects_and_regions, shapes_of

BACKGROUND_IOU = 0.3
# Scores and offsets are sums of some hundred products.
PREDICTION = 2e-5
# A loss is a mean of some hundred float32 numbers.
LOSS = 1e-5
# Gradients of weights are sums over all anchors; the largest of a layer is the measure.
WEIGHT = 1e-4
# The largest gradient of an anchor is of the order of 1e-2.
GRADIENT = 1e-6
NETS = recorded_nets("vgg", "alex", "rfcn", "fpn")


def of_cascade_rcnn(cases):
    """Those of the fork cascade-rcnn; the other is another detector's."""
    return [one for one in cases if not one.values[0] or one.values[0].fork == "cascade-rcnn"]


def same_boxes(boxes, recorded_boxes):
    """Whether they are the same whatever their order."""
    assert len(boxes) == len(recorded_boxes)
    find(boxes, recorded_boxes)


# Predictions.


def with_weights(network, phase):
    """A layer of the levels whose maps are recorded, these levels, and the maps."""
    found = network.recording(phase)
    levels = [level for level in network.recorded_levels(phase) if f"out/{network.map_name(level)}" in found]
    if not levels:
        pytest.skip("the map that the network reads is not recorded")
    layer = network.layer(levels, channels=network.kernel(levels[0], "hidden").shape[3])
    network.load_weights(layer, levels)
    names = [network.map_name(level) for level in levels]
    return layer, levels, {name: np.moveaxis(found[f"out/{name}"], 1, -1) for name in names}


@pytest.mark.parametrize("phase", ["test", "train"])
@pytest.mark.parametrize("net", NETS)
def test_predictions_of_nets(net, phase):
    network = RecordedRPN(net)
    layer, levels, maps = with_weights(network, phase)
    expected = network.output(layer, phase, levels)
    output = layer.predict(maps, expected.image_size)
    np.testing.assert_allclose(output.logits, expected.logits, atol=PREDICTION)
    np.testing.assert_allclose(output.deltas, expected.deltas, atol=PREDICTION)
    np.testing.assert_array_equal(output.feature_sizes, expected.feature_sizes)
    np.testing.assert_array_equal(output.anchors, expected.anchors)


# Proposals.


def released(case):
    """Whether the case has the rules of the released nets: one map, IoU, offsets that are not normalised."""
    if case is None:
        return True
    given = case.settings
    single = isinstance(given["box_group_param"], dict)
    return single and given.get("nms_type", "IOU") == "IOU" and "bbox_std" not in given


@pytest.mark.parametrize(
    "case", [one for one in recorded("BoxGroupOutput", "BoxGroupOutput") if released(one.values[0])]
)
def test_proposals_of_the_layer(case):
    given = case.settings
    threshold = float(given["fg_thr"])
    layer = LevelProposals(
        anchors=[shapes_of(given["box_group_param"])],
        max_growth=float(given.get("field_whr", 2)),
        max_shift=1 / float(given.get("field_xyr", 2)),
        # Above 1 no box is one; no recorded probability is 1 either.
        score_threshold_test=min(threshold, 1.0),
        min_side=float(given.get("min_size", 15)),
        pre_nms_test=int(given.get("max_nms_num", 5000)),
        post_nms_test=None,
        nms_iou=float(given["iou_thr"]),
        inclusive=True,
        border=1.0,
    )
    probabilities, deltas = case.array("in/prob"), case.array("in/bbox")
    images = len(deltas) // len(layer.anchors[0])
    size = deltas.shape[-2:]
    background, foreground = by_anchor(probabilities, images, 2).transpose(2, 0, 1)
    output = LevelOutput(
        tf.constant(np.log(foreground) - np.log(background)),
        layer.clip_deltas(by_anchor(deltas, images, 4)),
        layer.grid([size])[0],
        tf.constant([size], tf.int32),
        tf.constant([[16.0 * size[0], 16.0 * size[1]]] * images),
    )
    proposals = layer.propose(output)
    expected = rows(case.array("out/boxes"))
    if threshold > 1.0:
        # Caffe makes one box of its own where there is none.
        assert not proposals.valid.numpy().any()
        return
    assert len(expected) > 100
    for image in range(images):
        valid = proposals.valid[image].numpy()
        same_boxes(proposals.boxes[image].numpy()[valid], continuous(expected[expected[:, 0] == image, 1:]))
        assert np.all(np.diff(proposals.scores[image].numpy()[valid]) <= 0)


@pytest.mark.parametrize("phase", ["test", "train"])
@pytest.mark.parametrize("net", NETS)
def test_proposals_of_nets(net, phase):
    network = RecordedRPN(net)
    levels = network.recorded_levels(phase)
    layer = network.layer(levels)
    output = network.output(layer, phase, levels)
    proposals = layer.propose(output, training=phase == "train")
    capped = phase == "test" and len(network.names) == 1
    assert proposals.boxes.shape[1] == (300 if capped else max(np.sum(proposals.valid, axis=1)))
    names = [network.names[level].replace("rpn", "proposals") for level in levels]
    expected = [rows(network.recording(phase)[f"out/{name}"]) for name in names]
    for image in range(len(output.logits)):
        valid, start = proposals.valid[image].numpy(), 0
        boxes = proposals.boxes[image].numpy()
        for of_level in expected:
            wanted = continuous(of_level[of_level[:, 0] == image, 1:])
            same_boxes(boxes[start : start + len(wanted)], wanted)
            start += len(wanted)
        assert valid[:start].all()
        assert not valid[start:].any()


def test_anchors_of_nets():
    """The named anchors are those of the nets."""
    for net in (one.values[0] for one in NETS):
        if net is not None:
            anchors = tuple(tuple(level) for level in RecordedRPN(net).layer().anchors)
            single = (VOC_ANCHORS,) if net.is_voc else (COCO_ANCHORS,)
            assert anchors == (FPN_PLUS_ANCHORS if net.kind.startswith("fpn") else single)


# Labels.


def check_labels(match, targets, expected, least):
    """Compares labels, and of the foreground classes, boxes and overlaps."""
    foreground = expected[..., 0] > 0
    background = ~foreground & (expected[..., 5] < BACKGROUND_IOU)
    np.testing.assert_array_equal(match.labels, np.where(foreground, 1, np.where(background, 0, -1)))
    assert foreground.sum() >= least
    boxes = tf.gather(targets.boxes, match.index, batch_dims=1).numpy()
    sides = boxes[..., 2:] - boxes[..., :2]
    centres = (boxes[..., 2:] + boxes[..., :2]) / 2 - 0.5
    np.testing.assert_allclose(
        np.concatenate([centres, sides], -1)[foreground], expected[foreground, 1:5], 1e-6
    )
    classes = tf.gather(targets.classes, match.index, batch_dims=1).numpy()
    np.testing.assert_array_equal(classes[foreground], expected[foreground, 0])
    np.testing.assert_allclose(match.iou.numpy()[foreground], expected[foreground, 5], rtol=1e-5)


@pytest.mark.parametrize("case", of_cascade_rcnn(recorded("DataLabels")))
def test_labels_of_the_layer(case):
    given = case.settings
    if "anchor_ignore_iou_thr" in given:
        pytest.skip("no released net ignores anchors by the share that lies in the image")
    shapes, strides = shapes_of(given), numbers(given["stride"])
    maps = [np.stack([case.array(f"out/label{place}") for place in places], 1) for places in (range(6), (6,))]
    images = len(maps[0])
    sizes = np.array([one.shape[-2:] for one in maps], np.int32)
    offsets = case.array("in/offsets")
    targets = objects_and_regions(case.array("in/windows"), case.array("in/roni"), images)
    margin = given.get("anchor_ignore_margin_ratio")
    layer = LevelProposals(
        anchors=[shapes[:6], shapes[6:]],
        strides=(strides[0], strides[6]),
        foreground_iou=float(given["fg_threshold"]),
        min_object_side=float(given.get("min_gt_width", 0)),
        max_outside=None if margin is None else float(margin),
        crowd_cover=float(given.get("ignore_fg_threshold", 0.4)),
        inclusive=True,
    )
    anchors, size = tf.concat(layer.grid(sizes), axis=0), tf.constant(offsets[:, [3, 2]], tf.float32)
    match = layer.match(LevelOutput(None, None, anchors, tf.constant(sizes), size), targets)
    expected = np.concatenate([by_anchor(one, images, 6) for one in maps], axis=1)
    # Images of this package begin in the upper left corner.
    for image in np.flatnonzero(np.all(offsets[:, :2] == 0, axis=1)):
        own = [type(one)(*(value[image : image + 1] for value in one)) for one in (match, targets)]
        check_labels(*own, expected[image : image + 1], least=5)


def all_anchors(network, layer):
    """Output of a training pass that holds the anchors of all levels and no predictions."""
    images, _, height, width = network.net.train["in/data_u8"].shape
    sizes = network.feature_sizes()
    anchors = tf.concat(layer.grid(sizes), axis=0)
    size = np.tile(np.float32([height, width]), (images, 1))
    return LevelOutput(None, None, anchors, tf.constant(sizes), tf.constant(size))


@pytest.mark.parametrize("net", NETS)
def test_labels_of_nets(net):
    network = RecordedRPN(net)
    layer = network.layer()
    targets = network.objects()
    match = layer.match(all_anchors(network, layer), targets)
    check_labels(match, targets, network.labels(), least=10)


# Losses.


def chosen_targets(network, levels):
    """Labels and offsets of the anchors that the net chose, on some levels."""
    layer, found = network.layer(), network.net.train
    every = all_anchors(network, layer)
    targets = network.objects()
    match = layer.match(every, targets)
    images = len(found["in/data_u8"])
    kept = [by_anchor(found[f"out/hid/{name}_loss/keep_map"], images, 1)[..., 0] for name in network.names]
    match = match._replace(labels=tf.where(np.concatenate(kept, axis=1) > 0, match.labels, -1))

    def of_levels(values):
        split = layer.grid.split(values, every.feature_sizes)
        return tf.concat([split[level] for level in levels], axis=1)

    return AnchorTargets(of_levels(match.labels), of_levels(layer.encode(match, every, targets)))


def loss_weight(network, level):
    """The weight of a level's loss, which is one divided by their number."""
    weight = float(network.net.layers_of("train")[f"{network.names[level]}_loss"].get("loss_weight", 1))
    assert weight == 1 / len(network.names)
    return weight


@pytest.mark.parametrize("net", NETS)
def test_losses_of_nets(net):
    network, found = RecordedRPN(net), net.train
    levels = network.recorded_levels("train")
    assert len(levels) >= max(1, len(network.names) - 1)
    layer = network.layer(levels)
    output = network.output(layer, "train", levels)
    images = len(output.logits)
    logits, deltas = tf.Variable(output.logits), tf.Variable(output.deltas)
    with tf.GradientTape() as tape:
        given = output._replace(logits=logits + 0.0, deltas=deltas + 0.0)
        losses = layer.losses_of_levels(given, chosen_targets(network, levels))
        total = tf.add_n([objectness + box for objectness, box in losses])
    gradients = tape.gradient(total, [logits, deltas])
    of_logits, of_deltas = (layer.grid.split(value, output.feature_sizes) for value in gradients)
    for place, level in enumerate(levels):
        name, weight = network.names[level], loss_weight(network, level)
        both, box = found[f"out/{name}_loss"].ravel()
        np.testing.assert_allclose(losses[place], [both - box, box], rtol=LOSS, atol=LOSS)
        if f"dout/{name}_cls" in found:
            expected = by_anchor(found[f"dout/{name}_cls"], images, 2)
            np.testing.assert_allclose(weight * of_logits[place], expected[..., 1], atol=GRADIENT)
            np.testing.assert_allclose(-weight * of_logits[place], expected[..., 0], atol=GRADIENT)
        if f"dout/{name}_bbox" in found:
            expected = by_anchor(found[f"dout/{name}_bbox"], images, 4)
            np.testing.assert_allclose(weight * of_deltas[place], expected, atol=GRADIENT)
            assert np.abs(expected).max() > 100 * GRADIENT


@pytest.mark.parametrize("net", NETS)
def test_gradients_of_nets(net):
    """Of the weights, from the maps that the network reads and the anchors that it chose."""
    network = RecordedRPN(net)
    layer, levels, maps = with_weights(network, "train")
    size = network.output(layer, "train", levels).image_size
    with tf.GradientTape() as tape:
        losses = layer.losses_of_levels(layer.predict(maps, size), chosen_targets(network, levels))
        total = tf.add_n([objectness + box for objectness, box in losses])
    variables = {
        f"{network.caffe_name(level, kind)}/{number}": (variable, loss_weight(network, level))
        for place, level in enumerate(levels)
        for kind in ("hidden", "objectness", "offsets")
        for number, variable in enumerate(getattr(layer, kind)[place].variables)
    }
    gradients = tape.gradient(total, [variable.value for variable, _ in variables.values()])
    compared = 0
    for (name, (_, weight)), gradient in zip(variables.items(), gradients, strict=True):
        # Gradients of zero and the largest ones are not recorded.
        expected = net.train.get(f"grad/{name}")
        if expected is not None:
            expected = expected.transpose(2, 3, 1, 0) if expected.ndim == 4 else expected.ravel()
            largest = np.abs(expected).max()
            np.testing.assert_allclose(weight * gradient, expected, atol=WEIGHT * largest)
            compared += 1
    assert compared >= 5


def means(case):
    """Whether the case has the losses of the released nets: objectness, and anchors of one weight."""
    return case is None or (case.settings["cls_num"] == "2" and np.all(case.array("hidden/weight_map") == 1))


@pytest.mark.parametrize("case", [one for one in recorded("DetectionGroupLoss") if means(one.values[0])])
def test_losses_of_the_layer(case):
    given = case.settings
    layer = LevelProposals(
        anchors=[shapes_of(given)],
        max_shift=1 / float(given["field_xyr"]) if "field_xyr" in given else None,
        max_growth=float(given["field_whr"]) if "field_whr" in given else None,
    )
    raw = case.array("in/bbox")
    images = len(raw) // len(layer.anchors[0])
    size = raw.shape[-2:]
    truth = by_anchor(case.array("in/gt"), images, 6)
    kept = by_anchor(case.array("hidden/keep_map"), images, 1)[..., 0]
    (anchors,) = layer.grid([size])
    # The layer is given centres and sides, which it takes as they are.
    boxes = np.concatenate([truth[..., 1:3] - truth[..., 3:5] / 2, truth[..., 1:3] + truth[..., 3:5] / 2], -1)
    foreground = truth[..., 0] > 0
    labels = np.where(kept > 0, foreground.astype(np.int32), -1)
    wanted = layer.coder.encode(boxes, anchors[None])
    encoded = by_anchor(case.array("hidden/encoded_gt"), images, 4)
    np.testing.assert_allclose(wanted.numpy()[foreground], encoded[foreground], atol=1e-5)
    scores = tf.Variable(by_anchor(case.array("in/cls"), images, 2))
    deltas = tf.Variable(by_anchor(raw, images, 4))
    with tf.GradientTape() as tape:
        output = LevelOutput(
            scores[..., 1] - scores[..., 0], layer.clip_deltas(deltas + 0.0), anchors,
            tf.constant([size], tf.int32), None,
        )  # fmt: skip
        targets = AnchorTargets(tf.constant(labels), tf.where(foreground[..., None], wanted, 0.0))
        ((objectness, box),) = layer.losses_of_levels(output, targets)
    gradients = tape.gradient([objectness, box], [scores, deltas])
    both, alone = case.array("out/loss").ravel()
    np.testing.assert_allclose([objectness, box], [both - alone, alone], rtol=LOSS, atol=LOSS)
    for gradient, name, channels in zip(gradients, ("cls", "bbox"), (2, 4), strict=True):
        expected = by_anchor(case.array(f"grad/{name}"), images, channels)
        np.testing.assert_allclose(gradient, expected, atol=GRADIENT)
