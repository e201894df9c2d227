"""A division that stays one when a graph is compiled."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from cascade_tf.ops import library


def divide(x: tf.Tensor, divisor: Any) -> tf.Tensor:
    """``x / divisor``, rounded once; 0 where the divisor is.

    Optimisers turn a plain division by a constant into a multiplication by its reciprocal, which is off by a
    rounding where the quotient is a whole number: a bin of whole cells would begin another one.
    """
    divisor = tf.convert_to_tensor(divisor, x.dtype)
    if library.under_xla():
        # XLA sees through more than a graph's optimisers: this divisor is not constant.
        divisor = tf.where(tf.math.is_nan(x), x, divisor)
    return tf.math.divide_no_nan(x, divisor)
