"""Pictures of users, in whatever form they come, to arrays."""

from __future__ import annotations

import io
import os
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from cascade_tf.ops.decode import decode_image

_CORE_FORMATS = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM")


def read_image(source: Any) -> np.ndarray:
    """Returns an image as 8-bit RGB.

    JPEG, PNG, GIF and BMP files go through the decoder of the exported model, all others through Pillow. Of
    an animation the first frame counts, alpha is dropped, of 16-bit values the upper eight bits remain. An
    EXIF orientation is ignored, as in training: boxes refer to the pixels as they are stored.

    Args:
        source: a file's path, the bytes of a file, a PIL image, or an array [H, W], [H, W, 1], [H, W, 3] or
            [H, W, 4] of uint8 (0..255) or uint16 (0..65535) in the order RGB(A).

    Returns:
        [H, W, 3] uint8 RGB.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file cannot be read or decoded (the message names it), or the array has another shape.
        TypeError: the array is neither uint8 nor uint16, or the source is none of the above.
    """
    if isinstance(source, (str, os.PathLike)):
        return _read_file(Path(source))
    if isinstance(source, bytes):
        return _decode(source, "image bytes")
    if isinstance(source, Image.Image):
        return _from_pil(source)
    if isinstance(source, (np.ndarray, tf.Tensor)):
        return _from_array(np.asarray(source))
    raise TypeError(f"image: got {type(source).__name__}, expected a path, bytes, a PIL image or an array")


def _read_file(path: Path) -> np.ndarray:
    if not path.exists():
        raise FileNotFoundError(f"image {path}: got no such file")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"image {path}: cannot be read ({error.strerror})") from None
    return _decode(content, f"image {path}")


def _decode(content: bytes, name: str) -> np.ndarray:
    try:
        if content.startswith(_CORE_FORMATS):
            return decode_image(tf.constant(content)).numpy()
        # What Pillow warns of on the way to an error is said by the error.
        with warnings.catch_warnings(action="ignore"):
            return _from_pil(Image.open(io.BytesIO(content)))
    except tf.errors.InvalidArgumentError as error:
        reason = re.sub(r"\{\{.*?\}\}|\[Op:.*", "", error.message).strip()
    # Pillow's readers raise each of these on broken files.
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        reason = "unknown image format" if isinstance(error, Image.UnidentifiedImageError) else str(error)
    raise ValueError(f"{name}: cannot be decoded ({reason}), expected a whole JPEG, PNG, GIF or BMP")


def _from_pil(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.size and (values.min() < 0 or values.max() > 65535):
            raise ValueError(f"got values {values.min()}..{values.max()}, expected 16 bits")
        return _from_array(values.astype(np.uint16))
    if image.mode == "F":
        raise ValueError("got floating-point pixels, expected integers")
    if "transparency" in image.info:
        image = image.convert("RGBA")
    return np.asarray(image.convert("RGB"))


def _from_array(values: np.ndarray) -> np.ndarray:
    if values.dtype not in (np.uint8, np.uint16):
        raise TypeError(f"image array: got {values.dtype}, expected uint8 in 0..255 or uint16 in 0..65535")
    if values.ndim == 2:
        values = values[..., None]
    if values.ndim != 3 or values.shape[2] not in (1, 3, 4) or 0 in values.shape:
        raise ValueError(
            f"image array: got shape {values.shape}, expected [H, W, 3] (or 1 or 4 channels, or none)"
        )
    if values.dtype == np.uint16:
        values = (values >> 8).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(values[..., :3], (*values.shape[:2], 3)))
