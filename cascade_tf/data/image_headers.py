"""What a picture's file says of itself before anything is decoded: format, size, orientation and its end.

Plain Python: thousands of files a second. Nothing here looks at the pixels, so damage in the middle of a file
is not found.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import BinaryIO, NamedTuple

from PIL import Image, UnidentifiedImageError

from cascade_tf.data.jpeg_header import read_jpeg
from cascade_tf.data.picture_files import (
    HEAD_BYTES,
    PILLOW_ERRORS,
    SILENCE,
    orientation_of_pil,
    register_formats,
)
from cascade_tf.data.png_header import SIGNATURE as PNG_SIGNATURE
from cascade_tf.data.png_header import read_png
from cascade_tf.data.shards.locations import parse_location, read_picture

# Pillow's name for a JPEG with further pictures behind the first.
_SAME_AS = {"MPO": "JPEG"}
_MODES_WITHOUT_DECODER = {"F": "floating-point pixels, expected integers"}
# TensorFlow's decoders refuse more.
_MOST_PIXELS = (1 << 29) - 1
_TRANSPOSED = range(5, 9)


class ImageHeader(NamedTuple):
    """A picture's file.

    Attributes:
        format: in capitals, for example "JPEG", "PNG" or "TIFF".
        width: pixels, as stored.
        height: pixels, as stored.
        orientation: EXIF's, 1 to 8; 1 where there is none or it is malformed.
        whole: whether the file ends as it should; True where that was not looked at.
    """

    format: str
    width: int
    height: int
    orientation: int = 1
    whole: bool = True

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) as stored."""
        return self.height, self.width

    @property
    def upright_size(self) -> tuple[int, int]:
        """(height, width) of the picture as viewers show it."""
        return (self.width, self.height) if self.orientation in _TRANSPOSED else self.size


def read_header(path: str | os.PathLike[str], *, end: bool = True) -> ImageHeader:
    """Reads the header of a picture.

    Args:
        path: the file, or the place of a picture in a shard; its name's suffix is not looked at.
        end: also look whether the file ends as it should. What follows the end does not matter: padding, the
            film of a motion photo, a second picture.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file cannot be read, or is no picture that can be decoded. The message says why and
            does not name the file.
    """
    try:
        if parse_location(path) is not None:
            header = _read(io.BytesIO(read_picture(path)), end)
        else:
            with Path(path).open("rb", buffering=0) as file:
                header = _read(file, end)
    except FileNotFoundError:
        raise
    except OSError as error:
        # Pillow's own errors have no number of the operating system.
        reason = f"read ({error.strerror})" if error.strerror else f"decoded ({error})"
        raise ValueError(f"cannot be {reason}") from None
    if header.width < 1 or header.height < 1:
        raise ValueError(f"is a {header.format} of {header.width} x {header.height} pixels")
    if header.width * header.height > _MOST_PIXELS:
        raise ValueError(f"has {header.width} x {header.height} pixels, expected {_MOST_PIXELS} at most")
    return header


def _read(file: BinaryIO, end: bool) -> ImageHeader:
    start = file.read(len(PNG_SIGNATURE))
    file.seek(0)
    if not start:
        raise ValueError("is empty")
    if start.startswith(b"\xff\xd8\xff"):
        return ImageHeader("JPEG", *read_jpeg(file, end))
    if start == PNG_SIGNATURE:
        return ImageHeader("PNG", *read_png(file, end))
    return _ask_pillow(file, end)


def _ask_pillow(file: BinaryIO, end: bool) -> ImageHeader:
    from cascade_tf.data.image_ends import is_whole

    try:
        register_formats(file.read(HEAD_BYTES))
        file.seek(0)
        with SILENCE, Image.open(file) as image:
            if image.mode in _MODES_WITHOUT_DECODER:
                raise ValueError(f"has {_MODES_WITHOUT_DECODER[image.mode]}")
            name = _SAME_AS.get(image.format or "", image.format or "picture")
            (width, height), orientation = image.size, orientation_of_pil(image)
            # Of TIFF files Pillow gives the upright size.
            if name == "TIFF" and orientation in _TRANSPOSED:
                width, height = height, width
            return ImageHeader(name, width, height, orientation, not end or is_whole(file, image))
    except UnidentifiedImageError:
        raise ValueError("is no picture of a known format") from None
    except (OSError, ValueError):
        raise  # with a text for users
    except PILLOW_ERRORS as error:
        raise ValueError(f"cannot be decoded ({str(error) or type(error).__name__})") from None
