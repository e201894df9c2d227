"""EXIF as bytes, well-formed and damaged, the files that carry it, and a plain reader of its orientation."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

ORIENTATION = 0x0112
SHORT, LONG, ASCII = 3, 4, 2


def corners(height: int = 16, width: int = 32) -> np.ndarray:
    """[H, W, 3] uint8 whose four corners have four colours, so that each turn gives another picture."""
    pixels = np.full((height, width, 3), 128, np.uint8)
    top, left = height // 2, width // 2
    pixels[:top, :left], pixels[:top, left:] = (250, 10, 10), (10, 250, 10)
    pixels[top:, :left], pixels[top:, left:] = (10, 10, 250), (250, 250, 10)
    return pixels


def stored_for(upright: np.ndarray, orientation: int) -> np.ndarray:
    """The pixels that a camera stores for an upright picture, by the table of the EXIF standard.

    It says where row 0 and column 0 of the stored pixels lie in the picture as one sees it.
    """
    return {
        1: upright,  # top, left
        2: np.fliplr(upright),  # top, right
        3: np.rot90(upright, 2),  # bottom, right
        4: np.flipud(upright),  # bottom, left
        5: upright.swapaxes(0, 1),  # left, top
        6: np.rot90(upright, 1),  # right, top
        7: np.rot90(upright, 2).swapaxes(0, 1),  # right, bottom
        8: np.rot90(upright, -1),  # left, bottom
    }[orientation]


def tiff(entries: list[tuple[int, int, int, bytes]], order: str = "<", offset: int = 8) -> bytes:
    """EXIF's directory: tag, type, count and the four bytes of the value of each entry."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", offset)
    body = b"".join(struct.pack(order + "HHI", *entry[:3]) + entry[3] for entry in entries)
    return head.ljust(offset, b"\xaa") + struct.pack(order + "H", len(entries)) + body + bytes(4)


def orientation_entry(value: int, order: str = "<") -> tuple[int, int, int, bytes]:
    return ORIENTATION, SHORT, 1, struct.pack(order + "HH", value, 0)


def with_exif(pixels: np.ndarray, kind: str, exif: bytes | None, **options: Any) -> bytes:
    """A file of a kind, "JPEG", "PNG" or "WEBP", with EXIF as it is, whatever it holds."""
    # Without subsampling a JPEG's blocks of one colour keep it to a few grey levels.
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95, "subsampling": 0}}.get(kind, {}) | options
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    content = stream.getvalue()
    if exif is None:
        return content
    if kind == "JPEG":
        return content[:2] + segment(0xE1, b"Exif\0\0" + exif) + content[2:]
    if kind == "PNG":
        return content[:33] + chunk(b"eXIf", exif) + content[33:]
    return webp_with(content, b"EXIF", exif)


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def webp_with(content: bytes, name: bytes, body: bytes) -> bytes:
    """Adds a chunk behind the picture, and the extended header that says so."""
    with Image.open(io.BytesIO(content)) as image:
        width, height = image.size
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    chunks = b"VP8X" + struct.pack("<I", 10) + b"\x08\0\0\0" + size + content[12:]
    chunks += name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks


def plain_orientation(content: bytes) -> int:
    """The orientation of a file, 0 where there is none: loops over bytes, nothing else."""
    try:
        return _orientation_in_tiff(_find_exif(content))
    except (IndexError, struct.error):
        return 0


def _find_exif(content: bytes) -> bytes:
    if content[:1] == b"\xff":
        place = 2
        while place < len(content):
            if content[place : place + 2] == b"\xff\xff":
                place += 1
                continue
            marker = content[place + 1]
            (length,) = struct.unpack_from(">H", content, place + 2)
            if marker == 0xDA:
                return b""
            body = content[place + 4 : place + 2 + length]
            if marker == 0xE1 and body.startswith(b"Exif\0\0"):
                return _strip(body)
            place += 2 + length
        return b""
    if content[:1] == b"\x89":
        place = 8
        while place < len(content):
            (length,) = struct.unpack_from(">I", content, place)
            if content[place + 4 : place + 8] == b"eXIf":
                return _strip(content[place + 8 : place + 12 + length])
            place += 12 + length
        return b""
    if content[:1] == b"R":
        place = 12
        while place < len(content):
            (length,) = struct.unpack_from("<I", content, place + 4)
            if content[place : place + 4] == b"EXIF":
                return _strip(content[place + 8 : place + 8 + length + length % 2])
            place += 8 + length + length % 2
    return b""


def _strip(body: bytes) -> bytes:
    for _ in range(2):
        body = body.removeprefix(b"Exif\0\0")
    return body


def _orientation_in_tiff(body: bytes) -> int:
    if body[:4] not in (b"II*\0", b"MM\0*"):
        return 0
    order = "<" if body[:2] == b"II" else ">"
    (offset,) = struct.unpack_from(order + "I", body, 4)
    (count,) = struct.unpack_from(order + "H", body, offset)
    for place in range(offset + 2, offset + 2 + 12 * count, 12):
        tag, kind, number, value = struct.unpack_from(order + "HHIH", body, place)
        if (tag, kind, number) == (ORIENTATION, SHORT, 1) and 1 <= value <= 8:
            return value
    return 0
