"""The Cascade R-CNN authors' own RoIAlign: samples at the corners of the bins, of which bins are means.

The corners of P x P bins are (P + 1) x (P + 1) points of a grid from a box's first pixel to its last. Each is
one bilinear sample, half a cell shifted: the centre of cell 0 is at half a stride. A point more than half a
cell beyond the centres of the border's cells, that is outside of the map, is zero. A bin is the mean of its
four corners. A box without width or height yields zeros, and so does an RoI with a coordinate that is not
finite, or farther than 2^24 cells from the origin.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from cascade_tf.ops import library
from cascade_tf.ops.grid_roi_align_twin import grid_roi_align_tensorflow
from cascade_tf.ops.pooling_arguments import (
    KERNEL_TYPES,
    check_pad_ratio,
    checked_levels,
    checked_maps,
    checked_size,
)
from cascade_tf.ops.roi_align import assign_levels


def grid_roi_align(
    features: Sequence[Any],
    boxes: Any,
    *,
    strides: Sequence[float],
    output_size: int | Sequence[int],
    levels: Any = None,
    average: bool = True,
    pad_ratio: float = 0.0,
    inclusive_boxes: bool = False,
    implementation: str = "auto",
) -> tf.Tensor:
    """Pools every box from its level. Differentiable in the features; boxes get no gradient.

    Args:
        features: one [B, h_l, w_l, C] floating tensor per level, finest first; at least 1 x 1 cell each.
        boxes: [B, R, 4] float32 xyxy in pixels of the network's input.
        strides: pixels per cell of each level.
        output_size: P, or (height, width) of the result in bins.
        levels: [B, R] int32 index into ``features``, clamped to those that exist. None:
            ``assign_levels`` with ``min_level = log2(strides[0])``.
        average: means of the corners of each bin. False: the points of the grid themselves, one more per
            axis.
        pad_ratio: widens a box on each side by this share of its width and height, for context around it.
        inclusive_boxes: x2 and y2 are the coordinates of a box's last pixels, as in Caffe, and end the grid.
            False: they are its far edges, as everywhere in this package, and 1 is subtracted first; the same
            pixels give the same result in either notation. (A grid that spans a box from edge to edge is that
            of ``inclusive_boxes=True`` on continuous boxes.)
        implementation: "auto", "custom" (C++) or "tensorflow".

    Returns:
        [B, R, height, width, C] of the features' dtype; without ``average``
        [B, R, height + 1, width + 1, C]. The arithmetic is float32.

    Raises:
        ValueError: a wrong rank, unequal channels, batch sizes or list lengths, or a setting out of range.
    """
    custom = library.custom_ops(implementation)
    height, width = checked_size("grid_roi_align", output_size)
    check_pad_ratio("grid_roi_align", pad_ratio)
    maps, boxes = checked_maps("grid_roi_align", features, boxes, strides)
    dtype = maps[0].dtype
    if levels is None:
        levels = assign_levels(boxes, len(maps), min_level=round(math.log2(strides[0])))
    levels = checked_levels("grid_roi_align", levels, boxes)
    if custom is None or dtype not in KERNEL_TYPES:
        maps = [tf.cast(one, tf.float32) for one in maps]
    settings: dict[str, Any] = {
        "strides": [float(stride) for stride in strides],
        "average": average,
        "pad_ratio": float(pad_ratio),
        "inclusive_boxes": inclusive_boxes,
    }
    if custom is None:
        levels = tf.clip_by_value(levels, 0, len(maps) - 1)
        pooled = grid_roi_align_tensorflow(maps, boxes, levels, output_size=(height, width), **settings)
    else:
        pooled = custom.cascade_tf_grid_roi_align(
            features=maps, boxes=boxes, levels=levels, output_height=height, output_width=width, **settings
        )
    return tf.cast(pooled, dtype)


@tf.RegisterGradient("CascadeTf>GridRoiAlign")
def _grid_roi_align_gradient(op: tf.Operation, upstream: tf.Tensor) -> list[Any]:
    num_levels = op.get_attr("num_levels")
    upstream.set_shape(op.outputs[0].shape)
    gradients = library.load().cascade_tf_grid_roi_align_grad(
        upstream=upstream,
        boxes=op.inputs[num_levels],
        levels=op.inputs[num_levels + 1],
        feature_shapes=[tf.shape(feature) for feature in op.inputs[:num_levels]],
        strides=op.get_attr("strides"),
        average=op.get_attr("average"),
        pad_ratio=op.get_attr("pad_ratio"),
        inclusive_boxes=op.get_attr("inclusive_boxes"),
    )
    return [*gradients, None, None]


@tf.RegisterGradient("CascadeTf>GridRoiAlignGrad")
def _grid_roi_align_second_gradient(op: tf.Operation, *upstream: tf.Tensor) -> list[Any]:
    """The gradient is linear in what comes from above: its own gradient is the pooling."""
    points = 0 if op.get_attr("average") else 1
    gradient = library.load().cascade_tf_grid_roi_align(
        features=upstream,
        boxes=op.inputs[1],
        levels=op.inputs[2],
        output_height=op.inputs[0].shape[2] - points,
        output_width=op.inputs[0].shape[3] - points,
        strides=op.get_attr("strides"),
        average=op.get_attr("average"),
        pad_ratio=op.get_attr("pad_ratio"),
        inclusive_boxes=op.get_attr("inclusive_boxes"),
    )
    return [gradient, *[None] * (2 + op.get_attr("num_levels"))]
