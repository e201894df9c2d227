"""Detectors of tensorpack: Faster, Mask, Cascade and Cascade Mask R-CNN with a feature pyramid."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from cascade_tf.weights import architecture
from cascade_tf.weights.conventions import SHARED_CONVENTIONS, cascade_ious
from cascade_tf.weights.family import Family, Source
from cascade_tf.weights.layouts import first_dense_from_ochw
from cascade_tf.weights.places import Place

if TYPE_CHECKING:
    from cascade_tf.weights.checkpoint_file import CheckpointFile

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
_OPTIMIZER = re.compile(r".*/(Momentum|Adam|Adam_1|AccumGrad)|(EMA|AccumGrad|apply_gradients).*")


class Tensorpack(Family):
    """tensorpack's ``.npz`` files.

    TensorFlow's layouts need no transposition, except for the first fully connected layer, whose input is
    flattened as (channel, row, column). Background is class 0 in the scores and in class-aware boxes;
    class-agnostic boxes and masks have none. Pixels are BGR, although the configuration there lists means
    and deviations as RGB.

    The conventions are those of tensorpack's last version, whose anchors are detectron2's. Before, they were
    Detectron's, which no tensor tells: ``anchor_offset=0.5, round_anchors=True``. Weights that were converted
    from detectron2 need its ``pixel_std=(1, 1, 1)`` and ``stride_in_1x1=True``.
    """

    name = "tensorpack"

    def matches(self, checkpoint: CheckpointFile) -> bool:
        """Whether there are a stem, region proposals and box heads under tensorpack's names."""
        names = {name.removesuffix(":0") for name in checkpoint.arrays}
        heads = {"fastrcnn/outputs/class/b", "cascade_rcnn_stage1/outputs/class/b"}
        return {"conv0/W", "rpn/conv0/W"} <= names and bool(heads & names)

    def num_classes(self, checkpoint: CheckpointFile) -> int:
        """K, without the background."""
        name = _tensor_name("head1.classifier.bias", checkpoint.arrays)
        shape = checkpoint.arrays[name].shape
        if len(shape) != 1 or shape[0] < 2:
            raise ValueError(f"got {name} of shape {shape}, expected K + 1 numbers")
        return shape[0] - 1

    def settings(self, checkpoint: CheckpointFile) -> dict[str, Any]:
        """See ``Family.settings``."""
        arrays = checkpoint.arrays
        _refuse_group_normalization(checkpoint)
        stages = _num_stages(arrays)

        def shape_of(name: str) -> tuple[int, ...] | None:
            array = arrays.get(_tensor_name(name, arrays))
            if array is None:
                return None
            return (_without_background(array) if ".regressor." in name else array).shape

        masks = (1,) if shape_of("mask1.predictor.kernel") else ()
        found = architecture.backbone_settings(shape_of) | {"norm": "frozen"}
        found |= architecture.fpn_settings(shape_of) | architecture.head_settings(shape_of, stages)
        found |= architecture.mask_settings(shape_of, masks, self.num_classes(checkpoint))
        return found | _conventions(stages)

    def source(self, place: Place, model: keras.Model, checkpoint: CheckpointFile) -> Source:
        """See ``Family.source``."""
        name = _tensor_name(place.name, checkpoint.arrays)
        if place.kind == "first_dense":
            return Source((name,), lambda values: first_dense_from_ochw(values.T))
        return Source((name,), _without_background if ".regressor." in place.name else np.asarray)

    def ignored(self, name: str) -> str | None:
        """See ``Family.ignored``."""
        name = name.removesuffix(":0")
        if name in ("global_step", "learning_rate"):
            return "the state of the training"
        return "the state of the optimizer or of a summary" if _OPTIMIZER.fullmatch(name) else None


TENSORPACK = Tensorpack()


def _num_stages(arrays: Mapping[str, np.ndarray]) -> int:
    stages = 0
    while _present(f"cascade_rcnn_stage{stages + 1}/outputs/class/b", arrays) in arrays:
        stages += 1
    return stages or 1


def _present(name: str, arrays: Mapping[str, np.ndarray]) -> str:
    """The name as the file spells it: what was dumped from a session ends in ``:0``."""
    return f"{name}:0" if f"{name}:0" in arrays else name


def _tensor_name(name: str, arrays: Mapping[str, np.ndarray]) -> str:
    """The tensor of a variable."""
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
    cascaded = _num_stages(arrays) > 1
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


def _without_background(values: np.ndarray) -> np.ndarray:
    """Class-agnostic boxes have four outputs and no background; class-aware ones begin with it."""
    return values[..., 4:] if values.shape[-1] > 4 else values


def _refuse_group_normalization(checkpoint: CheckpointFile) -> None:
    groups = sorted(name for name in checkpoint.arrays if re.search(r"/gn(\d|_[cp]\d)?/gamma", name))
    if groups:
        raise ValueError(
            f"got GroupNorm ({groups[0]} and {len(groups) - 1} more), which "
            f"tensorpack applies after the ReLU of its heads and to convolutions with biases in its pyramid; "
            f"expected batch normalisation in the backbone alone"
        )


def _conventions(stages: int) -> dict[str, Any]:
    """What no tensor tells. RoIAlign is a crop at twice the size, averaged two by two."""
    return SHARED_CONVENTIONS | {
        "stride_in_1x1": False,
        "pixel_order": "BGR",
        "pixel_mean": (103.53, 116.28, 123.675),
        "pixel_std": (57.375, 57.12, 58.395),
        "sampling_ratio": 2,
        "post_nms_train": 2000,
        "claim_untouched": False,
        "rpn_beta": 1.0 / 9.0,
        "box_beta": 0.0,
        "ious": cascade_ious(stages),
        "round_statistics": False,
        "stage_weighting": "avg",
        "rescale_heads": True,
        "later_rois": None,
        "append_ground_truth": "first",
        "ensemble": "own_boxes",
    }
