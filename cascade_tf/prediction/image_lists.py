"""Everything that stands for images: files, folders, patterns, arrays and lists of them; one by one."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from cascade_tf.data.picture_files import IMAGE_SUFFIXES

SUB_FOLDERS = "sub-folders"
_EXPECTED = (
    "expected an image (a path, a folder, a pattern such as 'photos/*.jpg', bytes, a PIL image or an array) "
    "or several"
)


class Found(NamedTuple):
    """What a name stands for.

    Attributes:
        paths: image files, sorted.
        left_out: how many other files of each suffix, and how many ``SUB_FOLDERS``, a folder holds.
    """

    paths: tuple[Path, ...]
    left_out: Counter[str]


def find_images(name: str | os.PathLike[str], *, recursive: bool = False) -> Found:
    """Finds the images that a name stands for; a name that exists is no pattern.

    Args:
        name: a file, a folder of images, or a pattern such as ``"photos/*.jpg"``.
        recursive: looks into the sub-folders of a folder too.

    Returns:
        The files, none where nothing of that name exists or a folder has no images.
    """
    path, left_out = Path(name), Counter[str]()
    if not path.is_dir():
        matches = [path] if path.exists() else sorted(Path(m) for m in glob.glob(str(name), recursive=True))
        return Found(tuple(match for match in matches if not match.is_dir()), left_out)
    paths = []
    for entry in sorted(path.rglob("*") if recursive else path.iterdir()):
        if entry.is_dir():
            left_out[SUB_FOLDERS] += not recursive
        elif entry.suffix.lower() in IMAGE_SUFFIXES:
            paths.append(entry)
        else:
            left_out[entry.suffix.lower() or "without a suffix"] += 1
    return Found(tuple(paths), +left_out)


def each_image(images: Any) -> Iterator[Any]:
    """Yields images one by one, each as ``image_files.read_image`` takes it.

    Args:
        images: one image, a folder, a pattern, a batch of pixels [B, H, W, C], or an iterable (a generator
            too) of all but the last.

    Raises:
        FileNotFoundError: a name is neither a file, nor a folder, nor a pattern with matches.
        ValueError: a folder holds no images.
        TypeError: ``images`` is nothing of all this.
    """
    if _is_array(images):
        yield from images if images.ndim == 4 else [images]
    elif isinstance(images, (str, os.PathLike)):
        yield from _named(images)
    elif isinstance(images, (bytes, Image.Image)):
        yield images
    elif isinstance(images, Iterable) and not isinstance(images, Mapping):
        for image in images:
            yield from _named(image) if isinstance(image, (str, os.PathLike)) else [image]
    else:
        raise TypeError(f"images: got {type(images).__name__}, {_EXPECTED}")


def _is_array(value: Any) -> bool:
    return hasattr(value, "ndim") and hasattr(value, "dtype")


def _named(name: str | os.PathLike[str]) -> tuple[Path, ...]:
    found = find_images(name)
    if found.paths:
        return found.paths
    if not Path(name).is_dir():
        what = "no file that matches" if glob.has_magic(str(name)) else "no such file"
        raise FileNotFoundError(f"image {name}: got {what}")
    remedy = f"'{Path(name) / '**' / '*.jpg'}' looks into sub-folders" if found.left_out[SUB_FOLDERS] else ""
    raise ValueError(
        f"image {name}: got a folder without images, expected files such as .jpg or .png"
        + (f"; {remedy}" if remedy else "")
    )
