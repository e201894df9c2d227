"""Pictures of users, in whatever form they come, to arrays."""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from cascade_tf.data.picture_files import (
    HEAD_BYTES,
    PILLOW_ERRORS,
    decode_with_pillow,
    is_core_format,
    pixels_of_array,
    pixels_of_pil,
    turn,
)
from cascade_tf.data.shards.locations import read_picture
from cascade_tf.ops.decode import decode_image
from cascade_tf.ops.orientation import orientation_of


def read_image(source: Any, *, upright: bool = True, size: tuple[int, int] | None = None) -> np.ndarray:
    """Returns an image as 8-bit RGB, upright.

    JPEG, PNG, GIF and BMP files go through the decoder of the exported model, all others through Pillow. Of
    an animation or of several pages the first counts, alpha is dropped, of 16-bit values the upper eight bits
    remain.

    Args:
        source: a file's path (or the place of a picture in a shard), the bytes of a file, a PIL image, or an
            array [H, W], [H, W, 1], [H, W, 3] or [H, W, 4] of uint8 (0..255) or uint16 (0..65535) in the
            order RGB(A).
        upright: turns pictures as their EXIF orientation says, as viewers and labelling tools do; without it
            they stay as they are stored. Arrays have no orientation.
        size: (height, width) of the picture that annotations refer to; one that is not of this size upright,
            but is as stored, stays as stored.

    Returns:
        [H, W, 3] uint8 RGB.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file cannot be read or decoded (the message names it), or the array has another shape.
        TypeError: the array is neither uint8 nor uint16, or the source is none of the above.
    """
    if isinstance(source, (np.ndarray, tf.Tensor)):
        return pixels_of_array(np.asarray(source))
    if isinstance(source, (str, os.PathLike)):
        image, orientation = _read_file(Path(source))
    elif isinstance(source, bytes):
        image, orientation = _decode(source, "image bytes")
    elif isinstance(source, Image.Image):
        image, orientation = pixels_of_pil(source)
    else:
        raise TypeError(
            f"image: got {type(source).__name__}, expected a path, bytes, a PIL image or an array"
        )
    turned = turn(image, orientation)
    only_stored_fits = size is not None and turned.shape[:2] != size and image.shape[:2] == size
    return np.ascontiguousarray(turned if upright and not only_stored_fits else image)


def _read_file(path: Path) -> tuple[np.ndarray, int]:
    try:
        content = read_picture(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"image {path}: got no such file") from None
    except OSError as error:
        raise ValueError(f"image {path}: cannot be read ({error.strerror})") from None
    return _decode(content, f"image {path}")


def _decode(content: bytes, name: str) -> tuple[np.ndarray, int]:
    """The pixels as they are stored, and the orientation."""
    try:
        if is_core_format(content[:HEAD_BYTES]):
            text = tf.constant(content)
            return decode_image(text, upright=False).numpy(), int(_orientation_in_file(text))
        return decode_with_pillow(content)
    except tf.errors.InvalidArgumentError as error:
        reason = re.sub(r"\{\{.*?\}\}|\[Op:.*", "", error.message).strip()
    except PILLOW_ERRORS as error:
        reason = "unknown image format" if isinstance(error, Image.UnidentifiedImageError) else str(error)
    raise ValueError(f"{name}: cannot be decoded ({reason}), expected a whole picture file")


@functools.cache
def _graph_of_orientation() -> Any:
    return tf.function(orientation_of, input_signature=[tf.TensorSpec([], tf.string)], autograph=False)


def _orientation_in_file(content: tf.Tensor) -> tf.Tensor:
    return _graph_of_orientation()(content)
