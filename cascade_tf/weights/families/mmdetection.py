"""Checkpoints of MMDetection 2.x and 3.x: Faster, Mask, Cascade and Cascade Mask R-CNN with a pyramid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cascade_tf.weights.families import architecture, mmdetection_names
from cascade_tf.weights.families.conventions import SHARED_CONVENTIONS, cascade_ious
from cascade_tf.weights.families.mmdetection_meta import classes_of, pixels_of, style_of
from cascade_tf.weights.families.torch_family import TorchFamily, batch_norm_kind

if TYPE_CHECKING:
    from cascade_tf.weights.files.checkpoint_file import CheckpointFile

TORCHVISION_PIXELS = {
    "inputs.order": "RGB",
    "inputs.mean": (123.675, 116.28, 103.53),
    "inputs.std": (58.395, 57.12, 57.375),
}
CAFFE_PIXELS = {
    "inputs.order": "BGR",
    "inputs.mean": (103.53, 116.28, 123.675),
    "inputs.std": (1.0, 1.0, 1.0),
}
FAIR_PIXELS = CAFFE_PIXELS | {"inputs.std": (57.375, 57.12, 58.395)}


class MMDetection(TorchFamily):
    """MMDetection's names and conventions.

    The backbone's style and the pixels are those of the configuration that a checkpoint carries. Where it
    carries none: torchvision's pixels (RGB) for ResNet and ResNeXt, FAIR's (BGR and its standard deviation)
    for ResNeXt 32x8d, Caffe's (BGR, divided by 1) for GroupNorm, and for all of them the stride in the 3x3
    convolution. Versions before 2.0 are refused: they number the background first and calculate with the
    legacy ``+ 1``.
    """

    name = "mmdetection"
    ignored_names = (
        *TorchFamily.ignored_names,
        (r"ema_.*", "a running average of weights that are loaded themselves"),
    )

    def matches(self, checkpoint: CheckpointFile) -> bool:
        """Whether there is a region proposal network by MMDetection's name."""
        return "rpn_head.rpn_conv.weight" in checkpoint.arrays

    def num_classes(self, checkpoint: CheckpointFile) -> int:
        """K by the first classifier."""
        suffix = ".0" if mmdetection_names.num_stages(checkpoint.arrays) > 1 else ""
        return checkpoint.arrays[f"roi_head.bbox_head{suffix}.fc_cls.weight"].shape[0] - 1

    def class_names(self, checkpoint: CheckpointFile) -> tuple[str, ...] | None:
        """The names in the checkpoint's description of its data set."""
        return classes_of(checkpoint.metadata)

    def settings(self, checkpoint: CheckpointFile) -> dict[str, Any]:
        """See ``Family.settings``."""
        shape_of = self.shapes(checkpoint)
        num_stages = mmdetection_names.num_stages(checkpoint.arrays)
        masks = mmdetection_names.mask_stages(checkpoint.arrays)
        found = architecture.backbone_settings(shape_of) | architecture.fpn_settings(shape_of)
        norm = architecture.norm_kind(shape_of, "backbone.stem.conv1")
        found["backbone.norm"] = batch_norm_kind(norm, found["neck.norm"])
        found |= architecture.head_settings(shape_of, num_stages)
        found |= architecture.mask_settings(shape_of, masks, self.num_classes(checkpoint))
        found |= pixels_of(checkpoint.metadata) or _usual_pixels(found)
        found["backbone.stride_in_1x1"] = style_of(checkpoint.metadata) == "caffe"
        return found | _conventions(num_stages)

    def told(self, checkpoint: CheckpointFile) -> frozenset[str]:
        """Pixels and strides where the file has its configuration."""
        style = () if style_of(checkpoint.metadata) is None else ("backbone.stride_in_1x1",)
        return frozenset(pixels_of(checkpoint.metadata) or ()) | frozenset(style)

    def tensor_name(self, name: str, checkpoint: CheckpointFile) -> str:
        """See ``TorchFamily.tensor_name``."""
        return mmdetection_names.tensor_name(name, checkpoint.arrays)


MMDETECTION = MMDetection()


def _usual_pixels(found: Mapping[str, Any]) -> dict[str, Any]:
    if found["backbone.norm"] == "group":
        return CAFFE_PIXELS
    is_fair = (found["backbone.cardinality"], found["backbone.width_per_group"]) == (32, 8)
    return FAIR_PIXELS if is_fair else TORCHVISION_PIXELS


def _conventions(num_stages: int) -> dict[str, Any]:
    is_cascade = num_stages > 1
    return SHARED_CONVENTIONS | {
        "proposals.post_nms_train": 2000 if is_cascade else 1000,
        "proposals.claim_untouched": False,
        # The cascades kept Smooth L1 when the plain detectors changed to L1.
        "proposals.beta": 1.0 / 9.0 if is_cascade else 0.0,
        "heads.box_beta": 1.0 if is_cascade else 0.0,
        "heads.ious": cascade_ious(num_stages),
        "heads.round_statistics": True,
        "heads.weighting": "decay",
        "heads.rescale_heads": False,
        "heads.later_samples": 512,
        "heads.append_ground_truth": "all",
        "heads.redundant_iou": 1.0,
        "heads.ensemble": "own_logits",
    }
