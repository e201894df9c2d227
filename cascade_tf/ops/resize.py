"""Image geometry of the network's input: size rule, antialiased resize, padding.

Only core TensorFlow ops, so that training, prediction and an exported model share one implementation.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

RESIZES = ("shorter_side", "both_sides", "none")
"""The rules of `network_size`."""


def shortest_edge_size(
    height: Any, width: Any, short_side: Any, max_side: Any, multiple: int | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Size at which the shorter side is ``short_side``, unless the longer one would exceed ``max_side``.

    The aspect ratio is kept; each side is rounded half up, detectron2's ``int(x + 0.5)``. With ``multiple``
    it changes a little: each side is limited by itself, and rounded to a multiple.

    Args:
        height: image height in pixels, integer scalar (Python or tensor).
        width: image width in pixels, integer scalar.
        short_side: wanted length of the shorter side in pixels, integer scalar.
        max_side: limit of the longer side in pixels, integer scalar.
        multiple: what both sides are a multiple of, as in the authors' Caffe code at test; None: of nothing.

    Returns:
        (height, width), int32 scalars of at least 1, or of at least ``multiple``.
    """
    # float64: the rule is defined on Python floats, and float32 rounds some sizes to the other side of .5.
    height, width = tf.cast(height, tf.float64), tf.cast(width, tf.float64)
    short, limit = tf.cast(short_side, tf.float64), tf.cast(max_side, tf.float64)
    scale = short / tf.minimum(height, width)
    new_height = tf.where(height < width, short, scale * height)
    new_width = tf.where(height < width, scale * width, short)
    if multiple is not None:
        return _rounded((tf.minimum(new_height, limit), tf.minimum(new_width, limit)), multiple)
    longest = tf.maximum(new_height, new_width)
    shrink = tf.where(longest > limit, limit / longest, tf.ones_like(longest))

    def to_pixels(side):
        return tf.maximum(tf.cast(tf.floor(side * shrink + 0.5), tf.int32), 1)

    return to_pixels(new_height), to_pixels(new_width)


def network_size(
    height: Any,
    width: Any,
    short_side: Any,
    max_side: Any,
    multiple: int | None = None,
    resize: str = "shorter_side",
) -> tuple[tf.Tensor, tf.Tensor]:
    """Size at which a network sees an image.

    Args:
        height: image height in pixels, integers of any shape (Python or tensor).
        width: image width in pixels, likewise.
        short_side: length of the shorter side in pixels, integer scalar.
        max_side: of the longer side, likewise.
        multiple: as in `shortest_edge_size`.
        resize: "shorter_side" is `shortest_edge_size`; "both_sides" makes the shorter side ``short_side`` and
            the longer one ``max_side``, whatever becomes of the aspect ratio; "none" leaves the size as it
            is, unless the longer side exceeds ``max_side``: then both shrink. With ``multiple`` both sides
            are rounded before they are compared with the limit, and once more where they shrink.

    Returns:
        (height, width), int32 as in `shortest_edge_size`.
    """
    if resize not in RESIZES:
        raise ValueError(f"resize: got {resize!r}, expected one of {', '.join(RESIZES)}")
    if resize == "shorter_side":
        return shortest_edge_size(height, width, short_side, max_side, multiple)
    if resize == "both_sides":
        is_wide = tf.convert_to_tensor(height) <= tf.convert_to_tensor(width)
        short, long = tf.cast(short_side, tf.int32), tf.cast(max_side, tf.int32)
        size = tf.where(is_wide, short, long), tf.where(is_wide, long, short)
        return size if multiple is None else _rounded(size, multiple)
    if multiple is None:
        return shortest_edge_size(height, width, tf.minimum(height, width), max_side)
    sides = tf.cast(tf.stack(_rounded((height, width), multiple)), tf.float64)
    limit = tf.cast(max_side, tf.float64)
    return _rounded(tf.unstack(sides * tf.minimum(limit / tf.reduce_max(sides, axis=0), 1.0)), multiple)


def _rounded(sides: Any, multiple: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Both sides as multiples, at least one."""
    counts = tf.floor(tf.cast(tf.stack(sides), tf.float64) / multiple + 0.5)
    found = multiple * tf.maximum(tf.cast(counts, tf.int32), 1)
    return found[0], found[1]


def resize_image(image: Any, size: Any) -> tf.Tensor:
    """Resizes one image with an antialiased bilinear filter, as Pillow does.

    The values are rounded to integers, because networks of the public model zoos were trained on uint8
    images.

    Args:
        image: [H, W, 3] (or [B, H, W, 3]) uint8 or float in 0..255.
        size: (height, width) of the result in pixels, integers or int32 tensor.

    Returns:
        float32 image of that size, whole numbers in 0..255.
    """
    resized = tf.image.resize(tf.cast(image, tf.float32), size, method="bilinear", antialias=True)
    return tf.clip_by_value(tf.floor(resized + 0.5), 0.0, 255.0)


def resize_part(image: Any, size: Any, start: Any, part: Any) -> tf.Tensor:
    """A part of what `resize_image` gives, without making the rest.

    Equal but for float32's rounding, by which a value can come out as one more or less.

    Args:
        image: [H, W, 3] uint8 or float in 0..255.
        size: (height, width) of the whole result in pixels, integers or int32 tensor.
        start: (row, column) of the part's first pixel in it, likewise.
        part: (height, width) of the part, likewise.

    Returns:
        float32 image of the part's size, whole numbers in 0..255.
    """
    found = tf.cast(tf.shape(image)[:2], tf.float64)
    scale = tf.cast(tf.stack(size), tf.float64) / found
    start, part = tf.cast(tf.stack(start), tf.float64), tf.cast(tf.stack(part), tf.int32)
    # What the filter reaches, and a pixel more for the rounding.
    reach = tf.maximum(1.0 / scale, 1.0) + 1.0
    first = tf.maximum(tf.floor(start / scale - reach), 0.0)
    last = tf.minimum(tf.math.ceil((start + tf.cast(part, tf.float64)) / scale + reach), found)
    low, high = tf.unstack(tf.cast(first, tf.int32)), tf.unstack(tf.cast(last, tf.int32))
    source = tf.cast(image[low[0] : high[0], low[1] : high[1]], tf.float32)
    resized = tf.raw_ops.ScaleAndTranslate(
        images=source[None],
        size=part,
        scale=tf.cast(scale, tf.float32),
        translation=tf.cast(first * scale - start, tf.float32),
        kernel_type="triangle",
        antialias=True,
    )[0]
    return tf.clip_by_value(tf.floor(resized + 0.5), 0.0, 255.0)


def pad_images(images: Any, multiple: int = 32) -> tf.Tensor:
    """Pads with zeros at the right and the bottom until both sides are multiples of ``multiple``.

    Args:
        images: [..., H, W, C] tensor.
        multiple: positive divisor of the padded sides, the coarsest stride of the network.

    Returns:
        [..., H', W', C] tensor of the same dtype.

    Raises:
        ValueError: ``multiple`` is not positive.
    """
    if multiple < 1:
        raise ValueError(f"pad_images: multiple must be at least 1, got {multiple}")
    images = tf.convert_to_tensor(images)
    rank = images.shape.rank
    bottom_right = tf.math.floormod(-tf.shape(images)[rank - 3 : rank - 1], multiple)
    after = tf.concat([tf.zeros([rank - 3], tf.int32), bottom_right, [0]], axis=0)
    return tf.pad(images, tf.stack([tf.zeros_like(after), after], axis=1))
