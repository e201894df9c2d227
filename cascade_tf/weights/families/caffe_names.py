"""The blobs of the authors' Caffe networks by the canonical names of a detector's variables."""

from __future__ import annotations

import re
from collections.abc import Collection

_ENDINGS = {"kernel": "0", "bias": "1", "gamma": "0", "beta": "1"}
_BRANCHES = {"conv1": "branch2a", "conv2": "branch2b", "conv3": "branch2c", "shortcut": "branch1"}
_SUFFIXES = ("", "_2nd", "_3rd", "_4th")


def blob_of(name: str, blobs: Collection[str]) -> str:
    """The blob of a variable.

    Args:
        name: canonical, such as ``"backbone.res3.0.conv2.norm.gamma"`` or ``"head2.fc1.kernel"``.
        blobs: names of all blobs, for what is spelled in one of several ways.

    Returns:
        ``LAYER/INDEX``, such as ``"scale3a_branch2b/0"`` or ``"fc6_2nd/0"``.
    """
    part, *layer, variable = name.split(".")
    index = _ENDINGS[variable]
    if part == "backbone":
        return f"{_backbone_layer(layer, blobs)}/{index}"
    if part == "fpn":
        return f"{_pyramid_layer(layer[0], blobs)}/{index}"
    if part == "rpn":
        return f"{_proposal_layer(layer[0], blobs)}/{index}"
    return f"{_head_layer(layer[0], int(part.removeprefix('head')), blobs)}/{index}"


def block_name(stage: str, block: int, blobs: Collection[str]) -> str:
    """What Caffe calls a block of a residual stage: 0 is a, 1 is b in networks of 50 layers and b1 of 101.

    Args:
        stage: ``"2"`` to ``"5"``.
        block: from 0.
        blobs: names of all blobs.
    """
    if block and f"res{stage}b1_branch2a/0" in blobs:
        return f"b{block}"
    # A file may be asked for blocks that no network has.
    return chr(ord("a") + min(block, 25))


def _backbone_layer(layer: list[str], blobs: Collection[str]) -> str:
    normalized = layer[-1] == "norm"
    prefix = "scale" if normalized else "res"
    match = re.fullmatch(r"res([2-5])\.(\d+)\.(conv[123]|shortcut)", ".".join(layer[:3]))
    if match:
        stage, block, branch = match[1], int(match[2]), _BRANCHES[match[3]]
        return f"{prefix}{stage}{block_name(stage, block, blobs)}_{branch}"
    if layer[0] == "stem":
        return "scale_conv1" if normalized else "conv1"
    return layer[0]


def _pyramid_layer(layer: str, blobs: Collection[str]) -> str:
    kind, level = layer[:-1], layer[-1]
    if kind == "output":
        return f"fpn{level}"
    # A lateral convolution is named after the last block of its stage.
    sides = (blob for blob in blobs if re.fullmatch(rf"res{level}\w+_side/0", blob))
    return next(sides, f"res{level}*_side/0").removesuffix("/0")


def _proposal_layer(layer: str, blobs: Collection[str]) -> str:
    kind, level = re.fullmatch(r"(\D+)(\d+)", layer).groups()  # type: ignore[union-attr]
    ending = {"hidden": "", "objectness": "_cls", "offsets": "_bbox"}[kind]
    if "rpn_conv/0" in blobs:
        return f"rpn{ending or '_conv'}"
    return f"rpn_fpn{int(level) + 1}{ending}"


def _head_layer(layer: str, stage: int, blobs: Collection[str]) -> str:
    if layer == "hidden":
        return f"conv_new_{stage}"
    suffix = _SUFFIXES[stage - 1] if stage <= len(_SUFFIXES) else f"_{stage}th"
    position_sensitive = "rfcn_cls/0" in blobs
    if layer == "classifier":
        return ("rfcn_cls" if position_sensitive else "cls_pred") + suffix
    if layer == "regressor":
        return ("rfcn_bbox" if position_sensitive else "bbox_pred") + suffix
    first = 1 if "fc1/0" in blobs else 6
    return f"fc{int(layer.removeprefix('fc')) + first - 1}{suffix}"
