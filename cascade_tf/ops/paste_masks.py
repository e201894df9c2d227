"""Pasting of predicted masks into an image, as Mask R-CNN's evaluation does (He et al., 2017, Sec. 3).

A mask divides its box into P x Q cells. A pixel belongs to the object if the mask, interpolated bilinearly
between the centres of the cells at the pixel's centre, reaches the threshold. Beyond the outermost centres
the mask falls off to zero, so it ends at its box. A box with a coordinate that is not finite, or without
area, gives an empty mask.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from cascade_tf.ops import library
from cascade_tf.ops.argument_checks import after_check, with_equal_sizes


def paste_masks(
    masks: Any, boxes: Any, image_size: Any, *, threshold: float = 0.5, implementation: str = "auto"
) -> tf.Tensor:
    """Whether each pixel of an image belongs to each object. Has no gradient.

    Args:
        masks: [..., P, Q] float32 probabilities.
        boxes: [..., 4] float32 xyxy in pixels of the image.
        image_size: (H, W) in pixels: integers, or a [2] int32 tensor.
        threshold: least probability of a pixel of the object, above 0 and at most 1.
        implementation: "auto", "custom" (C++) or "tensorflow". NumPy arrays are pasted on the CPU, where
            "auto" is the C++ op beside a GPU too.

    Returns:
        [..., H, W] bool.

    Raises:
        ValueError: wrong or unequal shapes, a threshold out of range, or an unknown implementation.
    """
    if isinstance(masks, np.ndarray) and isinstance(boxes, np.ndarray):
        with tf.device("CPU:0"):
            return _paste(
                masks, boxes, image_size, threshold, library.custom_ops(implementation, on_host=True)
            )
    return _paste(masks, boxes, image_size, threshold, library.custom_ops(implementation))


def _paste(masks: Any, boxes: Any, image_size: Any, threshold: float, custom: Any) -> tf.Tensor:
    masks = tf.stop_gradient(tf.cast(masks, tf.float32))
    boxes = tf.stop_gradient(tf.cast(boxes, tf.float32))
    image_size = tf.cast(tf.convert_to_tensor(image_size), tf.int32)
    _check(masks, boxes, image_size, threshold)
    outer = tf.shape(boxes)[:-1]
    if custom is None:
        library.refuse_xla("paste_masks")
        message = "paste_masks: boxes and masks must be as many, got"
        boxes = with_equal_sizes(boxes, message, outer, tf.shape(masks)[:-2])
        cells = tf.shape(masks)[-2:]
        message = "paste_masks: masks must be [..., P, Q] with at least one cell, got"
        boxes = after_check(boxes, tf.reduce_all(cells > 0), message, tf.shape(masks))
    flat_masks = tf.reshape(masks, tf.concat([[-1], tf.shape(masks)[-2:]], axis=0))
    flat_boxes = tf.reshape(boxes, [-1, 4])
    if custom is None:
        pasted = _paste_tensorflow(flat_masks, flat_boxes, image_size, float(threshold))
    else:
        pasted = custom.cascade_tf_paste_masks(
            masks=flat_masks, boxes=flat_boxes, image_size=image_size, threshold=threshold
        )
    static_size = tf.get_static_value(image_size)
    pasted = tf.reshape(pasted, tf.concat([outer, image_size], axis=0))
    return tf.ensure_shape(
        pasted, [*boxes.shape[:-1], *([None, None] if static_size is None else static_size)]
    )


tf.no_gradient("CascadeTf>PasteMasks")


def _check(masks: tf.Tensor, boxes: tf.Tensor, image_size: tf.Tensor, threshold: float) -> None:
    if masks.shape.rank is None or masks.shape.rank < 2 or 0 in masks.shape[-2:]:
        raise ValueError(f"paste_masks: masks must be [..., P, Q] with at least one cell, got {masks.shape}")
    if boxes.shape.rank != masks.shape.rank - 1 or boxes.shape[-1] not in (4, None):
        raise ValueError(f"paste_masks: boxes must be [..., 4] for masks {masks.shape}, got {boxes.shape}")
    if not boxes.shape[:-1].is_compatible_with(masks.shape[:-2]):
        raise ValueError(f"paste_masks: masks {masks.shape} and boxes {boxes.shape} differ in number")
    if not image_size.shape.is_compatible_with([2]):
        raise ValueError(f"paste_masks: image_size must be (height, width), got shape {image_size.shape}")
    if not 0.0 < threshold <= 1.0:
        raise ValueError(f"paste_masks: threshold must be above 0 and at most 1, got {threshold}")


class _Axis(NamedTuple):
    """Where the pixels of a box's window lie among the cells of its mask, along one axis."""

    begin: tf.Tensor  # [] int32 first pixel
    count: tf.Tensor  # [] int32
    cell: tf.Tensor  # [count] int32 lower neighbour in a mask with a border of one zero cell
    lower: tf.Tensor  # [count] float32 weight of that neighbour
    upper: tf.Tensor  # [count] float32 weight of the next one


def _paste_tensorflow(
    masks: tf.Tensor, boxes: tf.Tensor, image_size: tf.Tensor, threshold: float
) -> tf.Tensor:
    """The twin: mask after mask, because all pixels of all masks as float32 may not fit in memory."""
    sides = boxes[:, 2:] - boxes[:, :2]
    has_area = tf.reduce_all(
        tf.math.is_finite(boxes[:, :2]) & tf.math.is_finite(sides) & (sides > 0), axis=-1
    )
    # A box without area becomes one that ends before the image. One mask more than there are, because a loop
    # over none does not know the size of its result.
    nowhere = tf.constant([[-9.0, -9.0, -8.0, -8.0]])
    boxes = tf.concat([tf.where(has_area[:, None], boxes, nowhere), nowhere], axis=0)
    padded = tf.pad(masks, [[0, 1], [1, 1], [1, 1]])

    def paste_one(index):
        box, mask = boxes[index], padded[index]
        rows = _axis(box[1], box[3], image_size[0], tf.shape(masks)[1])
        columns = _axis(box[0], box[2], image_size[1], tf.shape(masks)[2])
        inside = _interpolate(mask, rows, columns) >= threshold
        begin = tf.stack([rows.begin, columns.begin])
        return tf.pad(inside, tf.stack([begin, image_size - begin - tf.shape(inside)], axis=1))

    pasted = tf.map_fn(
        paste_one, tf.range(tf.shape(boxes)[0]), fn_output_signature=tf.TensorSpec([None, None], tf.bool)
    )
    return pasted[:-1]


def _axis(low: tf.Tensor, high: tf.Tensor, num_pixels: tf.Tensor, num_cells: tf.Tensor) -> _Axis:
    last, cells = tf.cast(num_pixels, tf.float32), tf.cast(num_cells, tf.float32)
    begin = tf.clip_by_value(tf.floor(low) - 1.0, 0.0, last)
    end = tf.maximum(tf.clip_by_value(tf.math.ceil(high) + 1.0, 0.0, last), begin)
    pixels = tf.range(begin, end, dtype=tf.float32)
    relative = (pixels + 0.5 - low) / (high - low) * 2.0 - 1.0
    # "- 1" and "+ 1" each round, as in PyTorch; the check of the shape keeps optimizers from joining them.
    position = (tf.ensure_shape(relative, [None]) + 1.0) * (cells / 2.0) - 0.5
    inside = (position >= -1.0) & (position < cells)
    position = tf.where(inside, position, -1.0)
    floor = tf.floor(position)
    upper = position - floor
    # Outside, both neighbours are the zero border cell.
    return _Axis(
        tf.cast(begin, tf.int32), tf.shape(pixels)[0], tf.cast(floor, tf.int32) + 1, 1.0 - upper, upper
    )


def _interpolate(mask: tf.Tensor, rows: _Axis, columns: _Axis) -> tf.Tensor:
    """[rows.count, columns.count] float32, summed in the order of PyTorch's ``grid_sample``."""
    left, right = tf.gather(mask, columns.cell, axis=1), tf.gather(mask, columns.cell + 1, axis=1)
    terms = [
        tf.gather(values, rows.cell + below) * (weight[None] * row_weight[:, None])
        for below, row_weight in ((0, rows.lower), (1, rows.upper))
        for values, weight in ((left, columns.lower), (right, columns.upper))
    ]
    return ((terms[0] + terms[1]) + terms[2]) + terms[3]
