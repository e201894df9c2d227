"""Boxes pooled twice: as they are, and widened by the context around them (Cai et al., 2016, Sec. 4)."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from cascade_tf.ops.caffe_pixels import pixel_corners
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


def with_context(
    pooled: Callable[[Tensor], Tensor], boxes: Tensor, inclusive: bool, pad_ratio: float, context_ratio: float
) -> Tensor:
    """Features of boxes, and behind them in the channels those of their context.

    Both are pooled at once: the ops are large, and so are the graphs that stand for them in exports.

    Args:
        pooled: gives the features [B, R, h, w, C] of boxes whose x2 and y2 are their last pixels.
        boxes: [B, R, 4] float32.
        inclusive: whether the boxes' x2 and y2 are one more than their last pixels.
        pad_ratio: share by which the boxes themselves are widened on each side.
        context_ratio: the same for the context.

    Returns:
        [B, R, h, w, 2 C].
    """
    widened = []
    for ratio in (pad_ratio, context_ratio):
        first, last = pixel_corners(boxes, not inclusive, ratio)
        widened.append(tf.concat([first[..., ::-1], last[..., ::-1]], axis=-1))
    both = pooled(tf.concat(widened, axis=1))
    return tf.concat(tf.split(both, 2, axis=1), axis=-1)
