"""Objects' pixels from polygons and run lengths, as packed masks, without Python.

There is no twin of core TensorFlow ops: masks are drawn for training alone, on the host, and never in an
exported model. Where the C++ ops cannot be had, `cascade_tf.data.masks.MaskDrawer` draws the same pixels with
pycocotools.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from cascade_tf.ops import library
from cascade_tf.structures import Tensor


class Outlines(NamedTuple):
    """The n objects of an image; one with neither polygons nor runs has no pixels.

    Attributes:
        corners: [*, 2] float64 (x, y), the corners of all polygons one after the other, pixels of the image.
        polygon_corners: int32, how many of the corners each polygon has.
        object_polygons: [n] int32, how many of the polygons each object has.
        runs: int32, the run lengths of all objects one after the other, each object's down the columns of
            the image and the first one outside the object.
        object_runs: [n] int32, how many of the runs each object has.
    """

    corners: Tensor
    polygon_corners: Tensor
    object_polygons: Tensor
    runs: Tensor
    object_runs: Tensor


def draw_masks(
    outlines: Outlines,
    original_size: tuple[Tensor, Tensor],
    size: tuple[Tensor, Tensor],
    flip: Tensor,
    frame: Tensor,
) -> tuple[Tensor, Tensor]:
    """Draws an image's objects as the network sees them: scaled, then mirrored. Runs on the CPU.

    Polygons are drawn at the result's scale and cover the pixels that pycocotools says; the pixels of run
    lengths are those of the nearest pixel of the original.

    Args:
        outlines: the objects.
        original_size: (height, width) of the image that they describe, int32 scalars.
        size: (height, width) of the image as the network sees it, int32 scalars.
        flip: mirror left and right, bool scalar.
        frame: [2] int32 (height, width) of the image with its padding.

    Returns:
        [max(n, 1), H, ceil(W / 8)] uint8 packed masks for the frame; and [n] bool, False for an object with
        polygons or runs of which no pixel is set.

    Raises:
        LibraryError: there are no C++ ops.
        tf.errors.InvalidArgumentError: counts that do not add up, a frame smaller than the image, runs that
            do not cover the original, a corner that is not finite or beyond 2**27 pixels, a polygon of less
            than 3 corners, or an object with polygons and runs.
    """
    custom = library.load()
    with tf.device("CPU:0"):
        masks, drawn = custom.cascade_tf_draw_masks(
            **outlines._asdict(),
            original_size=tf.cast(tf.stack(original_size), tf.int32),
            size=tf.cast(tf.stack(size), tf.int32),
            flip=flip,
            frame=frame,
        )
    return masks, drawn


tf.no_gradient("CascadeTf>DrawMasks")
