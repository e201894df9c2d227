"""The background that a proposal branch of MS-CNN learns from: at random, or what looks most like objects.

The authors' code (zhaoweicai/mscnn) takes all foreground and, for every image, template and class, a multiple
of it of background.
"""

from __future__ import annotations

import tensorflow as tf

from cascade_tf.boxes.matching import BACKGROUND, IGNORED
from cascade_tf.structures import Tensor


def random_negatives(labels: Tensor, priority: Tensor, num_classes: int, multiple: int, least: int) -> Tensor:
    """Keeps all foreground, and background at random.

    Args:
        labels: [B, N] int32 class of each candidate, 0 background, -1 ignored.
        priority: [B, N] float32 random numbers in 0..1.
        num_classes: K.
        multiple: background candidates for each one of the foreground.
        least: background candidates for each class, at least.

    Returns:
        [B, N] int32, -1 where not kept.
    """
    wanted = tf.maximum(multiple * _count(labels > BACKGROUND), least * num_classes)
    return _kept(labels, _largest(priority, labels == BACKGROUND, wanted))


def hardest_negatives(labels: Tensor, logits: Tensor, multiple: int, least: int) -> Tensor:
    """Keeps all foreground, and for each class the background with the highest logits of that class.

    Args:
        labels: [B, N] int32 class of each candidate, 0 background, -1 ignored.
        logits: [B, N, K + 1] float32, background first.
        multiple: background candidates for each one of a class's foreground.
        least: background candidates for each class, at least.

    Returns:
        [B, N] int32, -1 where not kept. What several classes choose is kept once.
    """
    background, kept = labels == BACKGROUND, tf.zeros_like(labels, tf.bool)
    logits = tf.stop_gradient(logits)
    for number in range(1, logits.shape[-1]):
        wanted = tf.maximum(multiple * _count(labels == number), least)
        kept |= _largest(logits[..., number], background, wanted)
    return _kept(labels, kept)


def _kept(labels: Tensor, background: Tensor) -> Tensor:
    return tf.where(background | (labels > BACKGROUND), labels, IGNORED)


def _count(mask: Tensor) -> Tensor:
    return tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)


def _largest(values: Tensor, mask: Tensor, count: Tensor) -> Tensor:
    """[B, N] bool: the ``count`` [B] entries of ``mask`` with the largest values."""
    limit = tf.minimum(tf.reduce_max(count), tf.shape(values)[1])
    top = tf.math.top_k(tf.where(mask, values, -float("inf")), limit)
    chosen = (tf.range(limit)[None] < count[:, None]) & (top.values > -float("inf"))
    rows = tf.broadcast_to(tf.range(tf.shape(values)[0])[:, None], tf.shape(top.indices))
    places = tf.stack([rows, top.indices], axis=-1)
    return tf.scatter_nd(places, tf.cast(chosen, tf.int32), tf.shape(values)) > 0
