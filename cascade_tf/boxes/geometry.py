"""Areas, overlaps and clipping of boxes."""

from __future__ import annotations

import tensorflow as tf

from cascade_tf.structures import Tensor


def area(boxes: Tensor) -> Tensor:
    """Area of each box; 0 where a side is not positive.

    Args:
        boxes: [..., 4] float32.

    Returns:
        [...] float32, square pixels.
    """
    sides = tf.maximum(boxes[..., 2:] - boxes[..., :2], 0.0)
    return sides[..., 0] * sides[..., 1]


def is_proper(boxes: Tensor, min_side: float = 0.0) -> Tensor:
    """Whether each box is finite and has two positive sides.

    Args:
        boxes: [..., 4] float32.
        min_side: smallest length of a side, pixels.

    Returns:
        [...] bool.
    """
    finite = tf.reduce_all(tf.math.is_finite(boxes), axis=-1)
    proper = finite & tf.reduce_all(boxes[..., 2:] > boxes[..., :2], axis=-1)
    if min_side <= 0.0:
        return proper
    return proper & tf.reduce_all(boxes[..., 2:] - boxes[..., :2] >= min_side, axis=-1)


def clip_boxes(boxes: Tensor, image_size: Tensor, inclusive: bool = False, border: float = 0.0) -> Tensor:
    """Moves every corner into the image.

    Args:
        boxes: [B, ..., 4], numbers of any type.
        image_size: [B, 2] (height, width), likewise.
        inclusive: as Caffe's detectors do, for whom a corner is a pixel of the image: a box outside becomes
            the nearest pixel, one unit wide, and not a line.
        border: pixels right of the image and below it that boxes may cover. The authors' Caffe code lets the
            last pixel of a box be number ``width`` or ``height``, which is 1.

    Returns:
        [B, ..., 4] float32 with x in [0, width + border] and y in [0, height + border].
    """
    boxes, image_size = tf.cast(boxes, tf.float32), tf.cast(image_size, tf.float32)
    if border:
        image_size = image_size + border
    height, width = image_size[:, 0], image_size[:, 1]
    limits = tf.stack([width, height, width, height], axis=-1)
    middle = tf.ones([tf.rank(boxes) - 2], tf.int32)
    limits = tf.reshape(limits, tf.concat([[-1], middle, [4]], axis=0))
    if not inclusive:
        return tf.clip_by_value(boxes, 0.0, limits)
    last_corner = tf.constant([0.0, 0.0, 1.0, 1.0])
    return tf.clip_by_value(boxes, last_corner, limits - tf.reverse(last_corner, [0]))


def _pairwise_intersection(boxes: Tensor, others: Tensor) -> Tensor:
    # One broadcast per coordinate: a trailing axis of two would cost several times the memory traffic.
    x1, y1, x2, y2 = (boxes[..., :, None, i] for i in range(4))
    u1, v1, u2, v2 = (others[..., None, :, i] for i in range(4))
    width = tf.maximum(tf.minimum(x2, u2) - tf.maximum(x1, u1), 0.0)
    return width * tf.maximum(tf.minimum(y2, v2) - tf.maximum(y1, v1), 0.0)


def pairwise_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """Intersection over union of every pair; 0 where the intersection is empty, never NaN for finite boxes.

    Args:
        boxes: [..., N, 4] float32.
        others: [..., M, 4] float32.

    Returns:
        [..., N, M] float32 in 0..1.
    """
    intersection = _pairwise_intersection(boxes, others)
    union = area(boxes)[..., :, None] + area(others)[..., None, :] - intersection
    return tf.where(intersection > 0.0, intersection / tf.where(union > 0.0, union, 1.0), 0.0)


def cover(boxes: Tensor, regions: Tensor) -> Tensor:
    """Share of each box's own area that lies in each region (intersection over the box's area).

    Args:
        boxes: [..., N, 4] float32.
        regions: [..., M, 4] float32.

    Returns:
        [..., N, M] float32 in 0..1; 0 for a box without area.
    """
    intersection = _pairwise_intersection(boxes, regions)
    own = area(boxes)[..., :, None]
    return tf.where(intersection > 0.0, intersection / tf.where(own > 0.0, own, 1.0), 0.0)
