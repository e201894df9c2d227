"""Which of the authors' Caffe networks a file holds, read off the names and shapes of its blobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cascade_tf.backbones.resnet import BLOCKS
from cascade_tf.models import (
    cascade_rcnn_alexnet,
    cascade_rcnn_fpn_plus,
    cascade_rcnn_vgg16,
    cascade_rfcn,
    faster_rcnn_alexnet,
    faster_rcnn_fpn_plus,
    faster_rcnn_vgg16,
    rfcn,
)
from cascade_tf.parts import Part
from cascade_tf.proposals.anchor_shapes import COCO_ANCHORS, VOC_ANCHORS
from cascade_tf.weights.families.caffe_names import block_name

_VGG_GROUPS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")
_ANCHORS = {len(anchors): anchors for anchors in (COCO_ANCHORS, VOC_ANCHORS)}


def recipe_of_blobs(blobs: Mapping[str, np.ndarray]) -> Part:
    """The kind of detector that blobs of these names belong to, baseline or cascade.

    Args:
        blobs: arrays by ``LAYER/INDEX``.

    Raises:
        ValueError: none of them.
    """
    for blob, baseline, cascade in (
        ("rpn_fpn2/0", faster_rcnn_fpn_plus, cascade_rcnn_fpn_plus),
        ("rfcn_cls/0", rfcn, cascade_rfcn),
        ("conv5_3/0", faster_rcnn_vgg16, cascade_rcnn_vgg16),
        ("conv5/0", faster_rcnn_alexnet, cascade_rcnn_alexnet),
    ):
        if blob in blobs:
            return baseline if stages_of(blobs) == 1 else cascade
    raise ValueError("got a network on none of VGG16, AlexNet, R-FCN and FPN+, whose blobs are known here")


def stages_of(blobs: Mapping[str, np.ndarray]) -> int:
    """T, the number of heads."""
    kind = "rfcn_cls" if "rfcn_cls/0" in blobs else "cls_pred"
    return 1 + sum(f"{kind}{suffix}/0" in blobs for suffix in ("_2nd", "_3rd", "_4th"))


def architecture(blobs: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Settings of the recipe that the shapes tell.

    Args:
        blobs: arrays by ``LAYER/INDEX``.

    Raises:
        ValueError: the shapes are of a network that cannot be built here.
    """
    found: dict[str, Any] = {}
    if "conv1_1/0" in blobs:
        found["backbone.channels"] = tuple(len(blobs[f"{name}/0"]) for name in _VGG_GROUPS)
    elif "conv5/0" in blobs:
        found["backbone.channels"] = tuple(len(blobs[f"conv{number}/0"]) for number in range(1, 6))
    else:
        found |= _residual(blobs)
    found["heads.pooling.output_size"] = recipe_of_blobs(blobs).value("heads.pooling.output_size")
    if "rpn_fpn2/0" in blobs:
        found["neck.channels"] = len(blobs["fpn2/0"])
        found["proposals.channels"] = len(blobs["rpn_fpn2/0"])
    else:
        found["proposals.channels"] = len(blobs["rpn_conv/0"])
        found["proposals.anchors"] = (_anchors(len(blobs["rpn_cls/0"]) // 2),)
    return found | _head(blobs)


def _residual(blobs: Mapping[str, np.ndarray]) -> dict[str, Any]:
    def blocks(stage: int) -> int:
        count = 0
        while f"res{stage}{block_name(str(stage), count, blobs)}_branch2a/0" in blobs and count < 64:
            count += 1
        return count

    counts = tuple(blocks(stage) for stage in range(2, 6))
    depth = next((depth for depth, known in BLOCKS.items() if known == counts), None)
    if depth is None:
        raise ValueError(f"got a ResNet of {counts} blocks, expected one of {list(BLOCKS.values())}")
    return {
        "backbone.depth": depth,
        "backbone.stem_channels": len(blobs["conv1/0"]),
        "backbone.inner_channels": tuple(len(blobs[f"res{n}a_branch2a/0"]) for n in range(2, 6)),
        "backbone.outer_channels": tuple(len(blobs[f"res{n}a_branch2c/0"]) for n in range(2, 6)),
    }


def _anchors(count: int) -> tuple[tuple[float, float], ...]:
    if count not in _ANCHORS:
        raise ValueError(f"got {count} anchors per cell, expected 12 (COCO) or 9 (VOC)")
    return _ANCHORS[count]


def _head(blobs: Mapping[str, np.ndarray]) -> dict[str, Any]:
    if "rfcn_cls/0" in blobs:
        boxes, channels = len(blobs["rfcn_bbox/0"]) // 49, {"heads.head.channels": len(blobs["conv_new_1/0"])}
    else:
        first = "fc1/0" if "fc1/0" in blobs else "fc6/0"
        boxes, channels = len(blobs["bbox_pred/0"]), {"heads.head.units": len(blobs[first])}
    if boxes != 8:
        raise ValueError(f"got {boxes} offsets of a box, expected 8, the background's and the objects'")
    return {**channels, "heads.head.background_offsets": True}
