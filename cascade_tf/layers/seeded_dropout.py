"""Dropout as a pure function of the example, as all that is random in a training step."""

from __future__ import annotations

import tensorflow as tf

from cascade_tf.boxes import random_priority
from cascade_tf.structures import Tensor

# Far from those that the sampling of anchors and boxes takes.
_SALT = 500_009


def seeded_dropout(values: Tensor, seed: Tensor, rate: float) -> Tensor:
    """Sets values to zero at random and enlarges the others, so that the mean stays.

    Keras's layer draws from a state of its own: a run that resumes would draw other numbers.

    Args:
        values: [B, S, U], U values for each of S boxes.
        seed: [B, 2] int32.
        rate: share that is set to zero, below 1.

    Returns:
        [B, S, U] of the values' type.
    """
    shape = tf.shape(values)
    draws = tf.reshape(random_priority(seed, shape[1] * shape[2], _SALT), shape)
    return tf.where(draws < rate, tf.zeros([], values.dtype), values / (1.0 - rate))
