"""Arguments of the ops that pool boxes from feature maps with the arithmetic of Caffe's layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

# What the C++ kernels read and write; they compute in float32.
KERNEL_TYPES = (tf.float32, tf.bfloat16)
MAX_CELLS = 2.0**24  # float32 cannot tell neighbouring cells apart beyond


class MapAndBoxes(NamedTuple):
    """A checked feature map and its boxes."""

    features: tf.Tensor  # [B, h, w, C] as given
    boxes: tf.Tensor  # [B, R, 4] float32 without gradient


def checked(op: str, features: Any, boxes: Any, stride: float) -> MapAndBoxes:
    """Converts features and boxes to tensors.

    Raises:
        ValueError: a wrong rank or type, another number of images, or a stride that is not positive.
    """
    if not (math.isfinite(stride) and stride > 0):
        raise ValueError(f"{op}: stride must be a positive number of pixels, got {stride}")
    features = tf.convert_to_tensor(features)
    boxes = tf.stop_gradient(tf.cast(boxes, tf.float32))
    if features.shape.rank != 4 or not features.dtype.is_floating:
        raise ValueError(
            f"{op}: features must be floating [B, h, w, C], got {features.dtype.name} {features.shape}"
        )
    if boxes.shape.rank != 3 or boxes.shape[2] not in (4, None):
        raise ValueError(f"{op}: boxes must be [B, R, 4], got {boxes.shape}")
    if not features.shape[:1].is_compatible_with(boxes.shape[:1]):
        raise ValueError(f"{op}: {boxes.shape[0]} images in boxes, {features.shape[0]} in features")
    return MapAndBoxes(features, boxes)


def checked_size(op: str, output_size: int | Sequence[int]) -> tuple[int, int]:
    """(height, width) in bins; ValueError unless both are positive."""
    size = (output_size, output_size) if isinstance(output_size, int) else tuple(output_size)
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"{op}: output_size must be one or two positive integers, got {size}")
    return size[0], size[1]


def check_pad_ratio(op: str, pad_ratio: float) -> None:
    """Raises ValueError for a share that is negative or not finite."""
    if not (math.isfinite(pad_ratio) and pad_ratio >= 0):
        raise ValueError(f"{op}: pad_ratio must be 0 or a positive share, got {pad_ratio}")


def cells_per_pixel(stride: float) -> np.float32:
    """The factor as the kernels compute it."""
    return np.float32(1) / np.float32(stride)


def pixel_corners(boxes: tf.Tensor, inclusive_boxes: bool, pad_ratio: float) -> tuple[tf.Tensor, tf.Tensor]:
    """First and last pixel of each box, widened on each side by ``pad_ratio`` times its size in pixels.

    Args:
        boxes: [..., 4] float32 xyxy.
        inclusive_boxes: whether x2 and y2 are last pixels; otherwise far edges, one more.
        pad_ratio: 0 or a positive share.

    Returns:
        Two [..., 2] float32 of (y, x).
    """
    first = tf.reverse(boxes[..., :2], axis=[-1])
    last = tf.reverse(boxes[..., 2:], axis=[-1]) - (0.0 if inclusive_boxes else 1.0)
    pad = (last - first + 1.0) * np.float32(pad_ratio)
    return first - pad, last + pad


def usable(*corners: tf.Tensor) -> tf.Tensor:
    """[...] whether all coordinates of the corners [..., 2], in cells, are finite and not too far away."""
    inside = tf.abs(tf.concat(corners, axis=-1)) <= MAX_CELLS  # false for NaN
    return tf.reduce_all(inside, axis=-1)


def round_half_away(x: tf.Tensor) -> tf.Tensor:
    """The nearest whole number, halves away from zero as C's ``round``; ``tf.round`` takes the even one."""
    whole = tf.floor(tf.abs(x))
    # The remainder is exact; adding a half before the floor would not be.
    return tf.sign(x) * (whole + tf.cast(tf.abs(x) - whole >= 0.5, x.dtype))
