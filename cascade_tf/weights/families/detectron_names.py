"""Detectron's names of the blobs outside of its backbones."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

_RPN = {"hidden": "conv_rpn_fpn2", "objectness": "rpn_cls_logits_fpn2", "offsets": "rpn_bbox_pred_fpn2"}
_OUTPUTS = {"classifier": "cls_score", "regressor": "bbox_pred"}
_MASK = {"deconv": "conv5_mask", "predictor": "mask_fcn_logits"}
_ENDINGS = {"kernel": "w", "bias": "b", "gamma": "gn_s", "beta": "gn_b"}
_DEEPEST_STAGE = 64


def blob_of(name: str, blobs: Mapping[str, np.ndarray]) -> str:
    """The blob of a variable of the pyramid, the region proposal network or a head.

    Args:
        name: canonical, such as ``"head2.fc1.kernel"``.
        blobs: of the file, for what it spells in one of several ways.
    """
    parts = name.split(".")
    part, layer, ending = parts[0], parts[1], _ENDINGS.get(parts[-1], parts[-1])
    if part == "rpn":
        return f"{_RPN[layer]}_{ending}"
    if part == "fpn":
        return f"{pyramid_blob(layer, blobs)}_{ending}"
    if part.startswith("mask"):
        # GroupNorm heads were written later, without brackets.
        prefix = "_[mask]_fcn" if "_[mask]_fcn1_w" in blobs else "_mask_fcn"
        return f"{_MASK.get(layer) or prefix + layer.removeprefix('conv')}_{ending}"
    stage = part.removeprefix("head")
    suffix = "" if stage == "1" else f"_{stage}"
    layer = f"fc{int(layer[2:]) + 5}" if layer.startswith("fc") else _OUTPUTS.get(layer, f"head_{layer}")
    return f"{layer}{suffix}_{ending}"


def pyramid_blob(layer: str, blobs: Mapping[str, np.ndarray]) -> str:
    """The blob of a pyramid's convolution, without its ending.

    It is named after the last block of its stage, 5 in res4 of 50 layers and 22 of 101.

    Args:
        layer: ``"lateral2"`` to ``"output5"``.
        blobs: of the file.
    """
    kind, level = layer[:-1], layer[-1]
    start, end = ("fpn_inner_", "_lateral" if level != "5" else "") if kind == "lateral" else ("fpn_", "")
    names = (f"{start}res{level}_{block}_sum{end}" for block in range(_DEEPEST_STAGE))
    return next((name for name in names if f"{name}_w" in blobs), f"{start}res{level}_*_sum{end}")
