"""How large a network is that a file of the authors' Caffe networks asks for, before it is built."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from cascade_tf.backbones import AlexNet
from cascade_tf.backbones.resnet import BLOCKS
from cascade_tf.backbones.vgg import CONVOLUTIONS
from cascade_tf.parts import Part

# Kernel elements for each pair of channels, over the number of groups.
_ALEXNET_KERNELS = (121.0, 25.0 / 2, 9.0, 9.0 / 2, 9.0 / 2)


def kernel_elements(recipe: Part, settings: Mapping[str, Any], num_classes: int) -> int:
    """Elements of all kernels but the small ones of anchors.

    Args:
        recipe: of the family.
        settings: that the family tells of it, by dotted names.
        num_classes: K.
    """
    found, maps = _backbone(settings, recipe.value("backbone").constructor is AlexNet)
    hidden = settings["proposals.channels"]
    if "neck.channels" in settings:
        width = settings["neck.channels"]
        found += sum(channels * width + 9 * width * (width + hidden) for channels in maps)
        read = width
    else:
        read = maps[-1]
        found += 9 * hidden * maps[-2 if "heads.head.channels" in settings else -1]
    return round(found + len(settings["heads.ious"]) * _head(settings, read, num_classes))


def _backbone(settings: Mapping[str, Any], is_alexnet: bool) -> tuple[float, list[int]]:
    """Elements, and the channels of its maps."""
    if "backbone.depth" in settings:
        return _residual(settings)
    channels = list(settings["backbone.channels"])
    pairs = list(itertools.pairwise([3, *channels]))
    if is_alexnet:
        kernels = zip(_ALEXNET_KERNELS, pairs, strict=True)
        return sum(kernel * before * after for kernel, (before, after) in kernels), channels
    groups = zip(CONVOLUTIONS, pairs, strict=True)
    return sum(9 * after * (before + (n - 1) * after) for n, (before, after) in groups), channels


def _residual(settings: Mapping[str, Any]) -> tuple[float, list[int]]:
    inputs = settings["backbone.stem_channels"]
    found = 49 * 3 * inputs
    outers = list(settings["backbone.outer_channels"])
    stages = zip(BLOCKS[settings["backbone.depth"]], settings["backbone.inner_channels"], outers, strict=True)
    for blocks, inner, outer in stages:
        found += inputs * (inner + outer) + (blocks - 1) * outer * inner
        found += blocks * inner * (9 * inner + outer)
        inputs = outer
    return found, outers


def _head(settings: Mapping[str, Any], channels: int, num_classes: int) -> int:
    outputs = num_classes + 1 + 8
    if "heads.head.channels" in settings:
        hidden = settings["heads.head.channels"]
        return hidden * (channels + 49 * outputs)
    units, cells = settings["heads.head.units"], settings["heads.pooling.output_size"] ** 2
    return units * (channels * cells + units + outputs)
