"""The header and the end of a PNG file."""

from __future__ import annotations

from typing import BinaryIO

from cascade_tf.data.exif import read_orientation

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEAD_BYTES = 8  # length and name of a chunk
_CHECKSUM_BYTES = 4


def read_png(file: BinaryIO, end: bool) -> tuple[int, int, int, bool]:
    """Returns the width, the height, the EXIF orientation and whether the picture's end is there.

    Args:
        file: at its begin.
        end: go on behind the begin of the pixels, where the end is and the orientation may be; without that
            the end counts as there.

    Raises:
        ValueError: the header is broken.
    """
    position, length, size, exif = len(SIGNATURE), file.seek(0, 2), None, b""
    while True:
        file.seek(position)
        head = file.read(_HEAD_BYTES)
        count, name = int.from_bytes(head[:4], "big"), head[4:]
        complete = len(head) == _HEAD_BYTES and position + _HEAD_BYTES + count + _CHECKSUM_BYTES <= length
        if size is None:
            # Apple's own variant begins otherwise, and no decoder here knows it.
            if name != b"IHDR" or not complete or count != 13:
                raise ValueError("is a PNG with a broken header")
            content = file.read(8)
            size = int.from_bytes(content[:4], "big"), int.from_bytes(content[4:], "big")
        elif not complete:
            return *size, read_orientation(exif), not end
        elif name == b"eXIf" and not exif:
            exif = file.read(count)
        elif name == b"IEND" or (name == b"IDAT" and not end):
            return *size, read_orientation(exif), True
        position += _HEAD_BYTES + count + _CHECKSUM_BYTES
