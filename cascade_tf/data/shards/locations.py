"""Where a picture lies within a shard, written as a path: whatever names a picture's file may name that.

``train-00003-of-00010.tfrecord@5218+90211+tensorflow/street.jpg`` are the 90211 bytes from byte 5218 on. It
ends in the picture's name, so that what shows only the last part of a path shows that.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from cascade_tf.data.shards.storage import read_file, storage_path

DECODERS = ("tensorflow", "pillow")
_WRITTEN = re.compile(
    rf"(?P<shard>.*\.tfrecord)@(?P<offset>\d+)\+(?P<length>\d+)\+(?P<decoder>{'|'.join(DECODERS)})/(?P<name>.*)",
    re.DOTALL,
)


class Location(NamedTuple):
    """A picture's bytes, as they were in its file.

    Attributes:
        shard: the path of the shard.
        offset: of the first byte.
        length: how many there are.
        decoder: which of `DECODERS` reads its format.
        name: the picture's own.
    """

    shard: str
    offset: int
    length: int
    decoder: str
    name: str

    def __str__(self) -> str:
        return f"{self.shard}@{self.offset}+{self.length}+{self.decoder}/{self.name}"


def parse_location(path: str | os.PathLike[str]) -> Location | None:
    """The location that a path is; None: it is one of a file."""
    text = os.fspath(path)
    found = _WRITTEN.fullmatch(text) if ".tfrecord@" in text else None
    if found is None:
        return None
    offset, length = int(found["offset"]), int(found["length"])
    return Location(storage_path(found["shard"]), offset, length, found["decoder"], found["name"])


def read_picture(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a picture: of its file, or in a shard.

    Raises:
        FileNotFoundError: there is no such file or shard.
        OSError: it cannot be read.
    """
    location = parse_location(path)
    if location is None:
        return Path(path).read_bytes()
    return read_file(location.shard, location.offset, location.length)


def picture_size(path: str | os.PathLike[str]) -> int:
    """How many bytes a picture has, without a look at them.

    Raises:
        OSError: there is no such file.
    """
    location = parse_location(path)
    return os.path.getsize(path) if location is None else location.length
