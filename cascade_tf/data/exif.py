"""The orientation in a picture's EXIF data, which cameras write instead of turning the pixels."""

from __future__ import annotations

ORIENTATION = 0x0112
SIGNATURE = b"Exif\0\0"
_SHORT = 3
_ENTRY_BYTES = 12
_BYTE_ORDERS = {b"II*\0": "little", b"MM\0*": "big"}


def read_orientation(exif: bytes) -> int:
    """Returns the orientation, 1 to 8; from 5 on width and height change places.

    Args:
        exif: the data, with or without the signature that comes before the byte order in JPEG files. Data
            that are malformed or cut off say nothing, which is 1.
    """
    # Some writers repeat the signature in PNG and WebP.
    exif = exif.removeprefix(SIGNATURE).removeprefix(SIGNATURE)
    order = _BYTE_ORDERS.get(exif[:4])
    if order is None:
        return 1

    def number(begin: int, count: int) -> int:
        return int.from_bytes(exif[begin : begin + count], order)  # type: ignore[arg-type]

    begin = number(4, 4)
    for entry in range(begin + 2, begin + 2 + _ENTRY_BYTES * number(begin, 2), _ENTRY_BYTES):
        if entry + _ENTRY_BYTES > len(exif):
            return 1
        if number(entry, 2) == ORIENTATION:
            found = number(entry + 8, 2)
            right = number(entry + 2, 2) == _SHORT and number(entry + 4, 4) == 1
            return found if right and 1 <= found <= 8 else 1
    return 1
