"""Mixed precision: the Keras policy that a detector is built under, and loss scaling for float16."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from cascade_tf.structures import Tensor


@contextlib.contextmanager
def dtype_policy(name: str) -> Iterator[None]:
    """Lets the layers that are created inside compute under that Keras dtype policy."""
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.mixed_precision.set_dtype_policy(before)


class LossScale:
    """Dynamic loss scaling: as large a factor on the loss as float16 gradients bear.

    Small gradients vanish in float16, so the loss is multiplied before the backward pass and the gradient
    divided after it. A gradient that overflows costs one update and halves the factor; ``growth_steps``
    updates in a row without overflow double it.

    Args:
        initial: first factor.
        growth_steps: updates until it doubles.
    """

    def __init__(self, initial: float = 2.0**15, growth_steps: int = 2000) -> None:
        self.growth_steps = growth_steps
        once = tf.VariableAggregation.ONLY_FIRST_REPLICA
        self.factor = tf.Variable(initial, trainable=False, dtype=tf.float32, aggregation=once)
        self.good_steps = tf.Variable(0.0, trainable=False, dtype=tf.float32, aggregation=once)

    @property
    def variables(self) -> dict[str, Any]:
        """The state to save, by name."""
        return {"factor": self.factor, "good_steps": self.good_steps}

    def is_overflow(self, losses_finite: Tensor, gradient_finite: Tensor) -> Tensor:
        """Whether a smaller factor may cure the gradient: the losses are fine and the factor is above 1."""
        return losses_finite & ~gradient_finite & (tf.convert_to_tensor(self.factor) > 1.0)

    def next_values(self, overflow: Tensor) -> tuple[Tensor, Tensor]:
        """Returns (factor, good steps) after an update that overflowed or not."""
        factor, good_steps = tf.convert_to_tensor(self.factor), self.good_steps + 1.0
        grows = good_steps >= self.growth_steps
        next_factor = tf.where(overflow, factor / 2.0, tf.where(grows, factor * 2.0, factor))
        return next_factor, tf.where(overflow | grows, 0.0, good_steps)
