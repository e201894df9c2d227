"""Bytes and numbers out of the head of a file, inside a graph; what a file lacks counts as 0."""

from __future__ import annotations

import tensorflow as tf

from cascade_tf.structures import Tensor


def first_bytes(text: Tensor, count: int) -> Tensor:
    """The first bytes of a text, [count] uint8."""
    return tf.raw_ops.DecodePaddedRaw(input_bytes=text, fixed_length=count, out_type=tf.uint8)


def first_number(text: Tensor, weights: Tensor) -> Tensor:
    """The first bytes of a text, weighted and added up.

    Args:
        text: string scalar.
        weights: [n] int64 of a known n, powers of 256 in the order of the file.

    Returns:
        int64 scalar.
    """
    weights = tf.convert_to_tensor(weights, tf.int64)
    return tf.einsum("i,i->", tf.cast(first_bytes(text, weights.shape[0]), tf.int64), weights)
