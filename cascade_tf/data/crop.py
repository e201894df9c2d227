"""Cuts images that are too long around one of their objects, as the authors' Caffe nets train.

What is cut off are pixels alone: boxes keep their size, and an object whose centre is cut off is neither
learnt nor punished.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from cascade_tf.ops.resize import pad_images, resize_part
from cascade_tf.ops.resize_and_pad import resize_and_pad
from cascade_tf.structures import Tensor

# The window's centre lies so many pixels beside the object's, on each axis, at most.
SHIFT = 10
# A side of so many windows is too much to make for one of them.
_LONG = 4
# No other purpose draws from an example's seed with this number.
_STREAM = 72


class Window(NamedTuple):
    """A part of an image, int32 scalars in pixels.

    Attributes:
        top: first row.
        left: first column.
        height: number of rows.
        width: number of columns.
    """

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor


def choose_window(
    boxes: Tensor,
    is_object: Tensor,
    size: tuple[Tensor, Tensor],
    limits: int | tuple[int, int],
    seed: Tensor,
) -> Window:
    """Draws the part of an image that stays: around a random object, or anywhere where there is none.

    Args:
        boxes: [n, 4] float32 in the image.
        is_object: [n] bool, the boxes to choose from.
        size: (height, width) of the image, int32 scalars.
        limits: height and width of the window, or both in one number, pixels; a side of the image that is not
            longer stays whole.
        seed: [2] int32; the result is a pure function of it.
    """
    draw = _draws(seed)
    whole = tf.cast(tf.stack(size), tf.float32)
    window = tf.minimum(whole, tf.constant(limits, tf.float32))
    room = whole - window
    boxes = tf.boolean_mask(boxes, is_object)
    count = tf.shape(boxes)[0]
    # An image without objects gets a box of its own, so that one formula holds for all.
    anywhere = tf.floor(draw[1:3] * (room + 1.0)) + window / 2.0
    centres = tf.concat([(boxes[:, 1::-1] + boxes[:, 3:1:-1]) / 2.0, anywhere[None]], axis=0)
    centre = centres[_drawn_object(draw, count)]
    shift = tf.floor(draw[3:5] * (2 * SHIFT)) - SHIFT
    start = tf.floor(centre + 0.5) + shift - tf.floor(window / 2.0 + 0.5)
    start = tf.cast(tf.clip_by_value(start, 0.0, room), tf.int32)
    window = tf.cast(window, tf.int32)
    return Window(start[0], start[1], window[0], window[1])


def object_of_window(is_object: Tensor, seed: Tensor) -> Tensor:
    """The object around which `choose_window` cuts, an int32 scalar; where there is none, 0 as for one."""
    candidates = tf.where(is_object)[:, 0]
    number = _drawn_object(_draws(seed), tf.shape(candidates)[0])
    return tf.cast(tf.concat([candidates, [0]], axis=0)[number], tf.int32)


def _draws(seed: Tensor) -> Tensor:
    """[5] float32 in 0..1: which object, where without one (2), and how far from its centre (2)."""
    return tf.random.stateless_uniform([5], tf.random.experimental.stateless_fold_in(seed, _STREAM))


def _drawn_object(draw: Tensor, count: Tensor) -> Tensor:
    return tf.cast(draw[0] * tf.cast(tf.maximum(count, 1), tf.float32), tf.int32)


def resize_window(
    image: Tensor, size: tuple[Tensor, Tensor], window: Window, *, flip: Tensor, multiple: int
) -> Tensor:
    """The window of the resized and mirrored image, padded.

    Of an image that is much longer than the window, what is cut off is never made.

    Args:
        image: [H, W, 3] uint8.
        size: (height, width) of the whole resized image, int32 scalars.
        window: the part of it that stays.
        flip: mirror left and right, bool scalar.
        multiple: as in ``resize_and_pad``.

    Returns:
        [H', W', 3] uint8.
    """
    rows, columns = window.top + window.height, window.left + window.width

    def of_whole() -> Tensor:
        resized = resize_and_pad(image, size, flip=flip, multiple=1)
        return pad_images(resized[window.top : rows, window.left : columns], multiple)

    def alone() -> Tensor:
        left = tf.where(flip, size[1] - columns, window.left)
        part = resize_part(image, size, (window.top, left), (window.height, window.width))
        part = tf.cast(part, tf.uint8)
        return pad_images(tf.cond(flip, lambda: tf.reverse(part, [1]), lambda: part), multiple)

    # Per pixel the op for whole images is several times as fast.
    is_long = (size[0] > _LONG * window.height) | (size[1] > _LONG * window.width)
    return tf.cond(is_long, alone, of_whole)


def cut_boxes(boxes: Tensor, window: Window) -> tuple[Tensor, Tensor]:
    """Boxes in the frame of the window.

    Args:
        boxes: [n, 4] float32 in the image.
        window: the part that stays.

    Returns:
        [n, 4] float32, which may stick out, and [n] bool, whether the window has a box's centre.
    """
    corner = tf.cast(tf.stack([window.left, window.top]), tf.float32)
    boxes = boxes - tf.tile(corner, [2])
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2.0
    limit = tf.cast(tf.stack([window.width, window.height]), tf.float32)
    return boxes, tf.reduce_all((centres >= 0.0) & (centres < limit), axis=1)


def cut_masks(masks: Tensor, intact: Tensor, window: Window, frame: Tensor) -> tuple[Tensor, Tensor]:
    """Masks in the frame of the window.

    Args:
        masks: [max(n, 1), H, ceil(W / 8)] uint8, packed as in ``InstanceTargets``.
        intact: [n] bool, objects that have a mask.
        window: the part that stays.
        frame: [2] int32 (height, width) of the window with its padding.

    Returns:
        [max(n, 1), frame height, ceil(frame width / 8)] uint8, and [n] bool, objects that have a mask of
        which a pixel is in the window.
    """
    count, rows = tf.shape(masks)[0], window.height
    bits = tf.range(7, -1, -1)
    masks = tf.cast(masks[:, window.top : window.top + rows], tf.int32)
    pixels = tf.bitwise.bitwise_and(tf.bitwise.right_shift(masks[..., None], bits), 1)
    pixels = tf.reshape(pixels, [count, rows, -1])[:, :, window.left : window.left + window.width]
    columns = -(-frame[1] // 8)
    pixels = tf.pad(pixels, [[0, 0], [0, frame[0] - rows], [0, 8 * columns - window.width]])
    pixels = tf.reshape(pixels, [count, frame[0], columns, 8])
    masks = tf.cast(tf.reduce_sum(tf.bitwise.left_shift(pixels, bits), axis=-1), tf.uint8)
    seen = tf.reduce_any(masks > 0, axis=[1, 2])
    return masks, intact & seen[: tf.shape(intact)[0]]
