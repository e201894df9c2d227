"""Class probabilities and boxes to final detections."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from cascade_tf.boxes import clip_boxes, is_proper
from cascade_tf.layers.base import Layer, require
from cascade_tf.ops.nms import batched_nms
from cascade_tf.structures import Detections, Tensor


@keras.saving.register_keras_serializable(package="cascade_tf")
class DetectionOutput(Layer):
    """Clips boxes to the image, drops weak ones, suppresses duplicates per class and keeps the best.

    Args:
        score_threshold: a detection needs a higher probability.
        nms_iou: overlap above which the weaker of two boxes of one class is dropped.
        max_detections: D, detections per image.
        inclusive: see ``clip_boxes``.
        implementation: of NMS, see ``ops``.

    Raises:
        ValueError: ``nms_iou`` outside 0..1 or no detections.
    """

    def __init__(
        self,
        score_threshold: float = 0.05,
        nms_iou: float = 0.5,
        max_detections: int = 100,
        inclusive: bool = False,
        implementation: str = "auto",
        **kwargs: Any,
    ):
        super().__init__(autocast=False, **kwargs)
        require(0.0 <= nms_iou <= 1.0, "nms_iou", nms_iou, "an overlap in 0..1")
        require(max_detections >= 1, "max_detections", max_detections, "1 or more")
        self.score_threshold = score_threshold
        self.nms_iou = nms_iou
        self.max_detections = max_detections
        self.inclusive = inclusive
        self.implementation = implementation
        self.supports_jit = False

    def call(self, boxes: Tensor, probabilities: Tensor, valid: Tensor, image_size: Tensor) -> Detections:
        """Selects detections.

        Args:
            boxes: [B, R, 1, 4] or [B, R, K, 4] float32: one box for all classes, or one for each.
            probabilities: [B, R, K + 1] float32, background first.
            valid: [B, R] bool.
            image_size: [B, 2] float32 (height, width) before padding.
        """
        boxes = clip_boxes(tf.stop_gradient(boxes), image_size, self.inclusive)
        usable = is_proper(boxes) & valid[..., None]
        scores = tf.where(usable, tf.stop_gradient(probabilities[..., 1:]), -float("inf"))
        kept = batched_nms(
            boxes,
            scores,
            iou_threshold=self.nms_iou,
            score_threshold=self.score_threshold,
            max_outputs=self.max_detections,
            implementation=self.implementation,
        )
        found = tf.range(tf.shape(kept.scores)[1])[None] < kept.count[:, None]
        of_class = kept.class_index if boxes.shape[2] != 1 else tf.zeros_like(kept.class_index)
        chosen = tf.gather_nd(boxes, tf.stack([kept.box_index, of_class], axis=-1), batch_dims=1)
        return Detections(
            boxes=tf.where(found[..., None], chosen, 0.0),
            scores=tf.where(found, kept.scores, 0.0),
            classes=tf.where(found, kept.class_index + 1, 0),
            valid=found,
        )
