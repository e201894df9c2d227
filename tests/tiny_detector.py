"""A complete detector that is small enough to be built, exported and loaded in seconds."""

from __future__ import annotations

import numpy as np

from cascade_tf.models import cascade_rcnn_fpn

CLASS_NAMES = ("red", "white", "platelet")
CATEGORY_IDS = (3, 7, 9)
MAX_DETECTIONS = 10


SETTINGS = {
    "backbone.depth": 14,
    "backbone.width": 0.125,
    "neck.channels": 16,
    "heads.head.units": 16,
    "proposals.anchor_sizes": (8, 16, 32, 64, 128),
    "proposals.pre_nms_test": 50,
    "proposals.post_nms_test": 30,
    "output.max_detections": MAX_DETECTIONS,
    "output.score_threshold": 0.0,
    "short_side": 64,
    "max_side": 96,
}


def tiny_detector(**settings):
    """Three stages with random weights; without a threshold it finds something in every image."""
    return cascade_rcnn_fpn(CLASS_NAMES, CATEGORY_IDS, **{**SETTINGS, **settings})


def noise(height, width, seed=0):
    """A random image, coarse enough to survive a resize."""
    blocks = np.random.default_rng(seed).integers(
        0, 256, (-(-height // 8), -(-width // 8), 3), dtype=np.uint8
    )
    return np.repeat(np.repeat(blocks, 8, axis=0), 8, axis=1)[:height, :width]
