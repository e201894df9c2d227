"""One step of a Keras optimizer on several replicas, as one device with all their images would take it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from cascade_tf.structures import Tensor


def apply_mean_gradients(
    optimizer: Any, gradients: Sequence[Tensor | None], variables: Sequence[Any]
) -> None:
    """Applies the mean of all replicas' gradients.

    Keras sums gradients over the replicas, each clipped on its own: a step that is too long by the number of
    replicas, in another direction where one of them is clipped. So each gives its share of the mean, and
    where that has to be clipped or checked for overflow, a share of what is summed already.

    Args:
        optimizer: a ``keras.optimizers.Optimizer``.
        gradients: of this replica, scaled as ``optimizer.scale_loss`` does; None where there is none.
        variables: one for each.
    """
    context = tf.distribute.get_replica_context()
    replicas = 1 if context is None else context.num_replicas_in_sync
    if replicas > 1:
        gradients = [gradient if gradient is None else gradient / replicas for gradient in gradients]
        inner = getattr(optimizer, "inner_optimizer", optimizer)
        if inner is not optimizer or _clips(inner):
            present = [tf.convert_to_tensor(gradient) for gradient in gradients if gradient is not None]
            means = context.all_reduce(tf.distribute.ReduceOp.SUM, present)
            shares = iter(_clipped(inner, means, optimizer.scale_loss(tf.ones([]))))
            gradients = [gradient if gradient is None else next(shares) / replicas for gradient in gradients]
    optimizer.apply_gradients(zip(gradients, variables, strict=True))


def _clips(optimizer: Any) -> bool:
    return any(getattr(optimizer, name) for name in ("clipnorm", "clipvalue", "global_clipnorm"))


def _clipped(optimizer: Any, gradients: list[Tensor], scale: Tensor) -> list[Tensor]:
    """Clips as Keras does; it clips once more what it gets, which changes a share of the result no more.

    The limits are those of gradients without the factor ``scale`` of the loss.
    """
    if optimizer.clipnorm:
        return [tf.clip_by_norm(gradient, optimizer.clipnorm * scale) for gradient in gradients]
    if optimizer.global_clipnorm:
        return tf.clip_by_global_norm(gradients, optimizer.global_clipnorm * scale)[0]
    if optimizer.clipvalue:
        limit = optimizer.clipvalue * scale
        return [tf.clip_by_value(gradient, -limit, limit) for gradient in gradients]
    return gradients
