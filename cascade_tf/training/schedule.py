"""The learning rate over a run: linear warm-up, then steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from cascade_tf.training.settings import TrainConfig


@keras.saving.register_keras_serializable(package="cascade_tf")
class WarmupSteps(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up to a constant, which is multiplied by a factor at each of some steps.

    Law: ``rate(s) = learning_rate * decay_factor ** #{d in decay_steps: d <= s} * warmup(s)`` with ``warmup``
    rising linearly from ``warmup_factor`` at step 0 to 1 at ``warmup_steps``. Step ``s`` counts the updates
    done before, so the first update runs at ``rate(0)``.

    Args:
        learning_rate: rate after the warm-up.
        warmup_steps: length of the warm-up in updates; 0: none.
        warmup_factor: share of the rate at step 0.
        decay_steps: rising steps at which the rate drops.
        decay_factor: what it is multiplied by.
    """

    def __init__(
        self,
        learning_rate: float,
        warmup_steps: int = 0,
        warmup_factor: float = 1 / 3,
        decay_steps: Sequence[int] = (),
        decay_factor: float = 0.1,
    ) -> None:
        super().__init__()
        self.learning_rate = float(learning_rate)
        self.warmup_steps = int(warmup_steps)
        self.warmup_factor = float(warmup_factor)
        self.decay_steps = tuple(int(step) for step in decay_steps)
        self.decay_factor = float(decay_factor)

    def __call__(self, step: Any) -> Any:
        """Returns the rate of the update after ``step`` others, a float32 scalar."""
        # float64 counts every step exactly; float32 would round them from 2**24 on.
        step = tf.cast(tf.convert_to_tensor(step), tf.float64)
        rate = tf.constant(self.learning_rate, tf.float64)
        for boundary in self.decay_steps:
            rate *= tf.where(step >= boundary, tf.constant(self.decay_factor, tf.float64), 1.0)
        if self.warmup_steps:
            progress = tf.minimum(step / self.warmup_steps, 1.0)
            rate *= self.warmup_factor + (1.0 - self.warmup_factor) * progress
        return tf.cast(rate, tf.float32)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "learning_rate": self.learning_rate,
            "warmup_steps": self.warmup_steps,
            "warmup_factor": self.warmup_factor,
            "decay_steps": list(self.decay_steps),
            "decay_factor": self.decay_factor,
        }


def describe_learning_rate(settings: TrainConfig) -> str:
    """Returns a line with the rate of a run and where it comes from.

    For example ``learning rate 0.0025 = train.learning_rate 0.01 x batch 4 / 16, rising over the first 500
    steps, times 0.1 from step 6000, 8000``.
    """
    images, reference = settings.images_per_update, settings.reference_batch_size
    batch = f"{settings.accumulate} x {settings.batch_size}" if settings.accumulate > 1 else f"{images}"
    scaling = f" {settings.learning_rate:.6g} x batch {batch} / {reference}"
    why = f" for batches of {batch}" if images == reference else scaling
    parts = [f"learning rate {settings.scaled_learning_rate:.6g} = train.learning_rate{why}"]
    if settings.warmup_steps:
        parts.append(f"rising over the first {settings.warmup_steps} steps")
    if settings.decay_steps:
        steps = ", ".join(str(step) for step in settings.decay_steps)
        parts.append(f"times {settings.decay_factor:.6g} from step {steps}")
    return ", ".join(parts)


def make_schedule(settings: TrainConfig) -> WarmupSteps:
    """Returns the schedule of a run, scaled to its batch size."""
    return WarmupSteps(
        settings.scaled_learning_rate,
        settings.warmup_steps,
        settings.warmup_factor,
        settings.decay_steps,
        settings.decay_factor,
    )
