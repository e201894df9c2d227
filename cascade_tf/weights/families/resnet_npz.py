"""Caffe's ResNet backbones in NumPy archives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from cascade_tf.weights.families import architecture
from cascade_tf.weights.families.family import Family, Source
from cascade_tf.weights.places import Place

if TYPE_CHECKING:
    from cascade_tf.weights.files.checkpoint_file import CheckpointFile

PIXELS = {"inputs.order": "BGR", "inputs.mean": (104.0, 117.0, 123.0), "inputs.std": (1.0, 1.0, 1.0)}
"""Caffe's mean colour."""

_BRANCHES = {"conv1": "branch2a", "conv2": "branch2b", "conv3": "branch2c", "shortcut": "proj_shortcut"}
_LEAVES = {
    "kernel": "kernel",
    "bias": "bias",
    "gamma": "bn_gamma",
    "beta": "bn_beta",
    "moving_mean": "bn_mean",
    "moving_variance": "bn_var",
}


class ResNetNPZ(Family):
    """Archives with ``conv_1/kernel`` (HWIO) and ``conv_stage0_block0_branch2a/bn_gamma``.

    A convolution's bias, where there is one, goes into the mean of its normalisation. The stride sits in the
    first 1x1 convolution.
    """

    name = "resnet_npz"

    def matches(self, checkpoint: CheckpointFile) -> bool:
        """Whether there is a stem under the archive's name."""
        return "conv_1/kernel" in checkpoint.arrays

    def settings(self, checkpoint: CheckpointFile) -> dict[str, Any]:
        """See ``Family.settings``."""

        def shape_of(name: str) -> tuple[int, ...] | None:
            array = checkpoint.arrays.get(_tensor_name(name))
            return None if array is None else array.shape

        found = architecture.backbone_settings(shape_of)
        return {**found, "backbone.norm": "frozen", "backbone.stride_in_1x1": True, **PIXELS}

    def source(self, place: Place, model: keras.Model, checkpoint: CheckpointFile) -> Source:
        """See ``Family.source``."""
        name = _tensor_name(place.name)
        if place.name.endswith(".moving_mean"):
            bias = name.replace("/bn_mean", "/bias")
            if bias in checkpoint.arrays:
                return Source((name, bias), lambda mean, bias: mean - bias)
        return Source((name,), np.asarray)


RESNET_NPZ = ResNetNPZ()


def _tensor_name(name: str) -> str:
    """The archive's name of a variable.

    >>> _tensor_name("backbone.res3.1.conv2.norm.gamma")
    'conv_stage1_block1_branch2b/bn_gamma'
    """
    layer, _, vector = name.removeprefix("backbone.").rpartition(".")
    block, _, part = layer.removesuffix(".norm").rpartition(".")
    if block == "stem":
        return f"conv_1/{_LEAVES[vector]}"
    stage, _, number = block.partition(".")
    if not number or part not in _BRANCHES:
        return name
    return f"conv_stage{int(stage[3:]) - 2}_block{number}_{_BRANCHES[part]}/{_LEAVES[vector]}"
