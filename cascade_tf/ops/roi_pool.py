"""RoIPool: the largest value of each bin of whole cells (Girshick, "Fast R-CNN", Sec. 2.1).

The arithmetic is that of the Caffe layer, to the last bit: a box's corners are rounded to cells, halves away
from zero, both corner cells belong to it, and bins begin at ``floor`` and end at ``ceil``, so that they may
share cells. A bin without a cell on the map is 0. An RoI with a coordinate that is not finite, or farther
than 2^24 cells from the origin, yields zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from cascade_tf.ops import library
from cascade_tf.ops.pooling_arguments import (
    KERNEL_TYPES,
    check_pad_ratio,
    checked_map,
    checked_size,
)
from cascade_tf.ops.roi_pool_twin import roi_pool_tensorflow, values_at_largest


def roi_pool(
    features: Any,
    boxes: Any,
    *,
    stride: float,
    output_size: int | Sequence[int],
    pad_ratio: float = 0.0,
    inclusive_boxes: bool = False,
    implementation: str = "auto",
) -> tf.Tensor:
    """Pools every box from one map. Differentiable in the features; boxes get no gradient.

    The gradient of a bin goes to its largest cell, to the first of them, row by row, where several are equal.
    A NaN among the values of a bin makes it NaN.

    Args:
        features: [B, h, w, C] floating, at least 1 x 1 cell.
        boxes: [B, R, 4] float32 xyxy in pixels of the network's input.
        stride: pixels per cell.
        output_size: P, or (height, width) of the result in bins.
        pad_ratio: widens a box on each side by this share of its width and height, for context around it.
        inclusive_boxes: x2 and y2 are the coordinates of a box's last pixels, as in Caffe. False: they are
            its far edges, as everywhere in this package, and 1 is subtracted first; the same pixels give the
            same result in either notation.
        implementation: "auto", "custom" (C++) or "tensorflow".

    Returns:
        [B, R, height, width, C] of the features' dtype.

    Raises:
        ValueError: a wrong rank, unequal batch sizes, or a setting out of range.
    """
    custom = library.custom_ops(implementation)
    height, width = checked_size("roi_pool", output_size)
    check_pad_ratio("roi_pool", pad_ratio)
    features, boxes = checked_map("roi_pool", features, boxes, stride)
    settings: dict[str, Any] = {
        "stride": float(stride),
        "pad_ratio": float(pad_ratio),
        "inclusive_boxes": inclusive_boxes,
    }
    dtype = features.dtype
    if custom is None or dtype not in KERNEL_TYPES:
        features = tf.cast(features, tf.float32)
    if custom is None:
        pooled = roi_pool_tensorflow(features, boxes, output_size=(height, width), **settings)
    else:
        pooled = custom.cascade_tf_roi_pool(
            features=features, boxes=boxes, output_height=height, output_width=width, **settings
        )
    return tf.cast(pooled, dtype)


@tf.RegisterGradient("CascadeTf>RoiPool")
def _roi_pool_gradient(op: tf.Operation, upstream: tf.Tensor) -> list[Any]:
    upstream.set_shape(op.outputs[0].shape)
    gradient = library.load().cascade_tf_roi_pool_grad(
        upstream=upstream,
        features=op.inputs[0],
        boxes=op.inputs[1],
        stride=op.get_attr("stride"),
        pad_ratio=op.get_attr("pad_ratio"),
        inclusive_boxes=op.get_attr("inclusive_boxes"),
    )
    return [gradient, None]


@tf.RegisterGradient("CascadeTf>RoiPoolGrad")
def _roi_pool_second_gradient(op: tf.Operation, upstream: tf.Tensor) -> list[Any]:
    """The gradient is linear in what comes from above, and its own gradient is read where it was written."""
    gradient = values_at_largest(
        tf.cast(upstream, tf.float32),
        tf.cast(op.inputs[1], tf.float32),
        op.inputs[2],
        output_size=tuple(op.inputs[0].shape[2:4]),
        stride=op.get_attr("stride"),
        pad_ratio=op.get_attr("pad_ratio"),
        inclusive_boxes=op.get_attr("inclusive_boxes"),
    )
    return [tf.cast(gradient, upstream.dtype), None, None]
