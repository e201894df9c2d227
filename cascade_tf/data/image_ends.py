"""Whether a file that Pillow has opened holds all of its picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from PIL import Image

from cascade_tf.data.picture_files import PILLOW_ERRORS

_BMP_UNCOMPRESSED = (0, 3)


def is_whole(file: BinaryIO, image: Image.Image) -> bool:
    """Whether all of a picture's data are there, as far as its headers say where they lie.

    A format without such headers is decoded, which takes longer.

    Args:
        file: of the picture; its position changes.
        image: opened lazily from the file.
    """
    look = _LOOKS.get(image.format or "")
    return look(file, image) if look else _can_be_decoded(image)


def _can_be_decoded(image: Image.Image) -> bool:
    try:
        image.load()
    except PILLOW_ERRORS:
        return False
    return True


def _bmp(file: BinaryIO, image: Image.Image) -> bool:
    length = file.seek(0, 2)
    file.seek(0)
    header = file.read(34)
    if int.from_bytes(header[30:34], "little") not in _BMP_UNCOMPRESSED:
        return _can_be_decoded(image)
    row = -(-image.width * int.from_bytes(header[28:30], "little") // 32) * 4
    return int.from_bytes(header[10:14], "little") + row * image.height <= length


def _webp(file: BinaryIO, image: Image.Image) -> bool:
    length = file.seek(0, 2)
    file.seek(4)
    return 8 + int.from_bytes(file.read(4), "little") <= length


def _tiff(file: BinaryIO, image: Image.Image) -> bool:
    tags = image.tag_v2  # type: ignore[attr-defined]
    for offsets, counts in ((273, 279), (324, 325)):
        if offsets in tags and counts in tags:
            length = file.seek(0, 2)
            return all(a + b <= length for a, b in zip(tags[offsets], tags[counts], strict=False))
    return _can_be_decoded(image)


def _gif(file: BinaryIO, image: Image.Image) -> bool:
    """Whether the first frame is complete: an animation that is cut off later still shows it."""
    file.seek(0)
    data = file.read()
    position = 13 + _colours(data[10])
    while position < len(data):
        kind = data[position]
        if kind == 0x21:
            position = _behind_blocks(data, position + 2)
        elif kind == 0x2C and position + 10 < len(data):
            position += 10 + _colours(data[position + 9])
            return _behind_blocks(data, position + 1) <= len(data)
        else:
            return False
    return False


def _colours(flags: int) -> int:
    """Bytes of a GIF's table of colours."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _behind_blocks(data: bytes, position: int) -> int:
    """The place behind a row of blocks, beyond the data where that is cut off."""
    while position < len(data) and data[position]:
        position += 1 + data[position]
    return position + 1


_LOOKS: dict[str, Callable[[BinaryIO, Image.Image], bool]] = {
    "BMP": _bmp,
    "WEBP": _webp,
    "TIFF": _tiff,
    "GIF": _gif,
}
