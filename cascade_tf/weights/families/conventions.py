"""What the frameworks that calculate without the legacy ``+ 1`` have in common, as settings of the recipe."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

SHARED_CONVENTIONS: dict[str, Any] = {
    "freeze_at": 2,
    "anchor_offset": 0.0,
    "round_anchors": False,
    "pre_nms_train": 2000,
    "pre_nms_test": 1000,
    "post_nms_test": 1000,
    "anchors_per_image": 256,
    "crowd_cover": None,
    "update_statistics": True,
    "rois_per_image": 512,
    "foreground_fraction": 0.25,
    "clip_boxes": True,
    "inclusive_boxes": False,
    "sampling_ratio": 0,
    "roi_aligned": True,
    "canonical_size": 224.0,
    "score_threshold": 0.05,
    "nms_iou": 0.5,
    "max_detections": 100,
    "short_side": 800,
    "max_side": 1333,
}
"""Arguments of ``cascade_rcnn_fpn`` on which detectron2 and MMDetection (from 2.0) agree."""


def cascade_ious(num_stages: int) -> tuple[float, ...]:
    """Thresholds of the stages, 0.5, 0.6, 0.7 and so on: weights do not tell others.

    Args:
        num_stages: T.
    """
    return tuple(round(0.5 + 0.1 * stage, 1) for stage in range(num_stages))


def checked_channels(name: str, values: Sequence[float]) -> tuple[float, ...]:
    """Mean or standard deviation of pixels as a file gives them.

    Args:
        name: as the file calls it; what ends in "std" is divided by.
        values: one for each channel.

    Raises:
        ValueError: there are not three, one is not finite, or one of a standard deviation is not positive.
    """
    positive = name.endswith("std")
    fine = all(math.isfinite(value) and (value > 0 or not positive) for value in values)
    if len(values) != 3 or not fine:
        kind = "finite and above 0" if positive else "finite"
        raise ValueError(f"got {name} = {list(values)}, expected 3 channels, each {kind}")
    return tuple(values)
