"""Which settings of an imported detector are a guess: weights do not tell them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from cascade_tf.models import cascade_mask_rcnn_fpn
from cascade_tf.parts import Part, expand

UNTOLD = (
    "inputs.order",
    "inputs.mean",
    "inputs.std",
    "backbone.stride_in_1x1",
    "backbone.norm_groups",
    "proposals.anchor_sizes",
    "proposals.aspect_ratios",
    "proposals.anchors",
    "proposals.templates",
    "proposals.anchor_offset",
    "proposals.pre_nms_test",
    "proposals.post_nms_test",
    "proposals.nms_iou",
    "proposals.score_threshold_test",
    "proposals.min_side",
    "heads.ious",
    "heads.pooling.sampling_ratio",
    "heads.pooling.aligned",
    "output.score_threshold",
    "output.nms_iou",
    "output.max_detections",
    "short_side",
    "max_side",
    "round_sides",
)
"""Settings that change what a detector finds, and that no tensor's name or shape tells."""


def assumed_settings(
    settings: Mapping[str, Any], told: Collection[str], base: Part = cascade_mask_rcnn_fpn
) -> dict[str, Any]:
    """The settings of `UNTOLD` that are a family's or the recipe's usual values.

    Args:
        settings: of the detector by dotted names; the recipe's defaults stand for the others.
        told: names of those that the checkpoint or the caller gave.
        base: the detector whose settings they are.
    """
    known = base.names()
    given = {path for name in told for path in expand(name, known)}
    has_groups = any(value == "group" for name, value in settings.items() if name.endswith(".norm"))
    return {
        name: settings.get(name, base.value(name))
        for name in UNTOLD
        if name in known and name not in given and (name != "backbone.norm_groups" or has_groups)
    }
