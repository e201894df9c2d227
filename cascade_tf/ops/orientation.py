"""Photos upright: the EXIF orientation of an encoded picture, and the turn that it asks for.

Cameras store the pixels as the sensor lay and write beside them how to turn them. Viewers and labelling tools
turn, so boxes refer to the upright picture. Everything is core ops, since an exported model does the same.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from cascade_tf.ops.file_bytes import first_bytes, first_number
from cascade_tf.structures import Tensor

# A file is a chain of blocks: JPEG's segments, the chunks of PNG and WebP. What differs between the formats
# is a row of these tables. Row 0 is every other file, which is not walked along.
_JPEG, _PNG, _WEBP = 1, 2, 3
_FORMAT_OF_FIRST_BYTE = np.zeros(256, np.int32)
_FORMAT_OF_FIRST_BYTE[[0xFF, 0x89, ord("R")]] = _JPEG, _PNG, _WEBP
# A block's head is this many bytes at most.
_HEAD = 10
_NEVER = -1
_START_OF_SCAN = 0xFFDA
_FILLED = 0xFFFF
# Damaged files may be chains of empty blocks.
_MOST_BLOCKS = 20_000


def _number(content: bytes) -> int:
    return int.from_bytes(content, "big")


# Columns: the first block's place, what a block adds to the length that it gives, the evenness of its place
# (a mask), the key of a block with EXIF, the bytes before its content.
_FORMATS = np.array(
    [
        (2**62, 0, -1, _NEVER, 0),
        (2, 2, -1, _number(b"\xe1Exif\0\0"), 4),
        (8, 12, -1, _number(b"eXIf"), 8),
        (12, 9, -2, _number(b"EXIF"), 8),
    ],
    np.int64,
)


def _weights(length: str, key: str, marker: str = "") -> np.ndarray:
    """Which bytes of a head make the length, the key and the marker; a letter is a byte, "a" the first."""
    table = np.zeros((_HEAD, 3), np.int64)
    for column, letters in enumerate((length, key, marker)):
        for power, letter in enumerate(reversed(letters)):
            table[ord(letter) - ord("a"), column] = 256**power
    return table


_HEADS = np.stack(
    [_weights("", ""), _weights("cd", "befghij", "ab"), _weights("abcd", "efgh"), _weights("hgfe", "abcd")]
)

# TIFF's two orders of bytes, little endian first: the offset of the directory, and its number of entries.
_OFFSETS = np.array([[256**i for i in range(4)], [256 ** (3 - i) for i in range(4)]], np.int64)
_COUNTS = np.array([[1, 256], [256, 1]], np.int64)
_ENTRY = 12
# Order of bytes, number of entries, entries of 12 bytes up to the one with tag 0x0112, one number of 16 bits.
_ORIENTATION = (
    r"^(?:II\*\x00\C\C(?:\C{12})*?\x12\x01\x03\x00\x01\x00\x00\x00([\x01-\x08])\x00\C*"
    r"|MM\x00\*\C\C(?:\C{12})*?\x01\x12\x00\x03\x00\x00\x00\x01\x00([\x01-\x08])\C*"
    r"|\C*)$"
)

# For each orientation: which axes are mirrored, after those from 5 on are swapped.
_MIRRORED = np.array([(v in (3, 4, 7, 8), v in (2, 3, 6, 7), False) for v in range(9)])


def orientation_of(content: Tensor) -> Tensor:
    """Reads the EXIF orientation of a JPEG, PNG or WebP.

    It never fails: without EXIF, with a broken one and in other formats the picture counts as upright. Only
    the first directory counts, in which the entry has to be as the standard says: one number of 16 bits.

    Args:
        content: string scalar, the bytes of the file.

    Returns:
        int32 scalar: 1..8, or 0 where there is none. Both 0 and 1 are upright; 5..8 swap height and width.
    """
    tiff = _exif_block(content)
    size = tf.strings.length(tiff)
    zero, two, four = tf.constant(0), tf.constant(2), tf.constant(4)
    order = tf.strings.substr(tiff, zero, four)
    big_endian = tf.cast(order == b"MM\0*", tf.int32)
    offset = first_number(
        tf.strings.substr(tiff, tf.minimum(four, size), four), tf.gather(_OFFSETS, big_endian)
    )
    offset = tf.cast(tf.minimum(offset, tf.cast(size, tf.int64)), tf.int32)
    count = first_number(tf.strings.substr(tiff, offset, two), tf.gather(_COUNTS, big_endian))
    directory = tf.strings.substr(tiff, offset, two + _ENTRY * tf.cast(count, tf.int32))
    value = tf.strings.regex_replace(tf.strings.join([order, directory]), _ORIENTATION, r"\1\2", False)
    return tf.cast(first_bytes(value, 1), tf.int32)[0]


def turn_upright(image: Tensor, orientation: Tensor) -> Tensor:
    """Turns and mirrors an image as its EXIF orientation asks for.

    Args:
        image: [H, W, C] of any type.
        orientation: int32 scalar in 0..8, as `orientation_of` gives it.

    Returns:
        [H, W, C], or [W, H, C] for 5..8.
    """

    def turn() -> Tensor:
        # The axes that are mirrored are a tensor here, which `tf.reverse` takes as numbers only.
        turned = tf.cond(orientation > 4, lambda: _swap_axes(image), lambda: image)
        return tf.raw_ops.Reverse(tensor=turned, dims=tf.gather(_MIRRORED, orientation))

    upright = tf.cond(orientation > 1, turn, lambda: image)
    upright.set_shape([None, None, image.shape[-1]])
    return upright


def _swap_axes(image: Tensor) -> Tensor:
    """[H, W, C] to [W, H, C]; of a transpose of bytes oneDNN says that it has none, as an error."""
    height, width, channels = tf.unstack(tf.shape(image))
    places = tf.range(height)[None] * width + tf.range(width)[:, None]
    return tf.gather(tf.reshape(image, [height * width, channels]), places)


def upright_size(height: Tensor, width: Tensor, orientation: Tensor) -> tuple[Tensor, Tensor]:
    """The (height, width) of an image of the given stored size after `turn_upright`."""
    swapped = orientation > 4
    return tf.where(swapped, width, height), tf.where(swapped, height, width)


def _exif_block(content: Tensor) -> Tensor:
    """The TIFF structure of a file's EXIF, or what a damaged file has in its place; empty without EXIF."""
    size = tf.cast(tf.strings.length(content), tf.int64)
    zero, head_size = tf.constant(0, tf.int64), tf.constant(_HEAD, tf.int64)
    one = tf.constant(1, tf.int64)
    kind = tf.gather(_FORMAT_OF_FIRST_BYTE, first_number(tf.strings.substr(content, zero, one), [1]))
    start, extra, even, wanted, skipped = tf.unstack(tf.gather(_FORMATS, kind))
    weights = tf.gather(_HEADS, kind)

    def is_between(place: Tensor, following: Tensor, goes_on: Tensor) -> Tensor:
        return goes_on & (following < size)

    def step(place: Tensor, following: Tensor, goes_on: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        head = tf.cast(first_bytes(tf.strings.substr(content, following, head_size), _HEAD), tf.int64)
        length, key, marker = tf.unstack(tf.einsum("i,ij->j", head, weights))
        # Any number of 0xFF may stand before a marker of JPEG.
        advance = tf.where(tf.equal(marker, _FILLED), one, (length + extra) & even)
        goes_on = tf.not_equal(key, wanted) & tf.not_equal(marker, _START_OF_SCAN)
        return following, following + advance, goes_on

    # `place` is the block that was looked at last, and at the end the one with EXIF, if there is one.
    place, following, goes_on = tf.while_loop(
        is_between, step, (zero, start, tf.constant(True)), maximum_iterations=_MOST_BLOCKS
    )
    place = tf.minimum(place + skipped, size)
    length = tf.where(goes_on, zero, following - place)
    # Some writers repeat JPEG's signature in PNG and WebP.
    return tf.strings.regex_replace(
        tf.strings.substr(content, place, length), r"^(?:Exif\x00\x00){1,2}", "", False
    )
