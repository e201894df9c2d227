"""Position-sensitive RoI pooling (Dai et al., "R-FCN", Eq. 1): each bin has channels of its own.

The arithmetic is that of the Caffe layer: a box's corners are rounded to pixels, halves away from zero; a bin
is the mean of all cells that it touches, and 0 where none of them is on the map. A box is at least a tenth of
a cell wide and high. An RoI with a coordinate that is not finite, or farther than 2^24 cells from the origin,
yields zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from cascade_tf.ops import library
from cascade_tf.ops.pooling_arguments import KERNEL_TYPES, checked_map, checked_size
from cascade_tf.ops.ps_roi_pool_twin import ps_roi_pool_tensorflow


def ps_roi_pool(
    features: Any,
    boxes: Any,
    *,
    stride: float,
    output_size: int | Sequence[int],
    inclusive_boxes: bool = False,
    implementation: str = "auto",
) -> tf.Tensor:
    """Pools every bin of every box from its channels. Differentiable in the features; boxes get no gradient.

    Args:
        features: [B, h, w, D * height * width] floating, at least 1 x 1 cell. The channel of class ``d`` and
            bin ``(row, column)`` is ``(d * height + row) * width + column``.
        boxes: [B, R, 4] float32 xyxy in pixels of the network's input.
        stride: pixels per cell.
        output_size: k, or (height, width) of the result in bins.
        inclusive_boxes: x2 and y2 are the coordinates of a box's last pixels, as in Caffe. False: they are
            its far edges, as everywhere in this package, and 1 is subtracted first; the same pixels give the
            same result in either notation.
        implementation: "auto", "custom" (C++) or "tensorflow".

    Returns:
        [B, R, height, width, D] of the features' dtype. The arithmetic is float32.

    Raises:
        ValueError: a wrong rank, unequal batch sizes, channels that do not divide, or a setting out of range.
    """
    custom = library.custom_ops(implementation)
    height, width = checked_size("ps_roi_pool", output_size)
    features, boxes = checked_map("ps_roi_pool", features, boxes, stride)
    channels = features.shape[3]
    if channels is not None and channels % (height * width):
        raise ValueError(
            f"ps_roi_pool: {height} x {width} bins need a multiple of {height * width} channels, "
            f"got {channels}"
        )
    settings: dict[str, Any] = {"stride": float(stride), "inclusive_boxes": inclusive_boxes}
    dtype = features.dtype
    if custom is None or dtype not in KERNEL_TYPES:
        features = tf.cast(features, tf.float32)
    if custom is None:
        pooled = ps_roi_pool_tensorflow(features, boxes, output_size=(height, width), **settings)
    else:
        pooled = custom.cascade_tf_ps_roi_pool(
            features=features, boxes=boxes, output_height=height, output_width=width, **settings
        )
    return tf.cast(pooled, dtype)


@tf.RegisterGradient("CascadeTf>PsRoiPool")
def _ps_roi_pool_gradient(op: tf.Operation, upstream: tf.Tensor) -> list[Any]:
    upstream.set_shape(op.outputs[0].shape)
    gradient = library.load().cascade_tf_ps_roi_pool_grad(
        upstream=upstream,
        boxes=op.inputs[1],
        features_shape=tf.shape(op.inputs[0]),
        stride=op.get_attr("stride"),
        inclusive_boxes=op.get_attr("inclusive_boxes"),
    )
    return [gradient, None]


@tf.RegisterGradient("CascadeTf>PsRoiPoolGrad")
def _ps_roi_pool_second_gradient(op: tf.Operation, upstream: tf.Tensor) -> list[Any]:
    """The gradient is linear in what comes from above: its own gradient is the pooling."""
    gradient = library.load().cascade_tf_ps_roi_pool(
        features=upstream,
        boxes=op.inputs[1],
        output_height=op.inputs[0].shape[2],
        output_width=op.inputs[0].shape[3],
        stride=op.get_attr("stride"),
        inclusive_boxes=op.get_attr("inclusive_boxes"),
    )
    return [gradient, None, None]
