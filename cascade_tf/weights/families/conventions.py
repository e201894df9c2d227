"""What the frameworks that calculate without the legacy ``+ 1`` have in common, as settings of the recipe."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any


def inclusive_boxes(inclusive: bool) -> dict[str, bool]:
    """Whether all parts take boxes as (first pixel, last pixel), the ``+ 1`` of Caffe and Caffe2.

    Args:
        inclusive: the value of all these settings.
    """
    parts = ("proposals", "heads", "heads.pooling", "output")
    return {f"{part}.inclusive": inclusive for part in parts}


SHARED_CONVENTIONS: dict[str, Any] = {
    "backbone.freeze_at": 2,
    "proposals.anchor_offset": 0.0,
    "proposals.round_anchors": False,
    "proposals.pre_nms_train": 2000,
    "proposals.pre_nms_test": 1000,
    "proposals.post_nms_test": 1000,
    "proposals.samples_per_image": 256,
    "proposals.crowd_cover": None,
    "heads.crowd_cover": None,
    "heads.update_statistics": True,
    "heads.num_samples": 512,
    "heads.foreground_fraction": 0.25,
    "heads.clip_boxes": True,
    **inclusive_boxes(False),
    "heads.pooling.sampling_ratio": 0,
    "heads.pooling.aligned": True,
    "heads.pooling.canonical_size": 224.0,
    "output.score_threshold": 0.05,
    "output.nms_iou": 0.5,
    "output.max_detections": 100,
    "short_side": 800,
    "max_side": 1333,
}
"""Settings of a detector on which detectron2 and MMDetection (from 2.0) agree."""


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
