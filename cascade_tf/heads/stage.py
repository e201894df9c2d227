"""One detector of a cascade: a head with the threshold, the statistics and the weight that it learns with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from cascade_tf.boxes import BoxCoder
from cascade_tf.heads.stage_head import StageHead
from cascade_tf.layers.base import Layer, require
from cascade_tf.layers.ranges import require_not_negative, require_shares
from cascade_tf.structures import Samples, Tensor


@keras.saving.register_keras_serializable(package="cascade_tf")
class Stage(Layer):
    """One detector of the cascade, specialised for one IoU.

    Args:
        head: its classifier and regressor.
        iou: threshold that tells foreground from background in training (u of Eq. 9 and 10).
        std: standard deviations of the offsets that this stage regresses; they shrink from stage to stage
            (Sec. 4.2 and 6.4, Fig. 5).
        weight: of this stage's losses (Sec. 6.4).
        num_samples: S, RoIs per image in training; None keeps every box of the stage before.
        foreground_fraction: share of foreground among ``num_samples``, at most.
        mean: means of the offsets (Eq. 5).
        box_weight: of the box loss beside the class loss (lambda of Eq. 12).
        background_range: see ``sample_rois``; None: all boxes below ``iou`` are background.
        top_up: see ``sample_rois``.
        hard_examples: see ``stage_losses``; None: all RoIs take part in the losses.

    Raises:
        ValueError: a threshold, weight, number, share or range outside its range.
    """

    def __init__(
        self,
        head: StageHead,
        iou: float = 0.5,
        std: Sequence[float] = (0.1, 0.1, 0.2, 0.2),
        weight: float = 1.0,
        num_samples: int | None = 512,
        foreground_fraction: float = 0.25,
        mean: Sequence[float] = (0.0, 0.0, 0.0, 0.0),
        box_weight: float = 1.0,
        background_range: Sequence[float] | None = None,
        top_up: bool = False,
        hard_examples: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(autocast=False, **kwargs)
        if not 0.0 < iou <= 1.0:
            raise ValueError(f"a stage's iou must be in (0, 1], got {iou}")
        if weight <= 0.0:
            raise ValueError(f"a stage's weight must be positive, got {weight}")
        require(num_samples is None or num_samples >= 1, "num_samples", num_samples, "1 or more, or None")
        require_shares(foreground_fraction=foreground_fraction)
        require_not_negative(box_weight=box_weight)
        require(
            background_range is None
            or (len(background_range) == 2 and 0.0 <= background_range[0] < background_range[1] <= iou),
            "background_range",
            background_range,
            f"a lower and an upper IoU in 0..{iou}, the stage's iou",
        )
        require(
            not top_up or (background_range is not None and num_samples is not None),
            "top_up",
            top_up,
            "False without a background_range and num_samples to fill up",
        )
        require(
            hard_examples is None or hard_examples >= 1, "hard_examples", hard_examples, "1 or more, or None"
        )
        self.head = head
        self.iou = iou
        self.std = std
        self.weight = weight
        self.num_samples = num_samples
        self.foreground_fraction = foreground_fraction
        self.mean = mean
        self.box_weight = box_weight
        self.background_range = background_range
        self.top_up = top_up
        self.hard_examples = hard_examples
        self.coder = BoxCoder(std, mean=mean)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Builds a head on pooled features [B, S, P, P, C]."""
        if not self.head.built:
            self.head.build(input_shape)
        self.built = True

    def build_on(self, shapes: Mapping[str, tuple[int | None, ...]], pooling: Any) -> None:
        """Builds the head for the shapes of the shared features; see ``StageHead.build_on``."""
        if not self.head.built:
            self.head.build_on(shapes, pooling)
        self.built = True

    def call(self, pooled: Any, training: bool = False, seed: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Class logits and offsets of the head for what it pooled.

        Args:
            pooled: of the head's ``pool``.
            training: whether the head learns.
            seed: [B, 2] int32 of the examples, for heads that draw at random in training.
        """
        return self.head.judge(pooled, training=training, seed=seed)

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
