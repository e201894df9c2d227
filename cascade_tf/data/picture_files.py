"""Picture files and PIL images to arrays, without TensorFlow."""

from __future__ import annotations

import io
import struct
import threading
import warnings
from typing import Any

import numpy as np
from PIL import Image

from cascade_tf.data.exif import ORIENTATION, read_orientation

# Bytes at the beginning of a file that tell its format.
HEAD_BYTES = 34
# What a folder's images are called; a file that is named itself may have any name.
IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".gif", ".bmp", ".dib", ".webp", ".tif", ".tiff"),
    *(".heic", ".heif", ".avif", ".jp2", ".j2k", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".pcx", ".qoi"),
)
_JPEG, _PNG, _GIF, _BMP = b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM"
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1")
# Pillow's readers raise each of these on broken files.
PILLOW_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    TypeError,
    LookupError,
    ArithmeticError,
    RuntimeError,
    MemoryError,
    struct.error,
    Image.DecompressionBombError,
)


class _Silence:
    """Hides warnings while it is entered, by many threads at a time.

    `warnings.catch_warnings` puts back what it found: of threads that overlap, the silence of another one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._caught = warnings.catch_warnings(action="ignore")

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._caught = warnings.catch_warnings(action="ignore")
                self._caught.__enter__()
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._caught.__exit__(None, None, None)


SILENCE = _Silence()
"""Around what Pillow does: what it warns of on the way to an error is said by the error."""


def is_core_format(head: bytes) -> bool:
    """Whether TensorFlow decodes a picture; for all others there is Pillow.

    Args:
        head: the file's first `HEAD_BYTES` bytes.
    """
    if head.startswith(_BMP) and len(head) >= HEAD_BYTES:
        header_size, bits, compression = struct.unpack_from("<14xI10xHI", head)
        return header_size >= 40 and bits in (8, 24, 32) and compression == 0
    return head.startswith((_JPEG, _PNG, _GIF))


def decode_with_pillow(content: bytes) -> tuple[np.ndarray, int]:
    """Decodes a picture of any format that Pillow, with pillow-heif if that is installed, knows.

    Returns:
        [H, W, 3] uint8 RGB as it is stored, and the EXIF orientation, 1..8.

    Raises:
        OSError, ValueError, and others of `PILLOW_ERRORS`: it cannot be decoded.
    """
    register_formats(content[:HEAD_BYTES])
    with SILENCE:
        return pixels_of_pil(Image.open(io.BytesIO(content)))


def register_formats(head: bytes) -> None:
    """Lets Pillow read HEIC, through pillow-heif, where a file's first bytes say that it is one.

    Raises:
        ValueError: it is one, and the package is not installed.
    """
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS:
        _register_heif()


def _register_heif() -> None:
    try:
        import pillow_heif
    except ImportError:
        raise ValueError("is a HEIC, which needs the package pillow-heif") from None
    pillow_heif.register_heif_opener()


def pixels_of_pil(image: Image.Image) -> tuple[np.ndarray, int]:
    """A PIL image as [H, W, 3] uint8 RGB as it is stored, and its EXIF orientation, 1..8.

    Raises:
        ValueError: its values do not fit into 8 or 16 bits.
    """
    orientation = orientation_of_pil(image)
    is_turned = getattr(image, "tag_v2", None) is not None
    pixels = _upright_pixels(image)
    # Pillow turns TIFFs itself.
    return (_turn_back(pixels, orientation) if is_turned else pixels), orientation


def orientation_of_pil(image: Image.Image) -> int:
    """The EXIF orientation of a PIL image; 1 where there is none, or a broken one."""
    try:
        with SILENCE:
            directory: Any = getattr(image, "tag_v2", None)
            if directory is None:
                # Not `getexif`, which also looks into XMP: the exported graph does not.
                exif = image.info.get("exif", b"")
                return read_orientation(exif) if isinstance(exif, bytes) else 1
            value = directory.get(ORIENTATION, 1)
    except PILLOW_ERRORS:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turns [H, W, C] as an orientation in 0..8 asks for; see `cascade_tf.ops.orientation.turn_upright`."""
    turned = pixels.swapaxes(0, 1) if orientation > 4 else pixels
    return turned[_mirrored(orientation)]


def _turn_back(pixels: np.ndarray, orientation: int) -> np.ndarray:
    stored = pixels[_mirrored(orientation)]
    return stored.swapaxes(0, 1) if orientation > 4 else stored


def _mirrored(orientation: int) -> tuple[slice, slice]:
    both = slice(None), slice(None, None, -1)
    return both[orientation in (3, 4, 7, 8)], both[orientation in (2, 3, 6, 7)]


def _upright_pixels(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.size and (values.min() < 0 or values.max() > 65535):
            raise ValueError(f"got values {values.min()}..{values.max()}, expected 16 bits")
        return pixels_of_array(values.astype(np.uint16))
    if image.mode == "F":
        raise ValueError("got floating-point pixels, expected integers")
    if "transparency" in image.info:
        image = image.convert("RGBA")
    return np.asarray(image.convert("RGB"))


def pixels_of_array(values: np.ndarray) -> np.ndarray:
    """An array of 8 or 16 bits, with 1, 3 or 4 channels or none, as [H, W, 3] uint8.

    Raises:
        ValueError: it has another shape.
        TypeError: it is neither uint8 nor uint16.
    """
    if values.dtype not in (np.uint8, np.uint16):
        raise TypeError(
            f"image array: got {values.dtype}, expected uint8 in 0..255 or uint16 in 0..65535"
            f"{_remedy(values)}"
        )
    if values.ndim == 2:
        values = values[..., None]
    if values.ndim != 3 or values.shape[2] not in (1, 3, 4) or 0 in values.shape:
        raise ValueError(
            f"image array: got shape {values.shape}, expected [H, W, 3] (or 1 or 4 channels, or none)"
        )
    if values.dtype == np.uint16:
        values = (values >> 8).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(values[..., :3], (*values.shape[:2], 3)))


def _remedy(values: np.ndarray) -> str:
    """How other numbers become pixels, where that is plain to see."""
    if values.dtype.kind not in "iuf" or not values.size or values.min() < 0 or values.max() > 255:
        return ""
    is_fraction = values.dtype.kind == "f" and values.max() <= 1
    return "; for values in 0..1: (255 * image).astype('uint8')" if is_fraction else "; image.astype('uint8')"
