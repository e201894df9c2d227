"""Detectors of Detectron (Caffe2): Facebook's, and the Cascade R-CNN that its authors built on it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from cascade_tf.weights.families import architecture
from cascade_tf.weights.families.caffe2_backbone import (
    backbone_settings,
    backbone_source,
    ignored_in_backbone,
    norm_source,
)
from cascade_tf.weights.families.conventions import SHARED_CONVENTIONS, cascade_ious, inclusive_boxes
from cascade_tf.weights.families.detectron_config import check_box_weights, configured
from cascade_tf.weights.families.detectron_names import blob_of, pyramid_blob
from cascade_tf.weights.families.family import Family, Source
from cascade_tf.weights.families.layouts import channels_first, shape_from_channels_first
from cascade_tf.weights.places import Place

if TYPE_CHECKING:
    from cascade_tf.weights.files.checkpoint_file import CheckpointFile


class Detectron(Family):
    """Detectron's ``.pkl`` files of whole detectors with a feature pyramid.

    Background is class 0 everywhere: in the scores, in the masks, in class-aware boxes and even in
    class-agnostic ones, which have eight outputs of which the first four are never read.

    Where the file holds Detectron's own configuration, that says where the strides sit and which stage the
    masks were trained on. Without it, strides are where released models of that kind have them, and a
    cascade's masks belong to its last stage.
    """

    name = "detectron"

    def matches(self, checkpoint: CheckpointFile) -> bool:
        """Whether there are a ResNet and box heads under Caffe2's names."""
        return {"conv1_w", "cls_score_w", "bbox_pred_w"} <= set(checkpoint.arrays)

    def num_classes(self, checkpoint: CheckpointFile) -> int:
        """K, without the background."""
        shape = checkpoint.arrays["cls_score_w"].shape
        if len(shape) != 2 or shape[0] < 2:
            raise ValueError(f"got cls_score_w of shape {shape}, expected K + 1 rows")
        return shape[0] - 1

    def settings(self, checkpoint: CheckpointFile) -> dict[str, Any]:
        """See ``Family.settings``."""
        blobs = checkpoint.arrays
        _require_pyramid(checkpoint)
        check_box_weights(checkpoint)
        stages = _num_stages(blobs)
        masks = _mask_stages(checkpoint, stages)

        def shape_of(name: str) -> tuple[int, ...] | None:
            blob = blobs.get(blob_of(name, blobs))
            return None if blob is None else _without_background(name, shape_from_channels_first(blob.shape))

        found = backbone_settings(blobs) | architecture.fpn_settings(shape_of)
        found |= architecture.head_settings(shape_of, stages)
        found |= architecture.mask_settings(shape_of, masks, self.num_classes(checkpoint))
        stride = configured(checkpoint, "RESNETS", "STRIDE_1X1")
        if stride is not None:
            found["backbone.stride_in_1x1"] = stride == "true"
        return found | _conventions(stages)

    def told(self, checkpoint: CheckpointFile) -> frozenset[str]:
        """The strides where the file has its configuration."""
        stride = configured(checkpoint, "RESNETS", "STRIDE_1X1")
        return frozenset() if stride is None else frozenset({"backbone.stride_in_1x1"})

    def source(self, place: Place, model: keras.Model, checkpoint: CheckpointFile) -> Source:
        """See ``Family.source``."""
        if place.name.startswith("backbone."):
            return backbone_source(place, model.backbone.norm, {})
        name = blob_of(place.name, checkpoint.arrays)
        if ".norm." in place.name:
            return norm_source(re.sub(r"_gn_\w$", "", name), place, "group", {})
        return Source((name,), _conversion(place))

    def ignored(self, name: str) -> str | None:
        """See ``Family.ignored``."""
        if re.fullmatch(r"res.*_bn_(rm|riv|running_mean|running_var)", name):
            return "statistics that are in scale and bias already"
        return ignored_in_backbone(name)


DETECTRON = Detectron()


def _require_pyramid(checkpoint: CheckpointFile) -> None:
    blobs = checkpoint.arrays
    if pyramid_blob("lateral5", blobs) + "_w" not in blobs or "conv_rpn_fpn2_w" not in blobs:
        raise ValueError(
            "got a detector without a feature pyramid or without region "
            "proposals on it, expected blobs such as fpn_inner_res5_2_sum_w and conv_rpn_fpn2_w"
        )


def _num_stages(blobs: Mapping[str, np.ndarray]) -> int:
    stages = 1
    while f"cls_score_{stages + 1}_w" in blobs:
        stages += 1
    return stages


def _mask_stages(checkpoint: CheckpointFile, stages: int) -> tuple[int, ...]:
    if "mask_fcn_logits_w" not in checkpoint.arrays:
        return ()
    stage = configured(checkpoint, "MRCNN", "AT_STAGE") or str(stages)
    return (min(int(stage), stages) if stage.isdecimal() and int(stage) else stages,)


def _without_background(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    if name == "head1.regressor.kernel":
        return (*shape[:-1], shape[-1] - 4)
    if name.endswith("predictor.kernel") and shape[-1] > 1:
        return (*shape[:-1], shape[-1] - 1)
    return shape


def _conversion(place: Place) -> Callable[..., np.ndarray]:
    convert = channels_first(place)
    if ".regressor." in place.name:
        return lambda values: convert(values[4:])
    if ".predictor." in place.name:
        # A single channel is the mask of any class.
        return lambda values: convert(values[1:] if len(values) > 1 else values)
    return convert


def _conventions(stages: int) -> dict[str, Any]:
    """What no blob tells.

    An inclusive box is one pixel wider in continuous coordinates, so that Detectron's anchors around
    ``(stride - 1) / 2`` are around ``stride / 2`` here. Proposals in training are 2000 of two images there.
    """
    return SHARED_CONVENTIONS | {
        "inputs.order": "BGR",
        "inputs.mean": (102.9801, 115.9465, 122.7717),
        "inputs.std": (1.0, 1.0, 1.0),
        "proposals.anchor_offset": 0.5,
        "proposals.round_anchors": True,
        "proposals.post_nms_train": 1000,
        "proposals.claim_untouched": True,
        "proposals.beta": 1.0 / 9.0,
        "heads.box_beta": 1.0,
        "heads.ious": cascade_ious(stages),
        "heads.round_statistics": False,
        "heads.weighting": "decay",
        "heads.rescale_heads": True,
        "heads.later_samples": None,
        "heads.append_ground_truth": "all",
        "heads.redundant_iou": 1.0,
        "heads.clip_boxes": False,
        **inclusive_boxes(True),
        "heads.pooling.sampling_ratio": 2,
        "heads.pooling.aligned": False,
        "heads.ensemble": "last_boxes",
    }
