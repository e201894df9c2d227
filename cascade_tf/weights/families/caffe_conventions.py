"""What no blob of the authors' Caffe networks tells: their arithmetic of pixels, thresholds and numbers.

They trained for COCO with 12 anchors and for VOC with 9, on one backbone after the other, and not all with
the same thresholds. The blobs say which of these networks a file is, or is closest to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cascade_tf.proposals.anchor_shapes import VOC_ANCHORS

_ALL: dict[str, Any] = {
    "round_sides": True,
    "inputs.order": "BGR",
    "inputs.mean": (104.0, 117.0, 123.0),
    "inputs.std": (1.0, 1.0, 1.0),
    "proposals.inclusive": True,
    "proposals.border": 1.0,
    "proposals.match_crowds": True,
    "heads.inclusive": True,
    "heads.pooling.inclusive": True,
    "heads.match_crowds": True,
    "heads.crowd_cover": None,
    "heads.min_side": 1.0,
    "heads.round_statistics": True,
    # A box outside of the image ends up inside out there, and is no detection.
    "output.inclusive": False,
    "output.border": 1.0,
}
_VOC: dict[str, Any] = {
    "proposals.min_side": 15.0,
    "proposals.min_object_side": 0.0,
    "proposals.max_outside": None,
    "proposals.pre_nms_train": 3000,
    "output.score_threshold": 0.1,
    "output.nms_iou": 0.3,
}
_VOC_RFCN: dict[str, Any] = {
    "proposals.pre_nms_train": 5000,
    "proposals.score_threshold_train": 0.001,
    "proposals.score_threshold_test": 0.005,
    "heads.num_samples": 128,
}


def conventions(blobs: Mapping[str, np.ndarray], depth: int | None, stages: int) -> dict[str, Any]:
    """Settings of the recipe that the names and shapes of blobs tell by whose they are.

    Args:
        blobs: arrays by ``LAYER/INDEX``.
        depth: of the ResNet; None: it is another backbone.
        stages: T, the number of heads.
    """
    if "rpn_fpn2/0" in blobs:
        return _ALL | _fpn_plus(depth, stages)
    is_rfcn, is_voc = "rfcn_cls/0" in blobs, len(blobs["rpn_cls/0"]) == 2 * len(VOC_ANCHORS)
    if is_voc:
        return _ALL | _VOC | (_VOC_RFCN if is_rfcn else {})
    if is_rfcn and depth == 101 and stages > 1:
        return _ALL | {"proposals.score_threshold_train": 0.025}
    return _ALL


def _fpn_plus(depth: int | None, stages: int) -> dict[str, Any]:
    found: dict[str, Any] = {"proposals.max_outside": None} if depth == 101 else {}
    if stages == 1:
        found["heads.num_samples"] = 256
        if depth == 101:
            found["proposals.score_threshold_train"] = (0.1, 0.1, 0.05, 0.0)
    return found
