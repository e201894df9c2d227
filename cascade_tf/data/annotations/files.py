"""The picture files of an annotation file's images, and which of the images are read."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cascade_tf.data.file_names import FoundFile, ImageFolder, telling_line

Choice = Callable[[Sequence[str]], Sequence[bool]]
"""Takes the names of all images, paths below the image folder, and says of each whether it is read."""


class ImageFiles(NamedTuple):
    """What became of the names of an annotation file's images.

    Attributes:
        found: the files, by position in the file's list of images.
        left_out: positions of the images that are not to be read.
        note: how names were understood where they differ from the files'; None: they do not.
    """

    found: list[FoundFile]
    left_out: frozenset[int]
    note: str | None


def find_image_files(
    records: Sequence[Any], image_dir: Path, only: Choice | None = None, *, exact: bool = False
) -> ImageFiles:
    """Finds the files of an annotation file's images.

    Args:
        records: the file's images, broken ones among them.
        image_dir: the folder of the pictures.
        only: chooses the images to read; None: all. Broken records are always left to the reader's checks.
        exact: whether a file is taken only by the very name.
    """
    names = [_file_name(record) for record in records]
    found = ImageFolder(image_dir, exact=exact).find_all(names)
    note = telling_line(names, found, image_dir)
    if only is None:
        return ImageFiles(found, frozenset(), note)
    named = [position for position, name in enumerate(names) if name is not None]
    chosen = only([_path_below(image_dir, found[position], names[position] or "") for position in named])
    left_out = frozenset(position for position, is_read in zip(named, chosen, strict=True) if not is_read)
    return ImageFiles(found, left_out, note)


def _file_name(record: Any) -> str | None:
    name = record.get("file_name") if isinstance(record, dict) else None
    return name if isinstance(name, str) and name else None


def _path_below(image_dir: Path, file: FoundFile, name: str) -> str:
    path = name if file.path is None else os.path.relpath(file.path, image_dir)
    return path.replace(os.sep, "/")
