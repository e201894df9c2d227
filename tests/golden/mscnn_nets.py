"""The recorded nets of MS-CNN: their imports, and their ground truth and labels as this package has them."""

from __future__ import annotations

import functools
import re

import numpy as np
import pytest

from cascade_tf.structures import AnchorTargets
from cascade_tf.weights.families.mscnn_architecture import template_layers
from cascade_tf.weights.importing import import_checkpoint
from tests.golden.caffe_boxes import rows
from tests.golden.caffe_nets import recorded_nets
from tests.golden.caffe_phases import RecordedPhase
from tests.golden.caffe_rpn import objects_and_regions

NETS = recorded_nets("mscnn")
STEPS = ("train_1st", "train_2nd")
"""Of training: the branches alone, and then everything."""


def steps():
    """Parameters for a test: every net in both steps of its training."""
    return [
        pytest.param(one.values[0], step, id=f"{one.id}-{step}", marks=one.marks)
        for one in NETS
        for step in STEPS
    ]


@functools.cache
def imported(net, step="train_2nd"):
    """The import of a net, with the numbers of a step; dropout was taken out of the recorded nets."""
    loss = next(iter(RecordedStep(net, step).losses.values())).settings
    settings = {
        "heads.head.dropout": 0.0,
        "proposals.box_weight": float(loss["lambda"]),
        "proposals.negatives": {"random": "random", "bootstrap": "hardest"}[loss["sample_mode"]],
        "backbone.freeze_at": _frozen_groups(net, step),
    }
    return import_checkpoint(net.folder / "net.caffemodel", **settings)


def _frozen_groups(net, step):
    """How many of the backbone's groups have no gradient."""
    groups = [re.match(r"grad/conv(\d)_", key) for key in RecordedPhase(net.folder, step).arrays]
    return min(int(group[1]) for group in groups if group) - 1


class RecordedStep:
    """One step of the training of a net.

    Args:
        net: a ``RecordedNet``.
        step: one of ``STEPS``.
    """

    def __init__(self, net, step):
        self.net = net
        self.phase = RecordedPhase(net.folder, step)
        self.branches = template_layers(net.weights)

    @functools.cached_property
    def losses(self):
        """The layers DetectionLoss by the layer that they read."""
        return {layer.bottoms[0]: layer for layer in self.phase.of_kind("DetectionLoss")}

    @property
    def arrays(self):
        return self.phase.arrays

    def targets(self):
        """Ground truth with don't-care regions as crowds."""
        objects = self.arrays["in/gt_boxes"]
        objects = rows(objects) if objects.ndim == 4 else objects
        return objects_and_regions(objects, self.arrays["in/dont_care"], len(self.arrays["in/data_u8"]))

    def by_candidate(self, maps_of):
        """[B, N, ...] values of all candidates from a function that gives [B, C, h, w] of a template."""
        found = []
        for layers in self.branches:
            maps = np.stack([np.moveaxis(maps_of(layer), 1, -1) for layer in layers], axis=3)
            found.append(maps.reshape(len(maps), -1, maps.shape[-1]))
        return np.concatenate(found, axis=1)

    def labels(self):
        """[B, N, 6] recorded label, centre, width, height and overlap of every candidate."""
        return self.by_candidate(lambda layer: self.arrays["in/" + self.losses[layer].bottoms[1]])

    def chosen(self):
        """[B, N] whether a candidate took part in the loss."""
        drawn = self.by_candidate(
            lambda layer: self.arrays[f"out/hid/{self.losses[layer].name}/bootstrap_map"]
        )
        return (drawn[..., 0] > 0) | (self.labels()[..., 0] > 0)

    def chosen_targets(self, network, output):
        """What the network learns from, for the candidates that the record chose."""
        targets = self.targets()
        match = network.match(output, targets)
        wanted = network.encode(match, output, targets)
        classes = np.where(self.chosen(), self.labels()[..., 0], -1).astype(np.int32)
        return AnchorTargets(classes, wanted)
