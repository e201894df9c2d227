"""Which settings of an imported detector are a guess: weights do not tell them."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from typing import Any

from cascade_tf.models import cascade_rcnn_fpn

UNTOLD = (
    "pixel_order",
    "pixel_mean",
    "pixel_std",
    "stride_in_1x1",
    "norm_groups",
    "anchor_sizes",
    "aspect_ratios",
    "anchor_offset",
    "pre_nms_test",
    "post_nms_test",
    "rpn_nms_iou",
    "ious",
    "sampling_ratio",
    "roi_aligned",
    "score_threshold",
    "nms_iou",
    "max_detections",
    "short_side",
    "max_side",
)
"""Settings that change what a detector finds, and that no tensor's name or shape tells."""


def assumed_settings(settings: Mapping[str, Any], told: Collection[str]) -> dict[str, Any]:
    """The settings of `UNTOLD` that are a family's or the recipe's usual values.

    Args:
        settings: arguments of ``cascade_rcnn_fpn``; its defaults stand for the others.
        told: names of those that the checkpoint or the caller gave.
    """
    defaults = inspect.signature(cascade_rcnn_fpn).parameters
    has_groups = any(settings.get(name) == "group" for name in ("norm", "fpn_norm", "head_norm", "mask_norm"))
    return {
        name: settings.get(name, defaults[name].default)
        for name in UNTOLD
        if name not in told and (name != "norm_groups" or has_groups)
    }
