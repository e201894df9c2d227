"""A decoded image to the network's frame in one pass: resized, mirrored, padded.

This is what a training pipeline does with each image, and it runs on the host. The C++ op makes each row of
the result at once; `resize_image`, its twin, writes the whole image as float32 in between.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from cascade_tf.ops import library
from cascade_tf.ops.resize import pad_images, resize_image
from cascade_tf.structures import Tensor


def resize_and_pad(
    image: Any, size: Any, *, flip: Any = False, multiple: int = 32, implementation: str = "auto"
) -> Tensor:
    """Resizes an image as `resize_image` does, mirrors it, and pads it as `pad_images` does.

    Runs on the CPU, beside a GPU too: images come from files.

    Args:
        image: [H, W, 3] uint8.
        size: (height, width) of the resized image in pixels, integers or int32 tensor, at least 1.
        flip: mirror left and right, bool scalar.
        multiple: both sides are padded with zeros, right and below, to a multiple of this.
        implementation: "auto", "custom" (C++) or "tensorflow"; their pixels are equal.

    Returns:
        [H', W', 3] uint8.

    Raises:
        ValueError: an argument has another shape, ``multiple`` is not positive, or the implementation is
            unknown.
        TypeError: the image is not uint8.
        tf.errors.InvalidArgumentError: the image is empty or a side of ``size`` is below 1.
    """
    if multiple < 1:
        raise ValueError(f"resize_and_pad: multiple must be at least 1, got {multiple}")
    custom = library.custom_ops(implementation, on_host=True)
    library.refuse_xla("resize_and_pad")
    with tf.device("CPU:0"):
        image = tf.convert_to_tensor(image)
        if image.dtype != tf.uint8:
            raise TypeError(f"resize_and_pad: image must be uint8, got {image.dtype.name}")
        if not image.shape.is_compatible_with([None, None, 3]):
            raise ValueError(f"resize_and_pad: image must be [H, W, 3], got {image.shape}")
        size, flip = tf.cast(tf.stack(size), tf.int32), tf.cast(flip, tf.bool)
        for name, value, expected in (("size", size, [2]), ("flip", flip, [])):
            if not value.shape.is_compatible_with(expected):
                raise ValueError(f"resize_and_pad: {name} must have the shape {expected}, got {value.shape}")
        if custom is not None:
            return custom.cascade_tf_resize_and_pad(image=image, size=size, flip=flip, multiple=multiple)
        resized = tf.cast(resize_image(image, size), tf.uint8)
        mirrored = tf.cond(flip, lambda: tf.reverse(resized, [1]), lambda: resized)
        return tf.ensure_shape(pad_images(mirrored, multiple), [None, None, 3])


tf.no_gradient("CascadeTf>ResizeAndPad")
