"""Encoded images to pixels, with core TensorFlow ops alone.

Training, prediction from files and the exported model decode with the same function, so that all of them see
the same pixels.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from cascade_tf.ops.file_bytes import first_bytes, first_number
from cascade_tf.ops.orientation import orientation_of, turn_upright
from cascade_tf.structures import Tensor

# BITMAPFILEHEADER (14 bytes) and BITMAPINFOHEADER (40 bytes).
_BMP_HEADER = 54
_BMP_FILE_HEADER = 14
_UINT32 = [1, 256, 256**2, 256**3]
# Of a PNG's first bytes: what it is told by, its width and its height.
_PNG_HEAD = 24
_PNG_KEY = int.from_bytes(b"\x89PNG", "big")
_PNG_WEIGHTS = np.zeros([_PNG_HEAD, 3], np.int64)
for _column, _place in enumerate((0, 16, 20)):
    _PNG_WEIGHTS[_place : _place + 4, _column] = _UINT32[::-1]


def decode_image(content: Tensor, *, upright: bool = True, max_pixels: int | None = None) -> Tensor:
    """Decodes a JPEG, PNG, GIF (its first frame), BMP or WebP (without alpha and animation).

    Grey images are repeated over the three channels, palettes are looked up, alpha is dropped, of 16 bits the
    upper eight remain.

    Args:
        content: string scalar, the bytes of the file.
        upright: turns the image as its EXIF orientation says; without it the pixels stay as they are stored.
        max_pixels: refuses larger images: JPEG and PNG, of which a small file may hold very many pixels,
            before they are decoded, others before anything else is done with them. None: no limit.

    Returns:
        [H, W, 3] uint8 RGB.

    Raises:
        tf.errors.InvalidArgumentError: unknown format, truncated or broken data, or too many pixels. A broken
            EXIF is ignored.
    """
    if max_pixels is None:
        image = _decode(content)
    else:
        image = _decode(_if_small(content, _pixels_in_header(content), max_pixels))
        image = _if_small(image, tf.reduce_prod(tf.shape(image, tf.int64)[:2]), max_pixels)
    return turn_upright(image, orientation_of(content)) if upright else image


def _if_small(value: Tensor, pixels: Tensor, most: int) -> Tensor:
    """The value, where the image has no more pixels than that."""
    data = ["image: got", pixels, "pixels, expected at most", most]
    with tf.control_dependencies([tf.raw_ops.Assert(condition=pixels <= most, data=data)]):
        return tf.identity(value)


def _pixels_in_header(content: Tensor) -> Tensor:
    """int64 scalar, what the header of a JPEG or PNG promises; 0 for other files."""

    def of_png() -> Tensor:
        head = tf.cast(first_bytes(content, _PNG_HEAD), tf.int64)
        key, width, height = tf.unstack(tf.einsum("i,ij->j", head, _PNG_WEIGHTS))
        return tf.where(tf.equal(key, _PNG_KEY), width * height, 0)

    def of_jpeg() -> Tensor:
        return tf.reduce_prod(tf.cast(tf.image.extract_jpeg_shape(content)[:2], tf.int64))

    return tf.cond(tf.io.is_jpeg(content), of_jpeg, of_png)


def _decode(content: Tensor) -> Tensor:
    # Two JPEG decoders may differ by several grey levels. This method gives Pillow's pixels, which the
    # networks of the public model zoos were trained on; `decode_image` has a coarser one.
    image = tf.cond(
        tf.io.is_jpeg(content),
        lambda: tf.io.decode_jpeg(content, channels=3, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_image(content, channels=3, expand_animations=False),
    )
    image.set_shape([None, None, 3])
    header = tf.strings.substr(content, 0, _BMP_HEADER)
    # The decoder takes the indices of an 8-bit BMP for grey levels.
    is_indexed = tf.strings.regex_full_match(header, r"BM\C{26}\x08\x00\C*")
    return tf.cond(is_indexed, lambda: _look_up_palette(content, header, image[..., 0]), lambda: image)


def _look_up_palette(content: Tensor, header: Tensor, indices: Tensor) -> Tensor:
    start = _BMP_FILE_HEADER + first_number(tf.strings.substr(header, 14, 4), _UINT32)
    stop = first_number(tf.strings.substr(header, 10, 4), _UINT32)
    entries = tf.io.decode_raw(tf.strings.substr(content, start, stop - start), tf.uint8)
    colours = tf.reverse(tf.reshape(entries, [-1, 4])[:, :3], axis=[1])
    return tf.gather(colours, tf.cast(indices, tf.int32))
