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

IMAGES = 2
# Overlaps and offsets of float32 coordinates of some hundred pixels, computed from first and last pixels.
OVERLAP = 2e-6
OFFSET = 1e-4


def draws(layer):
    """Whether there are more candidates than places, so that the layer drew at random."""
    wanted = int(layer.settings["batch_size"])
    return wanted > 0 and len(layer.array("out/rois")) == wanted


def sample(layer, proposals, objects, **changes):
    """The package's samples by a layer's settings."""
    given = layer.settings
    foreground = float(given.get("fg_thr", 0.5))
    wanted = int(given["batch_size"])
    settings = {
        "iou": foreground,
        "num_samples": None if wanted < 0 else wanted,
        "foreground_fraction": float(given.get("fg_fraction", 0.25)),
        "append_ground_truth": given.get("append_gtbox", "true") == "true",
        "background_range": (float(given.get("bg_thr_lw", 0.1)), float(given.get("bg_thr_hg", 0.5))),
        "top_up": given.get("pickup_discard", "true") == "true",
    }
    return sample_rois(proposals, objects, match_crowds=True, crowd_cover=None, **{**settings, **changes})


def proper(rois):
    """Rows of boxes that are not upside down; those the layer takes for background, this package does not."""
    return rois[(rois[:, 3] - rois[:, 1] > -1) & (rois[:, 4] - rois[:, 2] > -1)]


@pytest.mark.parametrize("layer", [*recorded("ProposalTarget"), *recorded("Ties", "ProposalTarget")])
def test_samples(layer):
    # A random choice is taken as given: each sample has to be one of those that were to choose from.
    changes = {"num_samples": None, "background_range": None} if draws(layer) else {}
    samples = sample(
        layer,
        proposals_of(proper(layer.array("in/proposals")), IMAGES),
        targets_of(rows(layer.array("in/gt")), IMAGES),
        **changes,
    )
    blobs = [rows(layer.array(f"out/{name}")) for name in ("rois", "labels", "targets", "match_gt")]
    # MS-CNN's layer fills up with random boxes at the end.
    table = proper(np.concatenate(blobs, axis=1))[: np.count_nonzero(samples.valid)]
    assert draws(layer) or len(table) == np.count_nonzero(samples.valid)
    for image in range(IMAGES):
        valid = samples.valid[image].numpy()
        ours = type(samples)(*(value[image].numpy()[valid] for value in samples))
        compare(ours, table[table[:, 0] == image], coder_of(layer.settings))


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


@pytest.mark.parametrize("layer", recorded("DecodeBBox"))
def test_boxes_for_the_next_stage(layer):
    rois, deltas = rows(layer.array("in/rois")), tf.constant(offsets(layer.array("in/bbox")))
    boxes = coder_of(layer.settings).decode(deltas, continuous(rois[:, 1:])).numpy()
    goes_on = np.ones(len(rois), bool)
    if layer.phase == "TRAIN":
        goes_on &= is_proper(boxes, min_side=1.0).numpy()
        redundant = float(layer.settings.get("gt_iou_thr", 0.95))
        if "match_gt" in layer.inputs:
            goes_on &= layer.array("in/match_gt")[:, 5] < redundant
    expected = rows(layer.array("out/y"))
    np.testing.assert_array_equal(rois[goes_on, 0], expected[:, 0])
    np.testing.assert_allclose(boxes[goes_on], continuous(expected[:, 1:]), rtol=OFFSET, atol=PIXELS)
