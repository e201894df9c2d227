"""Class probabilities and boxes to final detections."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from cascade_tf.boxes import clip_boxes, is_proper
from cascade_tf.layers.base import Layer, require
from cascade_tf.layers.ranges import require_overlaps
from cascade_tf.ops.nms import NMSOutput, batched_nms
from cascade_tf.ops.soft_nms import METHODS, batched_soft_nms
from cascade_tf.structures import Detections, Tensor


@keras.saving.register_keras_serializable(package="cascade_tf")
class DetectionOutput(Layer):
    """Clips boxes to the image, drops weak ones, suppresses duplicates per class and keeps the best.

    Args:
        score_threshold: a detection needs a higher probability. Where others let the threshold itself pass,
            it is the next smaller number.
        nms_iou: overlap above which the weaker of two boxes of one class is dropped, or lowered if
            ``soft_nms`` is ``"linear"``.
        max_detections: D, detections per image; R K are no limit.
        inclusive: see ``clip_boxes``.
        implementation: of NMS, see ``ops``.
        soft_nms: ``"none"`` drops the weaker box; ``"linear"`` and ``"gaussian"`` lower its score (Bodla et
            al., 2017), see ``ops.batched_soft_nms``; ``score_threshold`` holds after that too.
        soft_sigma: width of ``"gaussian"``.
        border: pixels beyond the image that boxes may cover, see ``clip_boxes``.

    Raises:
        ValueError: ``nms_iou`` outside 0..1, no detections, an unknown suppression, or a threshold, width or
            border that it cannot have.
    """

    kind = "output"

    def __init__(
        self,
        score_threshold: float = 0.05,
        nms_iou: float = 0.5,
        max_detections: int = 100,
        inclusive: bool = False,
        implementation: str = "auto",
        soft_nms: str = "none",
        soft_sigma: float = 0.5,
        border: float = 0.0,
        **kwargs: Any,
    ):
        super().__init__(autocast=False, **kwargs)
        require_overlaps(nms_iou=nms_iou)
        require(max_detections >= 1, "max_detections", max_detections, "1 or more")
        require(soft_nms in ("none", *METHODS), "soft_nms", soft_nms, f"one of {('none', *METHODS)}")
        require(soft_sigma > 0.0, "soft_sigma", soft_sigma, "a positive width")
        require(border >= 0.0, "border", border, "0 pixels or more")
        require(
            soft_nms == "none" or score_threshold >= 0.0,
            "score_threshold",
            score_threshold,
            "at least 0 with soft_nms",
        )
        self.score_threshold = score_threshold
        self.nms_iou = nms_iou
        self.max_detections = max_detections
        self.inclusive = inclusive
        self.implementation = implementation
        self.soft_nms = soft_nms
        self.soft_sigma = soft_sigma
        self.border = border
        self.supports_jit = False

    def call(self, boxes: Tensor, probabilities: Tensor, valid: Tensor, image_size: Tensor) -> Detections:
        """Selects detections.

        Args:
            boxes: [B, R, 4], [B, R, 1, 4] or [B, R, K, 4] float32: one box for all classes, or one for each.
            probabilities: [B, R, K + 1] float32, background first.
            valid: [B, R] bool.
            image_size: [B, 2] float32 (height, width) before padding.

        Raises:
            ValueError: boxes of another shape.
        """
        return self.select(*self.candidates(boxes, probabilities, valid, image_size))

    def candidates(
        self, boxes: Tensor, probabilities: Tensor, valid: Tensor, image_size: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Clips boxes and marks those that cannot be detections.

        Args:
            boxes: as in ``call``, with the three that follow.
            probabilities: see there.
            valid: see there.
            image_size: see there.

        Returns:
            Clipped boxes [B, R, 1, 4] or [B, R, K, 4], and scores [B, R, K] float32, minus infinity for boxes
            that are not valid, not finite or without area.
        """
        boxes, probabilities = tf.convert_to_tensor(boxes), tf.cast(probabilities, tf.float32)
        if boxes.shape.rank == 3 and boxes.shape[2] == 4:
            boxes = boxes[:, :, None]
        classes = probabilities.shape[-1] - 1
        require(
            boxes.shape.is_compatible_with([None, None, 1, 4])
            or boxes.shape.is_compatible_with([None, None, classes, 4]),
            "boxes",
            tuple(boxes.shape),
            f"[B, R, 4] for all classes, or [B, R, {classes}, 4] for each of {classes}",
        )
        boxes = clip_boxes(tf.stop_gradient(boxes), image_size, self.inclusive, self.border)
        usable = is_proper(boxes) & tf.cast(valid, tf.bool)[..., None]
        return boxes, tf.where(usable, tf.stop_gradient(probabilities[..., 1:]), -float("inf"))

    def select(self, boxes: Tensor, scores: Tensor) -> Detections:
        """Suppresses duplicates and keeps the best.

        Args:
            boxes: [B, R, 1, 4] or [B, R, K, 4] float32, clipped.
            scores: [B, R, K] float32.
        """
        kept = self._suppress(boxes, scores)
        found = tf.range(tf.shape(kept.scores)[1])[None] < kept.count[:, None]
        of_class = kept.class_index if boxes.shape[2] != 1 else tf.zeros_like(kept.class_index)
        # One index instead of two: gather_nd would transpose images' numbers, which oneDNN complains of.
        row = kept.box_index * tf.shape(boxes)[2] + of_class
        chosen = tf.gather(tf.reshape(boxes, [tf.shape(boxes)[0], -1, 4]), row, batch_dims=1)
        return Detections(
            boxes=tf.where(found[..., None], chosen, 0.0),
            scores=tf.where(found, kept.scores, 0.0),
            classes=tf.where(found, kept.class_index + 1, 0),
            valid=found,
        )

    def _suppress(self, boxes: Tensor, scores: Tensor) -> NMSOutput:
        settings: dict[str, Any] = {
            "iou_threshold": self.nms_iou,
            "score_threshold": self.score_threshold,
            "max_outputs": self.max_detections,
            "implementation": self.implementation,
        }
        if self.soft_nms == "none":
            return batched_nms(boxes, scores, **settings)
        return batched_soft_nms(boxes, scores, method=self.soft_nms, sigma=self.soft_sigma, **settings)
