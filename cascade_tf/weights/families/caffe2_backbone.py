"""Detectron's names of a ResNet's blobs, shared by its detectors and its ImageNet backbones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from cascade_tf.weights.families import architecture
from cascade_tf.weights.families.family import Source
from cascade_tf.weights.families.layouts import CHANNELS_FIRST, shape_from_channels_first
from cascade_tf.weights.places import Place

EPSILON = 1e-5
"""That ``FrozenBatchNormalization`` and ``BatchNormalization`` add to the variance."""
STATISTICS = {"moving_mean": ("rm", "running_mean"), "moving_variance": ("riv", "running_var")}
"""Endings of a batch normalisation's statistics; "riv" is the variance itself, whatever its name says."""

_BRANCHES = {"conv1": "branch2a", "conv2": "branch2b", "conv3": "branch2c", "shortcut": "branch1"}
_ENDINGS = {"kernel": "w", "bias": "b", "gamma": "s", "beta": "b"}


def blob_name(convolution: str) -> str:
    """The blob of a convolution, without its ending.

    >>> blob_name("res4.22.conv2"), blob_name("stem.conv1")
    ('res4_22_branch2b', 'conv1')
    """
    block, _, part = convolution.rpartition(".")
    return part if block == "stem" else f"{block.replace('.', '_')}_{_BRANCHES.get(part, part)}"


def backbone_source(place: Place, norm: str, statistics: Mapping[str, np.ndarray]) -> Source:
    """Where a variable of a ResNet comes from.

    Args:
        place: one whose name starts with ``"backbone."``.
        norm: of the ResNet. The blobs of GroupNorm have other names than those of batch normalisation, so
            that none ends up in the other.
        statistics: blobs among which a batch normalisation's mean and variance may be; without them it is a
            scale and a bias.
    """
    layer, _, vector = place.name.removeprefix("backbone.").rpartition(".")
    if layer.endswith(".norm"):
        return norm_source(blob_name(layer.removesuffix(".norm")), place, norm, statistics)
    return Source((f"{blob_name(layer)}_{_ENDINGS[vector]}",), CHANNELS_FIRST[place.kind])


def norm_source(blob: str, place: Place, norm: str, statistics: Mapping[str, np.ndarray]) -> Source:
    """Where a vector of a normalisation comes from.

    Detectron's AffineChannel computes ``s x + b``: batch normalisation with gamma ``s``, beta ``b``, mean 0
    and a variance that is 1 together with epsilon.

    Args:
        blob: of the convolution before it.
        place: of the vector.
        norm: ``"group"``, or another for batch normalisation.
        statistics: blobs among which mean and variance may be.
    """
    vector = place.name.rpartition(".")[-1]
    if norm == "group":
        return Source((f"{blob}_gn_{_ENDINGS.get(vector, vector)}",), np.asarray)
    prefix = "res_conv1_bn" if blob == "conv1" else f"{blob}_bn"
    if vector in _ENDINGS:
        return Source((f"{prefix}_{_ENDINGS[vector]}",), np.asarray)
    for ending in STATISTICS[vector]:
        if f"{prefix}_{ending}" in statistics:
            return Source((f"{prefix}_{ending}",), np.asarray)
    value = 0.0 if vector == "moving_mean" else 1.0 - EPSILON
    return Source((), lambda: np.full(place.shape, value, np.float32))


def backbone_settings(blobs: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Form of the ResNet, its normalisation, and where its strides sit.

    Microsoft's networks, plain ResNets, have the stride in the first 1x1 convolution; those trained with
    Caffe2, ResNeXt and the ones with GroupNorm, have it in the 3x3 one.

    Args:
        blobs: of the file.

    Raises:
        ValueError: it is no ResNet of bottleneck blocks.
    """

    def shape_of(name: str) -> tuple[int, ...] | None:
        layer, _, vector = name.removeprefix("backbone.").rpartition(".")
        kernel = blobs.get(f"{blob_name(layer)}_{_ENDINGS[vector]}")
        return None if kernel is None else shape_from_channels_first(kernel.shape)

    settings = architecture.backbone_settings(shape_of)
    group = "conv1_gn_s" in blobs
    microsoft = settings["backbone.cardinality"] == 1 and not group
    return {**settings, "backbone.norm": "group" if group else "frozen", "backbone.stride_in_1x1": microsoft}


def has_statistics(blobs: Mapping[str, np.ndarray]) -> bool:
    """Whether batch normalisation stands there as it was trained, not as a scale and a bias."""
    return any(f"res_conv1_bn_{ending}" in blobs for ending in STATISTICS["moving_mean"])


def ignored_in_backbone(name: str) -> str | None:
    """Why a blob of a ResNet, or of its training, that no place asks for is rightly not loaded."""
    if name.endswith("_momentum"):
        return "the optimizer's momentum"
    if name in ("lr", "weight_order"):
        return "the state of the training"
    if re.fullmatch(r"(fc1000|pred)_[wb]", name):
        return "ImageNet's classifier"
    if re.fullmatch(r"(conv1|res\d_\d+_branch(1|2[abc]))_b", name):
        return "a bias before a normalisation, which Detectron's networks do not have"
    return None
