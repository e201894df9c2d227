"""Whole nets of the authors, imported from their files: every number from the pixels to the detections.

The other tests of the recordings look at one layer; here nothing is handed over but pixels and weights, and
in training the boxes and anchors that were drawn at random.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.losses import stage_losses
from cascade_tf.ops import grid_roi_align
from cascade_tf.structures import ImageBatch, Samples, StageOutput
from cascade_tf.weights.importing import describe_checkpoint, import_checkpoint
from cascade_tf.weights.places import places
from tests.golden.caffe_boxes import continuous, offsets, padded, rows
from tests.golden.caffe_nets import recorded_nets
from tests.golden.caffe_rpn import RecordedRPN
from tests.golden.test_caffe_proposals import chosen_targets

NETS = recorded_nets("alex", "fpn", "rfcn", "vgg")
_BLOBS = Path(__file__).parents[1] / "weights" / "families" / "caffe_blobs.json"
RELEASED = frozenset(json.loads(_BLOBS.read_text()))
# Coordinates of up to two hundred pixels, regressed three times in float32.
PIXELS = 2e-3
# Of the largest number of a blob: float32 through some fifty layers.
RELATIVE = 1e-4
PROBABILITY = 1e-5
STAGES = ("", "_2nd", "_3rd")
_THRESHOLD = "output.score_threshold"
# Of the authors' script that evaluates on VOC, which keeps fewer boxes than the net hands over.
EVALUATED_ON_VOC = {_THRESHOLD: (0.1, 0.01), "output.max_detections": (100, 1000)}
"""Settings of an import, and of the net."""
_SETTINGS = ("score_threshold_{}", "pre_nms_{}", "post_nms_{}", "min_side")


@functools.cache
def imported(net):
    """The import of a net, with the thresholds of its own files."""
    own = own_settings(net)
    # The authors keep what reaches the threshold.
    kept = {"output.score_threshold": float(np.nextafter(np.float32(own[_THRESHOLD]), np.float32(0)))}
    hard = {"heads.hard_examples": _hard_examples(net)}
    return import_checkpoint(net.folder / "net.caffemodel", **own | kept | hard)


def own_settings(net):
    """Settings of the proposals and detections by dotted names, as the files of the net have them."""
    rpn = RecordedRPN(net).layer()
    names = [name.format(phase) for name in _SETTINGS for phase in ("train", "test")]
    output = net.layers.get("frcnn_out_3rd_avg", net.layers.get("frcnn_out"))["frcnn_output_param"]
    return {f"proposals.{name}": getattr(rpn, name) for name in names} | {
        "output.nms_iou": float(output["iou_thr"]),
        _THRESHOLD: float(output["conf_thr"]),
        "output.max_detections": int(output.get("max_det_num", 1000)),
    }


def _hard_examples(net):
    mining = net.layers_of("train").get("hard_mining", {}).get("hard_mining_param")
    return None if mining is None else int(mining["num_roi_per_image"])


def batch_of(arrays):
    """The recorded pixels as a batch."""
    images = np.moveaxis(arrays["in/data_u8"], 1, -1)[..., ::-1]
    size = np.tile(np.float32(images.shape[1:3]), (len(images), 1))
    return ImageBatch(images, tf.constant(size), tf.constant(size), np.arange(len(images)))


def close(found, expected, relative=RELATIVE):
    scale = np.abs(expected).max() or 1.0
    np.testing.assert_allclose(np.asarray(found) / scale, expected / scale, atol=relative)


def nearest(boxes, among):
    """Index of the row of ``among`` that each box is."""
    distance = np.abs(boxes[:, None] - among[None]).max(axis=2)
    assert distance.min(axis=1).max() < PIXELS
    return distance.argmin(axis=1)


def of_stage(net, kind, stage):
    """Rows of what a stage put out; of a pyramid's boxes those that were pooled, some of them twice."""
    names = (f"out/{kind}_to_all{STAGES[stage]}", f"out/{kind}{STAGES[stage]}", "out/cls_score")
    return rows(next(net.test[name] for name in names if name in net.test))


@pytest.mark.parametrize("net", NETS)
def test_an_import_takes_the_settings_of_the_net(net):
    if (net.source or "").removeprefix("cascade-rcnn/examples/") not in RELEASED:
        pytest.skip("no net that the authors released")
    recipe = describe_checkpoint(net.folder / "net.caffemodel").recipe
    for name, own in own_settings(net).items():
        found = recipe.value(name)
        if net.is_voc and (found, own) == EVALUATED_ON_VOC.get(name):
            continue
        if found is None or own is None:
            assert found is own, name
        else:
            np.testing.assert_allclose(*np.broadcast_arrays(found, own), rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("net", NETS)
def test_proposals_boxes_and_scores(net):
    detector = imported(net).detector
    batch = batch_of(net.test)
    features, _, proposals = detector.propose(batch)
    valid = proposals.valid.numpy()[0]
    expected = continuous(rows(net.test["out/proposals"])[:, 1:])
    assert np.count_nonzero(valid) == len(expected)
    found = proposals.boxes.numpy()[0][valid]
    assert len(set(nearest(found, expected))) == len(expected)
    outputs = detector.heads(features, proposals, batch.image_size)
    for stage, output in enumerate(outputs):
        among = continuous(of_stage(net, "proposals", stage)[:, 1:])
        where = nearest(output.samples.boxes.numpy()[0][valid], among)
        close(output.logits.numpy()[0][valid], of_stage(net, "cls_pred", stage)[where])
        close(output.deltas.numpy()[0][valid], offsets(of_stage(net, "bbox_pred", stage))[where])
        kind = ("1st", "2nd_avg", "3rd_avg")[stage]
        probabilities = detector.heads.class_probabilities(outputs[: stage + 1]).numpy()[0][valid]
        average = rows(net.test[f"out/cls_prob_{kind}"])[where]
        np.testing.assert_allclose(probabilities, average, atol=PROBABILITY)


@pytest.mark.parametrize("net", recorded_nets("alex", "rfcn", "vgg"))
def test_detections(net):
    """All but what near ties decide: of two boxes of one score the authors may have kept the other.

    The pyramids pool some boxes twice, from a second level that has none of its own, and detect them so.
    """
    detections = imported(net).detector(batch_of(net.test))
    name = "out/frcnn_out_3rd_avg" if "out/frcnn_out_3rd_avg" in net.test else "out/frcnn_out"
    # The first row is a fake.
    expected = rows(net.test[name])[1:]
    found = np.concatenate(
        [detections.classes[0][:, None], detections.boxes[0], detections.scores[0][:, None]], axis=1
    )[detections.valid[0]]
    wanted = np.concatenate([expected[:, 5:6], continuous(expected[:, 1:5]), expected[:, 6:7]], axis=1)
    assert len(found) == len(wanted)
    tolerance = np.float32([0, *[PIXELS] * 4, PROBABILITY])
    equal = (np.abs(found[:, None] - wanted[None]) <= tolerance).all(axis=2)
    assert np.all(equal.sum(axis=0) <= 1)
    assert equal.sum() >= 0.97 * len(wanted)
    for place in np.flatnonzero(~equal.any(axis=1)):
        rivals = np.abs(wanted[:, 5] - found[place, 5]) < PROBABILITY
        assert np.any(rivals) or found[place, 5] <= np.quantile(wanted[:, 5], 0.05)


# Training.


def samples_of(net, stage):
    """The RoIs that a stage trained on, with what they were to be."""
    rois, labels, match = (
        rows(net.train[f"out/{name}{STAGES[stage]}"])
        for name in ("rois", "proposal_labels", "match_gt_boxes")
    )
    boxes, classes, objects, iou, valid = padded(
        rois[:, 0], len(net.train["in/data_u8"]), continuous(rois[:, 1:]), labels[:, 0].astype(np.int32),
        continuous(match[:, 1:5]), match[:, 5],
    )  # fmt: skip
    nothing = np.zeros(boxes.shape[:2], np.float32)
    some = Samples(boxes, nothing, valid, classes, objects, iou, nothing.astype(np.int32))
    return Samples(*(tf.constant(value) for value in some))


class RecordedLevels:
    """A pyramid's pooling from the levels that the authors took, for some boxes two.

    Args:
        pooling: the detector's.
        net: whose RoIs are sorted by level.
        stage: from 0.
    """

    def __init__(self, pooling, net, stage):
        counts = [len(net.train[f"out/rois_fpn{level}{STAGES[stage]}"]) for level in range(2, 6)]
        self.levels = np.repeat(np.arange(4, dtype=np.int32), counts)[None]
        self.pooling = pooling

    def __call__(self, features, boxes):
        return grid_roi_align(
            [features[name] for name in sorted(features)],
            boxes,
            strides=self.pooling.strides,
            output_size=self.pooling.output_size,
            levels=tf.constant(self.levels),
            inclusive_boxes=not self.pooling.inclusive,
        )


def stage_of(detector, net, number, features):
    """What a stage makes of its RoIs, as the authors' code ran it."""
    stage, samples = detector.heads.stages[number], samples_of(net, number)
    pooling = detector.heads.pooling
    if f"out/rois_fpn2{STAGES[number]}" in net.train:
        pooling = RecordedLevels(pooling, net, number)
    maps = stage.head.prepare(features)
    pooled = stage.head.pool(pooling, maps, samples.boxes)
    return StageOutput(samples, maps, pooled, *stage(pooled, training=True), samples.boxes)


@pytest.mark.parametrize("net", NETS)
def test_losses_and_gradients(net):
    done = imported(net)
    detector, batch = done.detector, batch_of(net.train)
    network = RecordedRPN(net)
    of_anchors = chosen_targets(network, range(len(network.names)))
    with tf.GradientTape() as tape:
        features = detector.features(batch, training=True)
        predicted = detector.proposals.predict(features, batch.image_size)
        of_levels = detector.proposals.losses_of_levels(predicted, of_anchors)
        losses = [tf.add_n(list(level)) / len(of_levels) for level in of_levels]
        for number, stage in enumerate(detector.heads.stages):
            output = stage_of(detector, net, number, features)
            mine = stage_losses(output, stage.coder, hard_examples=stage.hard_examples)
            names = [f"out/loss_{kind}{STAGES[number]}" for kind in ("cls", "bbox")]
            np.testing.assert_allclose(mine, [net.train[name] for name in names], rtol=RELATIVE)
            losses += [stage.weight * loss for loss in mine]
        total = tf.add_n(losses)
    variables = detector.trainable_variables
    gradients = {id(v): g for v, g in zip(variables, tape.gradient(total, variables), strict=True)}
    expected = {key.split("__")[0]: value for key, value in net.train.items() if key.startswith("grad/")}
    found = places(detector)
    for name, blobs in done.report.loaded.items():
        place = found[name]
        if id(place.variable) not in gradients:
            continue
        (blob,) = blobs
        # What is zero was not recorded.
        recorded = expected.pop(f"grad/{blob}", np.zeros_like(net.weights[blob]))
        close(in_caffes_layout(gradients[id(place.variable)], place, detector)[: len(recorded)], recorded)
    assert not expected


def in_caffes_layout(values, place, detector):
    """The values of a place as its blob has them."""
    if place.kind == "conv":
        return np.transpose(values, (3, 2, 0, 1))
    if place.kind == "first_dense":
        cells = np.reshape(values, (*place.cells, -1, values.shape[-1]))
        return np.transpose(cells, (3, 2, 0, 1)).reshape(values.shape[-1], -1)
    return np.transpose(values)
