"""The settings by which every proposal network learns and suppresses, checked."""

from __future__ import annotations

from typing import Any

from cascade_tf.layers.base import require
from cascade_tf.layers.ranges import require_not_negative, require_overlaps, require_shares


def check_label_settings(network: Any) -> None:
    """Raises a ValueError where a setting is outside its range.

    Args:
        network: a ``RegionProposal`` or ``LevelProposals`` with its settings as attributes.
    """
    channels, background, foreground = network.channels, network.background_iou, network.foreground_iou
    require(channels is None or channels >= 1, "channels", channels, "1 or more, or None")
    require_overlaps(nms_iou=network.nms_iou, foreground_iou=foreground)
    require(
        0.0 <= background <= foreground,
        "background_iou",
        background,
        f"an overlap in 0..{foreground}, the foreground_iou",
    )
    require_shares(foreground_fraction=network.foreground_fraction)
    if network.crowd_cover is not None:
        require_shares(crowd_cover=network.crowd_cover)
    require_not_negative(beta=network.beta)
