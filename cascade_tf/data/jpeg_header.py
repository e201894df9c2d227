"""The header and the end of a JPEG file."""

from __future__ import annotations

from typing import BinaryIO

from cascade_tf.data.exif import SIGNATURE, read_orientation

_FIRST_BYTES = 1 << 16
_TAIL_BYTES = 1 << 12
_START_OF_SCAN, _EXIF = 0xDA, 0xE1
_END = b"\xff\xd9"
# Baseline, extended and progressive Huffman coding; the decoders of TensorFlow and Pillow know no other.
_DECODABLE = {0xC0, 0xC1, 0xC2}
_UNKNOWN = {
    **dict.fromkeys((0xC3, 0xC7, 0xCB, 0xCF), "lossless"),
    **dict.fromkeys((0xC5, 0xC6), "hierarchical"),
    **dict.fromkeys((0xC9, 0xCA, 0xCD, 0xCE), "arithmetically coded"),
}
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD8)}


def read_jpeg(file: BinaryIO, end: bool) -> tuple[int, int, int, bool]:
    """Returns the width, the height, the EXIF orientation and whether the picture's end is there.

    Args:
        file: at its begin.
        end: look for the end; without that it counts as there.

    Raises:
        ValueError: the header is broken, or no decoder knows the coding.
    """
    data, position, size, exif = _Data(file), 2, None, b""
    while True:
        position, marker = data.marker(position)
        if marker in _WITHOUT_LENGTH:
            continue
        length = int.from_bytes(data.bytes(position, 2), "big")
        if length < 2:
            raise ValueError("is a JPEG with a broken header")
        if marker in _UNKNOWN:
            raise ValueError(f"is a {_UNKNOWN[marker]} JPEG, which cannot be decoded")
        if marker in _DECODABLE and size is None:
            frame = data.bytes(position + 2, 5)
            if frame[0] != 8:
                raise ValueError(f"is a JPEG of {frame[0]} bits, expected 8")
            size = int.from_bytes(frame[3:5], "big"), int.from_bytes(frame[1:3], "big")
        if marker == _EXIF and not exif:
            content = data.bytes(position + 2, length - 2)
            exif = content if content.startswith(SIGNATURE) else b""
        position += length
        if marker == _START_OF_SCAN:
            break
    if size is None:
        raise ValueError("is a JPEG with a broken header")
    return *size, read_orientation(exif), not end or _has_end(file, position)


class _Data:
    """The first bytes of a file, more of them as they are asked for."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._data = file.read(_FIRST_BYTES)

    def bytes(self, begin: int, count: int) -> bytes:
        while len(self._data) < begin + count:
            more = self._file.read(max(_FIRST_BYTES, begin + count - len(self._data)))
            if not more:
                raise ValueError("is cut off in its header")
            self._data += more
        return self._data[begin : begin + count]

    def marker(self, begin: int) -> tuple[int, int]:
        """The place behind the next marker, and the marker; decoders pass over what stands before it."""
        while True:
            found = self.bytes(begin, 2)
            if found[0] == 0xFF and found[1] not in (0, 0xFF):
                return begin + 2, found[1]
            begin += 1


def _has_end(file: BinaryIO, scan: int) -> bool:
    """Whether the end's marker follows the scan's begin; inside of a scan no such two bytes occur."""
    length = file.seek(0, 2)
    begin = max(scan, length - _TAIL_BYTES)
    file.seek(begin)
    tail = file.read(_TAIL_BYTES)
    if tail.rstrip(b"\0").endswith(_END) or _END in tail:
        return True
    file.seek(scan)
    last = b""
    while block := file.read(1 << 20):
        if _END in last + block:
            return True
        last = block[-1:]
    return False
