"""Pictures that clients send to a server, and what else they send in their place."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image

from tests.mutations import mutated
from tests.tiny_detector import noise


def encoded(pixels, kind="PNG", **settings):
    stream = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(stream, kind, **settings)
    return stream.getvalue()


def png_of(width, height, rows=b""):
    """A PNG with a correct header, and the pixels that these rows, each with its filter's byte, make."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def good():
    """Files by name, all of which are answered."""
    rgb = noise(61, 83)
    image = Image.fromarray(rgb)
    frames = [Image.fromarray(noise(40, 56, seed)) for seed in (4, 5, 6)]
    return {
        "odd": encoded(rgb, "JPEG"),
        "tall": encoded(noise(97, 31, 1)),
        "grey": encoded(image.convert("L"), "JPEG"),
        "grey_png": encoded(image.convert("L")),
        "cmyk": encoded(image.convert("CMYK"), "JPEG"),
        "progressive": encoded(rgb, "JPEG", progressive=True),
        "palette": encoded(image.convert("P")),
        "alpha": encoded(image.convert("RGBA")),
        "sixteen_bits": encoded(np.uint16(rgb[..., 0]) * 257),
        "animation": encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "bitmap": encoded(noise(33, 47, 2), "BMP"),
        "webp": encoded(rgb, "WEBP", lossless=True),
        "one_pixel": encoded(noise(1, 1)),
        "one_column": encoded(noise(70, 1)),
        "very_wide": encoded(noise(50, 6000, 3)),
    }


def bad():
    """Files by name, of which none is a picture that can be seen."""
    whole = encoded(noise(61, 83), "JPEG")
    frame = whole.index(b"\xff\xc0")
    vast = whole[: frame + 5] + struct.pack(">HH", 20_000, 20_000) + whole[frame + 9 :]
    return {
        "empty": b"",
        "text": "just a text, no picture: äöü\n".encode() * 40,
        "cut_jpeg": whole[: len(whole) // 2],
        "cut_png": encoded(noise(61, 83))[:-200],
        "bomb_png": png_of(20_000, 20_000, (b"\0" * 60_001) * 2_000),
        "bomb_jpeg": vast,
        "no_size": png_of(0, 0),
        "head_alone": whole[:20],
        "zeros": bytes(5000),
    }


def damaged(count, seed):
    """Good files with damage, by name: some are answered."""
    files = list(good().values())
    found = {}
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        found[f"damaged_{number}"] = mutated(files[int(rng.integers(0, len(files)))], rng)
    return found
