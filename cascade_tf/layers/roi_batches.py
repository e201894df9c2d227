"""RoIs of all images as one batch of small feature maps."""

from __future__ import annotations

import tensorflow as tf

from cascade_tf.structures import Tensor


def flatten_rois(pooled: Tensor) -> Tensor:
    """Merges all axes before the last three, and never returns an empty batch.

    TensorFlow's convolution gives a wrong shape for no maps at all; a map of zeros stands in then, and
    ``unflatten_rois`` drops it.

    Args:
        pooled: [..., P, P, C].

    Returns:
        [max(N, 1), P, P, C] for N RoIs.
    """
    flat = tf.reshape(pooled, tf.concat([[-1], tf.shape(pooled)[-3:]], axis=0))
    missing = tf.cast(tf.shape(flat)[0] == 0, tf.int32)
    return tf.ensure_shape(tf.pad(flat, [[0, missing], [0, 0], [0, 0], [0, 0]]), [None, *pooled.shape[-3:]])


def unflatten_rois(flat: Tensor, pooled: Tensor) -> Tensor:
    """Undoes ``flatten_rois`` for values [max(N, 1), ...] of the RoIs in ``pooled`` [..., P, P, C]."""
    outer = tf.shape(pooled)[:-3]
    values = flat[: tf.reduce_prod(outer)]
    return tf.reshape(values, tf.concat([outer, tf.shape(flat)[1:]], axis=0))
