"""Whole detectors: the model class and one recipe per family."""

from cascade_tf.models.cascade_rcnn import (
    cascade_mask_rcnn_fpn,
    cascade_rcnn_fpn,
    faster_rcnn_fpn,
    mask_rcnn_fpn,
)
from cascade_tf.models.detector import TwoStageDetector

__all__ = [
    "TwoStageDetector",
    "cascade_mask_rcnn_fpn",
    "cascade_rcnn_fpn",
    "faster_rcnn_fpn",
    "mask_rcnn_fpn",
]
