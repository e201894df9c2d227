"""Checkpoints of detectron2: Faster, Mask, Cascade and Cascade Mask R-CNN with a feature pyramid."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cascade_tf.weights.families import architecture
from cascade_tf.weights.families.conventions import SHARED_CONVENTIONS, cascade_ious, checked_channels
from cascade_tf.weights.families.torch_family import PARAMETERS, TorchFamily, batch_norm_kind

if TYPE_CHECKING:
    from cascade_tf.weights.files.checkpoint_file import CheckpointFile

PIXEL_MEAN = (103.53, 116.28, 123.675)
# Weights converted from Caffe hold the standard deviation in their first convolution.
PIXEL_STD = (1.0, 1.0, 1.0)
FAIR_PIXEL_STD = (57.375, 57.12, 58.395)

_RPN = {"hidden": "conv", "objectness": "objectness_logits", "offsets": "anchor_deltas"}
_PREDICTOR = {"classifier": "cls_score", "regressor": "bbox_pred"}
_CELL_ANCHORS = "proposal_generator.anchor_generator.cell_anchors."


class Detectron2(TorchFamily):
    """detectron2's names and conventions.

    What tensors do not tell follows its configurations: the stride sits in the first 1x1 convolution of
    ResNets with frozen statistics and pixels that are not divided by a standard deviation (MSRA's weights),
    and in the 3x3 one of all others; the pixels of ResNeXt-101 32x8d are divided by FAIR's standard
    deviation, all others by 1; the pixel order is BGR. A stored ``pixel_mean`` and ``pixel_std`` take
    precedence, and a mean that falls from the first to the last channel is one of RGB. Stored anchors give
    their sizes and ratios.
    """

    name = "detectron2"
    ignored_names = (
        *TorchFamily.ignored_names,
        (r"pixel_(mean|std)", "read as the settings inputs.mean and inputs.std"),
        (
            re.escape(_CELL_ANCHORS) + r"\d+",
            "read as the settings proposals.anchor_sizes and proposals.aspect_ratios",
        ),
    )

    def matches(self, checkpoint: CheckpointFile) -> bool:
        """Whether any name is of a backbone below a pyramid, or of a proposal generator."""
        prefixes = ("backbone.bottom_up.", "proposal_generator.")
        return any(name.startswith(prefixes) for name in checkpoint.arrays)

    def num_classes(self, checkpoint: CheckpointFile) -> int:
        """K by the first classifier."""
        suffix = ".0" if _num_stages(checkpoint.arrays) > 1 else ""
        return checkpoint.arrays[f"roi_heads.box_predictor{suffix}.cls_score.weight"].shape[0] - 1

    def settings(self, checkpoint: CheckpointFile) -> dict[str, Any]:
        """See ``Family.settings``."""
        arrays, shape_of = checkpoint.arrays, self.shapes(checkpoint)
        num_stages = _num_stages(arrays)
        masks = (1,) if shape_of("mask1.predictor.kernel") else ()
        found = architecture.backbone_settings(shape_of) | architecture.fpn_settings(shape_of)
        norm = architecture.norm_kind(shape_of, "backbone.stem.conv1")
        found["backbone.norm"] = batch_norm_kind(norm, found["neck.norm"])
        found |= architecture.head_settings(shape_of, num_stages)
        found |= architecture.mask_settings(shape_of, masks, self.num_classes(checkpoint))
        found |= _pixels(arrays, found) | _anchors(arrays)
        is_msra = (
            found["backbone.norm"] == "frozen"
            and found["backbone.cardinality"] == 1
            and found["inputs.std"] == PIXEL_STD
        )
        return found | {"backbone.stride_in_1x1": is_msra} | _conventions(num_stages)

    def told(self, checkpoint: CheckpointFile) -> frozenset[str]:
        """Pixels and anchors where they are stored; the order of the channels shows in their mean."""
        arrays = checkpoint.arrays
        pixels = {"pixel_mean": ("inputs.mean", "inputs.order"), "pixel_std": ("inputs.std",)}
        stored = [name for key, names in pixels.items() if key in arrays for name in names]
        return frozenset(stored) | frozenset(_anchors(arrays))

    def tensor_name(self, name: str, checkpoint: CheckpointFile) -> str:
        """See ``TorchFamily.tensor_name``."""
        module, _, leaf = name.rpartition(".")
        part, _, rest = module.partition(".")
        return f"{_module_name(part, rest, _num_stages(checkpoint.arrays))}.{PARAMETERS[leaf]}"


DETECTRON2 = Detectron2()


def _num_stages(arrays: Mapping[str, np.ndarray]) -> int:
    if "roi_heads.box_predictor.cls_score.weight" in arrays:
        return 1
    stages = 0
    while f"roi_heads.box_predictor.{stages}.cls_score.weight" in arrays:
        stages += 1
    if not stages:
        raise ValueError("got no classifier roi_heads.box_predictor, expected a two-stage detector")
    return stages


def _module_name(part: str, rest: str, num_stages: int) -> str:
    if part == "backbone":
        return f"backbone.bottom_up.{rest.replace('conv2.offset', 'conv2_offset')}"
    if part == "fpn":
        return f"backbone.fpn_{rest}"
    if part == "rpn":
        return f"proposal_generator.rpn_head.{_RPN[rest]}"
    if part.startswith("mask"):
        return f"roi_heads.mask_head.{re.sub('^conv', 'mask_fcn', rest)}"
    suffix = f".{int(part.removeprefix('head')) - 1}" if num_stages > 1 else ""
    if rest in _PREDICTOR:
        return f"roi_heads.box_predictor{suffix}.{_PREDICTOR[rest]}"
    return f"roi_heads.box_head{suffix}.{rest}"


def _pixels(arrays: Mapping[str, np.ndarray], found: Mapping[str, Any]) -> dict[str, Any]:
    is_fair = (found["backbone.depth"], found["backbone.cardinality"], found["backbone.width_per_group"]) == (
        101,
        32,
        8,
    )
    mean = _channels(arrays, "pixel_mean", PIXEL_MEAN)
    std = _channels(arrays, "pixel_std", FAIR_PIXEL_STD if is_fair else PIXEL_STD)
    return {"inputs.order": "RGB" if mean[0] > mean[-1] else "BGR", "inputs.mean": mean, "inputs.std": std}


def _channels(arrays: Mapping[str, np.ndarray], name: str, default: tuple[float, ...]) -> tuple[float, ...]:
    if name not in arrays:
        return default
    if arrays[name].size != 3:
        raise ValueError(f"got {name} of shape {arrays[name].shape}, expected 3 channels")
    return checked_channels(name, [_rounded(value) for value in np.ravel(arrays[name])])


def _anchors(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Sizes and ratios from the anchors of one cell, which old versions store."""
    names = sorted((name for name in arrays if name.startswith(_CELL_ANCHORS)), key=lambda n: (len(n), n))
    if not names:
        return {}
    levels: list[float | tuple[float, ...]] = []
    ratios: tuple[float, ...] = ()
    for name in names:
        width, height = _sides(arrays[name], name)
        # All ratios of the first size come first, then those of the second.
        ratios = tuple(dict.fromkeys(_rounded(ratio, 4) for ratio in height / width))
        sizes = tuple(_rounded(size) for size in np.sqrt(width * height)[:: len(ratios)])
        levels.append(sizes[0] if len(sizes) == 1 else sizes)
    return {"proposals.anchor_sizes": tuple(levels), "proposals.aspect_ratios": ratios}


def _sides(anchors: np.ndarray, name: str) -> np.ndarray:
    """Widths and heights, as rows."""
    if anchors.ndim != 2 or anchors.shape[1] != 4 or not len(anchors):
        raise ValueError(f"got {name} of shape {anchors.shape}, expected one box or more in rows of 4")
    sides = (anchors[:, 2:].astype(float) - anchors[:, :2]).T
    if not (np.isfinite(anchors).all() and (sides > 0).all()):
        raise ValueError(f"got {name} = {anchors.tolist()}, expected finite boxes with an area")
    return sides


def _rounded(value: float, digits: int = 6) -> float:
    """Without the noise of float32."""
    return float(f"{value:.{digits}g}")


def _conventions(num_stages: int) -> dict[str, Any]:
    return SHARED_CONVENTIONS | {
        "proposals.post_nms_train": 2000 if num_stages > 1 else 1000,
        "proposals.claim_untouched": True,
        "proposals.beta": 0.0,
        "heads.ious": cascade_ious(num_stages),
        "heads.round_statistics": False,
        "heads.weighting": "avg",
        "heads.rescale_heads": True,
        "heads.later_samples": None,
        "heads.append_ground_truth": "first",
        "heads.box_beta": 0.0,
        "heads.ensemble": "own_boxes",
    }
