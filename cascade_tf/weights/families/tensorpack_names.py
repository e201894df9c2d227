"""Names of tensorpack's tensors."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

_LEAVES = {
    "kernel": "W",
    "bias": "b",
    "gamma": "bn/gamma",
    "beta": "bn/beta",
    "moving_mean": "bn/mean/EMA",
    "moving_variance": "bn/variance/EMA",
}
_PYRAMID = {"lateral": "lateral_1x1_c", "output": "posthoc_3x3_p"}
_RPN = {"hidden": "conv0", "objectness": "class", "offsets": "box"}
_OUTPUTS = {"classifier": "class", "regressor": "box"}
_MASK = {"deconv": "deconv", "predictor": "conv"}


def num_stages(arrays: Mapping[str, np.ndarray]) -> int:
    """T; 1 where the heads are not those of a cascade."""
    stages = 0
    while _present(f"cascade_rcnn_stage{stages + 1}/outputs/class/b", arrays) in arrays:
        stages += 1
    return stages or 1


def _present(name: str, arrays: Mapping[str, np.ndarray]) -> str:
    """The name as the file spells it: what was dumped from a session ends in ``:0``."""
    return f"{name}:0" if f"{name}:0" in arrays else name


def tensor_name(name: str, arrays: Mapping[str, np.ndarray]) -> str:
    """The tensor of a variable.

    Args:
        name: canonical, such as ``"head2.fc1.kernel"``.
        arrays: of the file, for what it spells in one of several ways.
    """
    layer, _, vector = name.rpartition(".")
    part, _, rest = layer.removesuffix(".norm").partition(".")
    return _present(f"{_layer(part, rest, arrays)}/{_LEAVES[vector]}", arrays)


def _layer(part: str, rest: str, arrays: Mapping[str, np.ndarray]) -> str:
    if part == "backbone":
        return _backbone_layer(rest)
    if part == "fpn":
        return f"fpn/{_PYRAMID[rest[:-1]]}{rest[-1]}"
    if part == "rpn":
        return f"rpn/{_RPN[rest]}"
    if part.startswith("mask"):
        return f"maskrcnn/{_MASK.get(rest) or f'fcn{int(rest[4:]) - 1}'}"
    cascaded = _present("cascade_rcnn_stage1/outputs/class/b", arrays) in arrays
    prefix = f"cascade_rcnn_stage{part.removeprefix('head')}" if cascaded else "fastrcnn"
    if rest in _OUTPUTS:
        return f"{prefix}/outputs/{_OUTPUTS[rest]}"
    return _hidden_layer(f"{prefix}/head" if cascaded else prefix, rest, arrays)


def _backbone_layer(rest: str) -> str:
    """The stem is ``conv0``, and the stages are groups that count from 0."""
    block, _, part = rest.rpartition(".")
    if block == "stem":
        return "conv0"
    stage, _, number = block.partition(".")
    return f"group{int(stage[3:]) - 2}/block{number}/{'convshortcut' if part == 'shortcut' else part}"


def _hidden_layer(prefix: str, rest: str, arrays: Mapping[str, np.ndarray]) -> str:
    """``fc6`` and ``fc7``, or ``conv0`` to ``conv3`` and ``fc``."""
    if rest.startswith("conv"):
        return f"{prefix}/conv{int(rest[4:]) - 1}"
    convolutions = _present(f"{prefix}/conv0/W", arrays) in arrays
    return f"{prefix}/fc" if convolutions and rest == "fc1" else f"{prefix}/fc{int(rest[2:]) + 5}"
