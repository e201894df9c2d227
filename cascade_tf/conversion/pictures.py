"""Pictures in a new folder: as links, as copies, or not at all."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from cascade_tf.data.shards.locations import parse_location, read_picture

WAYS = ("link", "copy", "none")


def place_picture(source: str, target: Path, way: str) -> None:
    """Makes a picture appear under another name, in place of what is there.

    Args:
        source: the picture's file.
        target: its new name.
        way: "link" makes a symbolic link, "copy" a copy, "none" nothing.

    Raises:
        ValueError: there is no such way, the picture lies there itself, the system makes no links, or none
            can be made into a shard.
    """
    if way not in WAYS:
        raise ValueError(f"pictures: got {way!r}, expected one of {', '.join(WAYS)}")
    if way == "none":
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists() and not target.is_symlink() and os.path.samefile(source, target):
        raise ValueError(f"{target}: is the picture itself, expected another folder to write to")
    target.unlink(missing_ok=True)
    if parse_location(source) is not None:
        if way == "link":
            raise ValueError(f"{target}: cannot be a link into a shard; --pictures copy makes copies")
        target.write_bytes(read_picture(source))
        return
    if way == "copy":
        shutil.copyfile(source, target)
        return
    try:
        target.symlink_to(os.path.realpath(source))
    except OSError as error:
        raise ValueError(
            f"{target}: cannot be a link ({error.strerror}); --pictures copy makes copies"
        ) from None


def flat_names(names: Mapping[str, str]) -> dict[str, str]:
    """Names without folders and spaces, different without their suffixes too, for layouts with one folder.

    Lists of such layouts end a name at a space.

    >>> flat_names({"/data/a/1.jpg": "a/1.jpg", "/data/b/2.jpg": "b/2.jpg"})
    {'/data/a/1.jpg': '1.jpg', '/data/b/2.jpg': '2.jpg'}
    >>> flat_names({"/data/a/1.jpg": "a/1.jpg", "/data/b/1.jpg": "b/1.jpg"})
    {'/data/a/1.jpg': 'a_1.jpg', '/data/b/1.jpg': 'b_1.jpg'}

    Args:
        names: of pictures below their folders, by the paths of the files.
    """
    paths = [PurePosixPath(name) for name in names.values()]
    for parts in range(1, max((len(path.parts) for path in paths), default=1) + 1):
        short = [re.sub(r"\s+", "_", "_".join(path.parts[-parts:])) for path in paths]
        if len({os.path.splitext(name)[0].casefold() for name in short}) == len(short):
            return dict(zip(names, short, strict=True))
    digits = len(str(len(names)))
    numbers = (f"{number:0{digits}d}{path.suffix}" for number, path in enumerate(paths, start=1))
    return dict(zip(names, numbers, strict=True))
