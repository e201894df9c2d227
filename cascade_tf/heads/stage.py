"""One detector of a cascade: a head with the threshold, the statistics and the weight that it learns with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from cascade_tf.boxes import BoxCoder
from cascade_tf.heads.box_head import BoxHead
from cascade_tf.layers.base import Layer, require
from cascade_tf.structures import Samples, Tensor


@keras.saving.register_keras_serializable(package="cascade_tf")
class Stage(Layer):
    """One detector of the cascade, specialised for one IoU.

    Args:
        head: its classifier and regressor.
        iou: threshold that tells foreground from background in training (u of Eq. 5).
        std: standard deviations of the offsets that this stage regresses; they shrink from stage to stage
            (Sec. 4.1, Fig. 5).
        weight: of this stage's losses (Sec. 5.2).
        num_samples: S, RoIs per image in training; None keeps every box of the stage before.
        foreground_fraction: share of foreground among ``num_samples``, at most.

    Raises:
        ValueError: a threshold, weight, number or share outside its range.
    """

    def __init__(
        self,
        head: BoxHead,
        iou: float = 0.5,
        std: Sequence[float] = (0.1, 0.1, 0.2, 0.2),
        weight: float = 1.0,
        num_samples: int | None = 512,
        foreground_fraction: float = 0.25,
        **kwargs: Any,
    ):
        super().__init__(autocast=False, **kwargs)
        if not 0.0 < iou <= 1.0:
            raise ValueError(f"a stage's iou must be in (0, 1], got {iou}")
        if weight <= 0.0:
            raise ValueError(f"a stage's weight must be positive, got {weight}")
        require(num_samples is None or num_samples >= 1, "num_samples", num_samples, "1 or more, or None")
        require(
            0.0 <= foreground_fraction <= 1.0, "foreground_fraction", foreground_fraction, "a share in 0..1"
        )
        self.head = head
        self.iou = iou
        self.std = std
        self.weight = weight
        self.num_samples = num_samples
        self.foreground_fraction = foreground_fraction
        self.coder = BoxCoder(std)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Builds the head for RoI features [B, S, P, P, C]."""
        if not self.head.built:
            self.head.build(input_shape)
        self.built = True

    def call(self, pooled: Tensor, training: bool = False) -> tuple[Tensor, Tensor]:
        """Class logits and offsets of the head; see ``BoxHead.call``."""
        return self.head(pooled, training=training)

    def decode(self, deltas: Tensor, boxes: Tensor) -> Tensor:
        """All boxes that the offsets stand for: [B, S, 1, 4], or [B, S, K, 4] where they are class-aware."""
        decoded = self.coder.decode(deltas, boxes)
        return tf.reshape(decoded, tf.concat([tf.shape(boxes)[:2], [deltas.shape[-1] // 4, 4]], axis=0))

    def regress(self, logits: Tensor, deltas: Tensor, samples: Samples) -> Tensor:
        """[B, S, 4] the box that goes on: of the true class in training, else of the likeliest."""
        boxes = self.decode(deltas, samples.boxes)
        if boxes.shape[2] == 1:
            return boxes[:, :, 0]
        likeliest = tf.argmax(logits[..., 1:], axis=-1, output_type=tf.int32)
        classes = tf.where(samples.classes > 0, samples.classes - 1, likeliest)
        return tf.gather(boxes, classes, axis=2, batch_dims=2)
