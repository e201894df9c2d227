"""What the means of losses are taken over, where several devices or batches make one update.

A loss that is a mean over the boxes that were drawn divides a sum by a count. The mean of such means is not
the mean over all boxes: an image with one object would weigh as much as one with twenty. So each loss asks
here for its divisor, and whoever computes an update in parts says in a context what that of the whole is.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator

import tensorflow as tf

from cascade_tf.structures import Tensor

_divisor: contextvars.ContextVar[Callable[[Tensor], Tensor] | None] = contextvars.ContextVar(
    "divisor of losses", default=None
)


@contextlib.contextmanager
def counts_become(divisor: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """While it lasts, losses of this thread divide by what ``divisor`` makes of their count.

    Args:
        divisor: float32 count of any shape -> the divisor of that shape. It is called in the same order
            whenever the same losses are computed.
    """
    token = _divisor.set(divisor)
    try:
        yield
    finally:
        _divisor.reset(token)


def mean_over(total: Tensor, count: Tensor) -> Tensor:
    """``total / count``, or of an update that is computed in parts, this part's term.

    The mean of all parts' terms is the mean over what all of them have counted.

    Args:
        total: float32 sum of this part.
        count: float32 number of its summands, of the same shape; without gradient.

    Returns:
        float32 of the same shape; 0 where nothing was counted.
    """
    return tf.math.divide_no_nan(total, whole_count(count))


def whole_count(count: Tensor) -> Tensor:
    """The divisor for a sum over ``count`` summands, see `mean_over`."""
    divisor = _divisor.get()
    return count if divisor is None else divisor(tf.stop_gradient(count))
