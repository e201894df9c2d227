"""Arguments of the ops that pool boxes from feature maps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral
from typing import Any, NamedTuple

import tensorflow as tf

from cascade_tf.ops import library
from cascade_tf.ops.argument_checks import after_check, floats

# What the C++ kernels read and write; they compute in float32.
KERNEL_TYPES = (tf.float32, tf.bfloat16)
MAX_CELLS = 2.0**24  # float32 cannot tell neighbouring cells apart beyond


class MapAndBoxes(NamedTuple):
    """A checked feature map and its boxes."""

    features: tf.Tensor  # [B, h, w, C] as given
    boxes: tf.Tensor  # [B, R, 4] float32 without gradient


def checked_map(op: str, features: Any, boxes: Any, stride: float) -> MapAndBoxes:
    """Converts features and boxes to tensors.

    Raises:
        ValueError: a wrong rank or type, another number of images, or a stride that is not positive.
    """
    if not (math.isfinite(stride) and stride > 0):
        raise ValueError(f"{op}: stride must be a positive number of pixels, got {stride}")
    features = tf.convert_to_tensor(features)
    boxes = floats(op, "boxes", boxes)
    if features.shape.rank != 4 or not features.dtype.is_floating:
        raise ValueError(
            f"{op}: features must be floating [B, h, w, C], got {features.dtype.name} {features.shape}"
        )
    if 0 in features.shape[1:]:
        raise ValueError(f"{op}: features must have h, w, C >= 1, got {features.shape}")
    if boxes.shape.rank != 3 or boxes.shape[2] not in (4, None):
        raise ValueError(f"{op}: boxes must be [B, R, 4], got {boxes.shape}")
    if boxes.shape[2] is None:
        boxes = tf.ensure_shape(boxes, [None, None, 4])
    if not features.shape[:1].is_compatible_with(boxes.shape[:1]):
        raise ValueError(f"{op}: {boxes.shape[0]} images in boxes, {features.shape[0]} in features")
    return MapAndBoxes(features, boxes)


class LevelsAndBoxes(NamedTuple):
    """Checked feature maps of several levels and their boxes."""

    features: list[tf.Tensor]  # [B, h_l, w_l, C] of one dtype, as given
    boxes: tf.Tensor  # [B, R, 4] float32 without gradient


def checked_maps(op: str, features: Sequence[Any], boxes: Any, strides: Sequence[float]) -> LevelsAndBoxes:
    """Converts the features of all levels, and boxes, to tensors.

    Raises:
        ValueError: no sequence, no levels or another number of strides, something that ``checked_map``
            refuses, or levels of several numbers of channels or types.
    """
    for name, value in (("features", features), ("strides", strides)):
        if not isinstance(value, Sequence):
            got = f"one of shape {value.shape}" if hasattr(value, "shape") else repr(value)
            raise ValueError(f"{op}: {name} must be a list, one for each level, got {got}")
    if not features or len(strides) != len(features):
        raise ValueError(
            f"{op}: needs one or more levels and as many strides, got {len(features)} and {len(strides)}"
        )
    checked = [checked_map(op, one, boxes, stride) for one, stride in zip(features, strides, strict=True)]
    maps = [one.features for one in checked]
    first = maps[0]
    for one in maps:
        if one.dtype != first.dtype or not one.shape[3:].is_compatible_with(first.shape[3:]):
            raise ValueError(
                f"{op}: levels must agree in channels and dtype, got "
                f"{first.dtype.name} {first.shape} and {one.dtype.name} {one.shape}"
            )
    return LevelsAndBoxes(maps, checked[0].boxes)


def checked_size(op: str, output_size: int | Sequence[int]) -> tuple[int, int]:
    """(height, width) in bins; ValueError unless both are positive."""
    size = tuple(output_size) if isinstance(output_size, Sequence) else (output_size, output_size)
    if len(size) != 2 or not all(isinstance(cells, Integral) and cells >= 1 for cells in size):
        raise ValueError(f"{op}: output_size must be one or two positive integers, got {output_size!r}")
    return int(size[0]), int(size[1])


def check_pad_ratio(op: str, pad_ratio: float, name: str = "pad_ratio") -> None:
    """Raises ValueError for a share that is negative or not finite."""
    if not (math.isfinite(pad_ratio) and pad_ratio >= 0):
        raise ValueError(f"{op}: {name} must be 0 or a positive share, got {pad_ratio}")


def checked_levels(op: str, levels: Any, boxes: tf.Tensor) -> tf.Tensor:
    """[B, R] int32 index of each box's level; ValueError where it has not the shape of the boxes."""
    levels = tf.cast(levels, tf.int32)
    if not levels.shape.is_compatible_with(boxes.shape[:2]):
        raise ValueError(f"{op}: levels must be [B, R] as boxes {boxes.shape}, got {levels.shape}")
    return levels


def boxes_on_maps(
    op: str,
    boxes: tf.Tensor,
    shapes: Sequence[tf.Tensor],
    levels: tf.Tensor | None = None,
    map_sizes: tf.Tensor | None = None,
) -> tf.Tensor:
    """The boxes for a twin; a running graph compares them with the maps and levels, as the C++ op does."""
    if not library.checks_sizes():
        return boxes
    maps = tf.stack(shapes)
    shape, sizes, wanted = tf.shape(boxes), [maps[:, 0]], [0] * len(shapes)
    if levels is not None:
        sizes.append(tf.shape(levels))
        wanted += [0, 1]
    if map_sizes is not None:
        sizes.append(tf.shape(map_sizes)[:1])
        wanted.append(0)
    got = tf.concat(sizes, axis=0)
    fits = tf.reduce_all(tf.equal(tf.gather(shape, wanted), got)) & tf.reduce_all(maps[:, 1:] > 0)
    fits &= tf.reduce_all(tf.equal(maps[:, 3], maps[0, 3]))
    message = (
        f"{op}: boxes must be [B, R, 4] with B of all features and map sizes, [B, R] of levels, and features "
        "[B, h, w, C] with h, w, C >= 1 and one C, got"
    )
    return after_check(boxes, fits, message, shape, got, "and features", maps)
