"""The settings of MS-CNN's proposal branches, checked."""

from __future__ import annotations

from typing import Any

from cascade_tf.layers.base import require
from cascade_tf.layers.ranges import require_not_negative, require_overlaps, require_shares

NEGATIVES = ("hardest", "random")


def check_branches(network: Any) -> None:
    """Raises a ValueError where a setting is outside its range.

    Args:
        network: a ``BranchProposals`` with its settings as attributes.
    """
    require(network.num_classes >= 1, "num_classes", network.num_classes, "1 or more")
    count = len(network.strides)
    for name in ("templates", "kernels", "levels", "hidden", "branch_weights"):
        value = getattr(network, name)
        require(len(value) == count, name, value, f"one entry for each of {count} strides")
    for templates, kernels in zip(network.templates, network.kernels, strict=True):
        require(len(templates) == len(kernels), "kernels", kernels, f"as many as templates, {len(templates)}")
    require(
        all(channels is None or channels >= 1 for channels in network.hidden),
        "hidden",
        network.hidden,
        "channels, 1 or more, or None",
    )
    for name in ("pre_nms_train", "pre_nms_test", "negative_multiple"):
        require(getattr(network, name) >= 1, name, getattr(network, name), "1 or more")
    for name in ("post_nms_train", "post_nms_test"):
        limit = getattr(network, name)
        require(limit is None or limit >= 1, name, limit, "1 or more, or None")
    require(network.negatives in NEGATIVES, "negatives", network.negatives, f"one of {NEGATIVES}")
    require_overlaps(
        nms_iou=network.nms_iou, foreground_iou=network.foreground_iou, claim_iou=network.claim_iou
    )
    background, foreground = network.background_iou, network.foreground_iou
    expected = f"an overlap in 0..{foreground}, the foreground_iou"
    require(0.0 <= background <= foreground, "background_iou", background, expected)
    if network.crowd_cover is not None:
        require_shares(crowd_cover=network.crowd_cover)
    for name in ("min_side", "min_negatives", "beta", "box_weight"):
        require_not_negative(**{name: getattr(network, name)})
    sides = network.min_object_side
    pair = sides if isinstance(sides, (list, tuple)) else (sides, sides)
    require(len(pair) == 2 and min(pair) >= 0, "min_object_side", sides, "0 or more, or (width, height)")
    require(min(network.branch_weights) >= 0, "branch_weights", network.branch_weights, "0 or more")
    network.check_limits()
