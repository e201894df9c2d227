"""Encoded images to pixels, with core TensorFlow ops alone.

Training, prediction from files and the exported model decode with the same function, so that all of them see
the same pixels.
"""

from __future__ import annotations

import tensorflow as tf

from cascade_tf.ops.file_bytes import first_number
from cascade_tf.ops.orientation import orientation_of, turn_upright
from cascade_tf.structures import Tensor

# BITMAPFILEHEADER (14 bytes) and BITMAPINFOHEADER (40 bytes).
_BMP_HEADER = 54
_BMP_FILE_HEADER = 14
_UINT32 = [1, 256, 256**2, 256**3]


def decode_image(content: Tensor, *, upright: bool = True) -> Tensor:
    """Decodes a JPEG, PNG, GIF (its first frame), BMP or WebP (without alpha and animation).

    Grey images are repeated over the three channels, palettes are looked up, alpha is dropped, of 16 bits the
    upper eight remain.

    Args:
        content: string scalar, the bytes of the file.
        upright: turns the image as its EXIF orientation says; without it the pixels stay as they are stored.

    Returns:
        [H, W, 3] uint8 RGB.

    Raises:
        tf.errors.InvalidArgumentError: unknown format, truncated or broken data. A broken EXIF is ignored.
    """
    image = _decode(content)
    return turn_upright(image, orientation_of(content)) if upright else image


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
