"""What a stage trains on and hands on, against the authors' Caffe layers ProposalTarget and DecodeBBox."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.boxes import is_proper, sample_rois
from tests.golden.caffe_boxes import (
    PIXELS,
    coder_of,
    continuous,
    find,
    offsets,
    proposals_of,
    rows,
    targets_of,
)
from tests.golden.caffe_layers import recorded
from tests.golden.caffe_phases import recorded_phases

IMAGES = 2
# Overlaps and offsets of float32 coordinates of some hundred pixels, computed from first and last pixels.
OVERLAP = 2e-6
OFFSET = 1e-4


def draws(settings, found):
    """Whether there are more candidates than places, so that the layer drew at random."""
    return len(found) == int(settings["batch_size"])


def sample(settings, proposals, objects, drawn):
    """The package's samples by a layer's settings; where it drew, all that it could have drawn."""
    foreground, wanted = float(settings.get("fg_thr", 0.5)), int(settings["batch_size"])
    background = float(settings.get("bg_thr_lw", 0.1)), float(settings.get("bg_thr_hg", 0.5))
    return sample_rois(
        proposals_of(proper(proposals), IMAGES),
        targets_of(objects, IMAGES),
        iou=foreground,
        num_samples=None if drawn or wanted < 0 else wanted,
        foreground_fraction=float(settings.get("fg_fraction", 0.25)),
        append_ground_truth=settings.get("append_gtbox", "true") == "true",
        background_range=None if drawn else background,
        top_up=settings.get("pickup_discard", "true") == "true",
    )


def proper(rois):
    """Rows of boxes that are not upside down; those the layer takes for background, this package does not."""
    return rois[(rois[:, 3] - rois[:, 1] > -1) & (rois[:, 4] - rois[:, 2] > -1)]


def check_samples(settings, proposals, objects, rois, labels, targets, match):
    """Compares the samples of a batch with what a layer put out, image by image.

    Args:
        settings: of the layer.
        proposals: [R, 5] (image, box).
        objects: [G, 7 or more] (image, box, label, ignored).
        rois: [N, 5] (image, box).
        labels: [N, 1].
        targets: [N, 8] or [N, 4 (K + 1)] encoded offsets.
        match: [N, 6] (label, box, overlap) of the matched object.
    """
    drawn = draws(settings, rois)
    samples = sample(settings, proposals, objects, drawn)
    # MS-CNN's layer fills up with random boxes at the end.
    table = np.concatenate([rois, labels, targets, match], axis=1)
    table = proper(table)[: np.count_nonzero(samples.valid)]
    assert drawn or len(table) == np.count_nonzero(samples.valid)
    for image in range(IMAGES):
        valid = samples.valid[image].numpy()
        ours = type(samples)(*(value[image].numpy()[valid] for value in samples))
        compare(ours, table[table[:, 0] == image], coder_of(settings))


@pytest.mark.parametrize("layer", [*recorded("ProposalTarget"), *recorded("Ties", "ProposalTarget")])
def test_samples(layer):
    inputs = [rows(layer.array(f"in/{name}")) for name in ("proposals", "gt")]
    outputs = [rows(layer.array(f"out/{name}")) for name in ("rois", "labels", "targets", "match_gt")]
    check_samples(layer.settings, *inputs, *outputs)


@pytest.mark.parametrize("net", recorded_phases("train", "train_2nd", kind="ProposalTarget"))
def test_samples_of_nets(net):
    for layer in net.of_kind("ProposalTarget"):
        rois, labels, targets, _, _, match = (rows(net.blob(name)) for name in layer.tops)
        inputs = [rows(net.blob(name)) for name in layer.bottoms]
        check_samples(layer.settings, *inputs, rois, labels, targets, match)


def compare(ours, table, coder):
    """Compares the samples of an image with the layer's rows of it.

    Args:
        ours: samples of the image, those that are valid.
        table: [N, 6 + T + 6] (image, box, label), T targets, and the match (label, box, overlap).
        coder: of the layer's statistics.
    """
    row = find(continuous(table[:, 1:5]), ours.boxes)
    labels, targets, match = table[:, 5].astype(int), table[:, 6:-6], table[:, -6:]
    np.testing.assert_array_equal(ours.classes[row], labels)
    foreground = labels > 0
    row, labels, targets, match = row[foreground], labels[foreground], targets[foreground], match[foreground]
    np.testing.assert_allclose(ours.gt_boxes[row], continuous(match[:, 1:5]), atol=PIXELS)
    np.testing.assert_allclose(ours.gt_iou[row], match[:, 5], atol=OVERLAP)
    class_aware = targets.shape[1] > 8
    columns = 4 * (labels if class_aware else np.ones_like(labels))[:, None] + np.arange(4)
    encoded = coder.encode(ours.gt_boxes[row], ours.boxes[row])
    wanted = np.take_along_axis(targets, columns, axis=1)
    np.testing.assert_allclose(encoded, wanted, atol=OFFSET, rtol=OFFSET)


def check_decoded(settings, training, expected, deltas, rois, match=None):
    """Compares the boxes that go on to the next stage with those that a layer put out."""
    boxes = coder_of(settings).decode(tf.constant(offsets(deltas)), continuous(rois[:, 1:])).numpy()
    goes_on = np.ones(len(rois), bool)
    if training:
        goes_on &= is_proper(boxes, min_side=1.0).numpy()
    if match is not None:
        goes_on &= match[:, 5] < float(settings.get("gt_iou_thr", 0.95))
    np.testing.assert_array_equal(rois[goes_on, 0], expected[:, 0])
    np.testing.assert_allclose(boxes[goes_on], continuous(expected[:, 1:]), rtol=OFFSET, atol=PIXELS)


@pytest.mark.parametrize("layer", recorded("DecodeBBox"))
def test_boxes_for_the_next_stage(layer):
    inputs = [rows(layer.array(f"in/{name}")) for name in layer.inputs]
    check_decoded(layer.settings, layer.phase == "TRAIN", rows(layer.array("out/y")), *inputs)


@pytest.mark.parametrize("net", recorded_phases("train", "train_2nd", "test", kind="DecodeBBox"))
def test_boxes_for_the_next_stage_of_nets(net):
    for layer in net.of_kind("DecodeBBox"):
        inputs = [rows(net.blob(name)) for name in layer.bottoms]
        (top,) = layer.tops
        check_decoded(layer.settings, net.phase != "test", rows(net.blob(top)), *inputs)
