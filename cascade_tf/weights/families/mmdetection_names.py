"""How MMDetection 2.x and 3.x name the layers of a two-stage detector."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from cascade_tf.weights.families.torch_family import PARAMETERS

_RPN = {"hidden": "rpn_conv", "objectness": "rpn_cls", "offsets": "rpn_reg"}
_HEAD_LAYERS = {
    "classifier": "fc_cls",
    "regressor": "fc_reg",
    "deconv": "upsample",
    "predictor": "conv_logits",
}
_NORMS = ("bn", "gn")


def num_stages(arrays: Mapping[str, np.ndarray]) -> int:
    """T by the classifiers.

    Args:
        arrays: of the checkpoint.

    Raises:
        ValueError: there is none, or the names are those of MMDetection 1.x.
    """
    if "roi_head.bbox_head.fc_cls.weight" in arrays:
        return 1
    stages = 0
    while f"roi_head.bbox_head.{stages}.fc_cls.weight" in arrays:
        stages += 1
    if stages:
        return stages
    if any(name.startswith("bbox_head.") for name in arrays):
        raise ValueError(
            "got names of MMDetection 1.x, where the background is the first class and boxes have the legacy "
            "'+ 1'; expected 2.0 or later, with names such as roi_head.bbox_head.0.fc_cls.weight"
        )
    raise ValueError("got no classifier roi_head.bbox_head, expected a two-stage detector")


def mask_stages(arrays: Mapping[str, np.ndarray]) -> tuple[int, ...]:
    """Numbers of the stages with a mask head, from 1.

    Args:
        arrays: of the checkpoint.
    """
    if "roi_head.mask_head.conv_logits.weight" in arrays:
        return (1,)
    stages = range(num_stages(arrays))
    return tuple(s + 1 for s in stages if f"roi_head.mask_head.{s}.conv_logits.weight" in arrays)


def tensor_name(name: str, arrays: Mapping[str, np.ndarray]) -> str:
    """The tensor of a place; of several spellings the one that the checkpoint has.

    Args:
        name: canonical name of the place.
        arrays: of the checkpoint.
    """
    module, _, leaf = name.rpartition(".")
    part, _, rest = module.removesuffix(".norm").partition(".")
    layer = _layer_name(part, rest, arrays)
    spellings = _norm_names(layer) if module.endswith(".norm") else _layer_names(layer)
    found = [f"{spelling}.{PARAMETERS[leaf]}" for spelling in spellings]
    return next((spelling for spelling in found if spelling in arrays), found[0])


def _layer_name(part: str, rest: str, arrays: Mapping[str, np.ndarray]) -> str:
    if part == "backbone":
        return _backbone_name(rest)
    if part == "rpn":
        return f"rpn_head.{_RPN[rest]}"
    kind, number = re.sub(r"\d+$", "", rest), int(re.sub(r"\D", "", rest) or 0)
    if part == "fpn":
        return f"neck.{'lateral_convs' if kind == 'lateral' else 'fpn_convs'}.{number - 2}.conv"
    head = _head_name(part, arrays)
    if rest in _HEAD_LAYERS:
        return f"{head}.{_HEAD_LAYERS[rest]}"
    if kind == "fc":
        return f"{head}.shared_fcs.{number - 1}"
    return f"{head}.{'convs' if part.startswith('mask') else 'shared_convs'}.{number - 1}.conv"


def _backbone_name(rest: str) -> str:
    if rest.startswith("stem."):
        return f"backbone.{rest.removeprefix('stem.')}"
    stage, block, layer = rest.removeprefix("res").split(".", maxsplit=2)
    layer = {"shortcut": "downsample.0", "conv2.offset": "conv2.conv_offset"}.get(layer, layer)
    return f"backbone.layer{int(stage) - 1}.{block}.{layer}"


def _layer_names(layer: str) -> tuple[str, ...]:
    # The second spelling is older than mmcv 1.0, which still reads it.
    return (layer, layer.replace(".conv_offset", "_offset"))


def _norm_names(layer: str) -> tuple[str, ...]:
    if layer.endswith(".downsample.0"):
        return (layer[:-1] + "1",)
    return tuple(re.sub(r"conv(\d?)$", rf"{norm}\1", layer) for norm in _NORMS)


def _head_name(part: str, arrays: Mapping[str, np.ndarray]) -> str:
    """A head among several has a number, a single one has none."""
    kind, number = part[:4], int(part[4:])
    name, last = ("bbox_head", "fc_cls") if kind == "head" else ("mask_head", "conv_logits")
    is_single = f"roi_head.{name}.{last}.weight" in arrays
    return f"roi_head.{name}" if is_single else f"roi_head.{name}.{number - 1}"
