"""Checks of the ops' arguments: at once, or by twins where a graph runs that did not know the sizes before.

The C++ kernels look at the shapes that they get. Core ops would broadcast one row of boxes over a batch of
maps, or read the wrong image, and say nothing.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from cascade_tf.ops import library


def floats(op: str, name: str, value: Any) -> tf.Tensor:
    """The argument as float32 without gradient; ValueError where it is ragged."""
    if isinstance(value, tf.RaggedTensor):
        raise ValueError(f"{op}: {name} must be dense, got ragged {value.shape}; pad them with to_tensor()")
    return tf.stop_gradient(tf.cast(value, tf.float32))


def after_check(value: tf.Tensor, holds: tf.Tensor, *message: Any) -> tf.Tensor:
    """``value``, to be read only where the check holds.

    Args:
        value: what is computed with afterwards.
        holds: bool scalar, of shapes. Outside of a graph they are all known, and have been looked at.
        *message: strings and tensors, joined in the error.

    Raises:
        tf.errors.InvalidArgumentError: it does not hold, where the graph runs. XLA would leave the check
            out, and a detector's export does without.
    """
    if not library.checks_sizes():
        return value
    check = tf.raw_ops.Assert(condition=holds, data=[tf.convert_to_tensor(part) for part in message])
    with tf.control_dependencies([check]):
        return tf.identity(value)


def with_equal_sizes(value: tf.Tensor, message: str, expected: tf.Tensor, got: tf.Tensor) -> tf.Tensor:
    """``after_check`` of sizes that must equal the expected ones, or the one that is expected of all."""
    if not library.checks_sizes():
        return value
    return after_check(value, tf.reduce_all(tf.equal(expected, got)), message, expected, "and", got)
