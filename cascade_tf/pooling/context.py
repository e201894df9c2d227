"""Boxes pooled twice: as they are, and widened by the context around them (Cai et al., 2016, Sec. 4)."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from cascade_tf.ops.pooling_arguments import check_pad_ratio
from cascade_tf.structures import Tensor


def check_ratios(owner: str, pad_ratio: float, context_ratio: float | None) -> None:
    """Raises a ValueError for a share that is negative or not finite."""
    check_pad_ratio(owner, pad_ratio)
    if context_ratio is not None:
        check_pad_ratio(owner, context_ratio, "context_ratio")


def shape_with_context(shape: tuple[int | None, ...], context_ratio: float | None) -> tuple[int | None, ...]:
    """The shape of pooled features, with twice the channels where there is context."""
    if context_ratio is None or shape[-1] is None:
        return shape
    return (*shape[:-1], 2 * shape[-1])


def with_context(pooled: Callable[[float], Tensor], pad_ratio: float, context_ratio: float | None) -> Tensor:
    """Features of boxes, and behind them in the channels those of their context.

    Args:
        pooled: gives the features [B, R, h, w, C] of boxes that are widened on each side by a share.
        pad_ratio: for the boxes themselves.
        context_ratio: for the context; None: none is pooled.
    """
    own = pooled(pad_ratio)
    return own if context_ratio is None else tf.concat([own, pooled(context_ratio)], axis=-1)
