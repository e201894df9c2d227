"""Encoded images to pixels, with core TensorFlow ops alone.

Training, prediction from files and the exported model decode with the same function, so that all of them see
the same pixels.
"""

from __future__ import annotations

import tensorflow as tf

from cascade_tf.structures import Tensor

# BITMAPFILEHEADER (14 bytes) and BITMAPINFOHEADER (40 bytes).
_BMP_HEADER = 54
_BMP_FILE_HEADER = 14


def decode_image(content: Tensor) -> Tensor:
    """Decodes a JPEG, PNG, GIF (its first frame) or BMP.

    Grey images are repeated over the three channels, palettes are looked up, alpha is dropped, of 16 bits the
    upper eight remain. An EXIF orientation is ignored: boxes refer to the pixels as they are stored.

    Args:
        content: string scalar, the bytes of the file.

    Returns:
        [H, W, 3] uint8 RGB.

    Raises:
        tf.errors.InvalidArgumentError: unknown format, truncated or broken data.
    """
    # Two JPEG decoders may differ by several grey levels. This method gives Pillow's pixels, which the
    # networks of the public model zoos were trained on; `decode_image` has a coarser one.
    image = tf.cond(
        tf.io.is_jpeg(content),
        lambda: tf.io.decode_jpeg(content, channels=3, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_image(content, channels=3, expand_animations=False),
    )
    image.set_shape([None, None, 3])
    header = tf.io.decode_raw(tf.strings.substr(content, 0, _BMP_HEADER), tf.uint8)
    header = tf.pad(header, [[0, _BMP_HEADER - tf.size(header)]])
    is_bmp = tf.reduce_all(header[:2] == tf.constant(list(b"BM"), tf.uint8))
    bits = _little_endian(header[28:30])
    # The decoder takes the indices of an 8-bit BMP for grey levels.
    return tf.cond(
        is_bmp & (bits == 8), lambda: _look_up_palette(content, header, image[..., 0]), lambda: image
    )


def _look_up_palette(content: Tensor, header: Tensor, indices: Tensor) -> Tensor:
    start = _BMP_FILE_HEADER + _little_endian(header[14:18])
    stop = _little_endian(header[10:14])
    entries = tf.io.decode_raw(tf.strings.substr(content, start, stop - start), tf.uint8)
    colours = tf.reverse(tf.reshape(entries, [-1, 4])[:, :3], axis=[1])
    return tf.gather(colours, tf.cast(indices, tf.int32))


def _little_endian(value: Tensor) -> Tensor:
    return tf.reduce_sum(tf.bitwise.left_shift(tf.cast(value, tf.int32), 8 * tf.range(tf.size(value))))
