"""Exponential moving average of the weights (EMA)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf

from cascade_tf.structures import Tensor


class AveragedWeights:
    """A second copy of the trainable weights that follows them slowly.

    Law: after update ``s`` (counted from 1), ``average = d * average + (1 - d) * weights`` with
    ``d = min(decay, (1 + s) / (10 + s))``; the ramp keeps the random weights of the start from lingering.

    Args:
        variables: the trainable variables, as TensorFlow variables; make it inside the strategy's scope.
        decay: share of the average that an update keeps in the long run, in (0, 1).

    Attributes:
        variables: the averages, in the same order.
    """

    def __init__(self, variables: Sequence[Any], decay: float) -> None:
        self.decay = decay
        self.weights = list(variables)
        self.variables = [tf.Variable(v, trainable=False, dtype=v.dtype) for v in self.weights]

    def rate(self, updates: Tensor) -> Tensor:
        """Returns ``1 - d`` of the update that comes after ``updates`` others, a float32 scalar."""
        number = tf.cast(updates, tf.float32) + 1.0
        return 1.0 - tf.minimum(self.decay, (1.0 + number) / (10.0 + number))

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Puts the averages into the model; on leaving, the weights as they were."""
        weights = [tf.identity(v) for v in self.weights]
        for variable, average in zip(self.weights, self.variables, strict=True):
            variable.assign(average)
        try:
            yield
        finally:
            for variable, value in zip(self.weights, weights, strict=True):
                variable.assign(value)
