"""Pictures on their way through a pipeline: their names and ids, and the shard of the results of each."""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

# JSON's readers take numbers for doubles: above this they are not exact.
_ID_BITS = 53


@dataclass(frozen=True)
class Picture:
    """A picture file.

    Attributes:
        name: its path, or in TFRecords the name that its record gives.
        image_id: see `id_of_name`, or that of the record.
        content: its bytes.
        failure: why there are none; empty: there are.
    """

    name: str
    image_id: int
    content: bytes
    failure: str = ""


def id_of_name(name: str, *, by_number: bool = True) -> int:
    """The id of a picture that comes without one.

    >>> id_of_name("gs://bucket/val2017/000000397133.jpg")
    397133

    Args:
        name: a path.
        by_number: takes the number that the file's name is, if it is one. In all other cases the id is a
            digest of 53 bits of the path.
    """
    stem = PurePosixPath(name).stem
    if by_number and re.fullmatch(r"[0-9]{1,15}", stem):
        return int(stem)
    return _digest(name) >> (64 - _ID_BITS)


def ids_are_unique(names: Iterable[str]) -> bool:
    """Whether no two files have one id by their numbers, as ``cam1/0001.jpg`` and ``cam2/0001.jpg`` have.

    Takes 16 bytes of memory for each.

    Args:
        names: paths; one that comes twice is one file.
    """
    flat = array("Q")
    for name in names:
        flat.extend((id_of_name(name), _digest(name)))
    pairs = np.unique(np.frombuffer(flat, np.uint64).reshape(-1, 2), axis=0)
    return len(np.unique(pairs[:, 0])) == len(pairs)


def shard_of(name: str, count: int) -> int:
    """The shard of the results that an input file belongs to: the same in every run and on every machine.

    Args:
        name: its path.
        count: of shards.
    """
    return _digest(name) % count


def _digest(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")


def picture_of_example(record: bytes) -> Picture:
    """The picture in a record of a TFRecord file, with the field names of TensorFlow's detection tools.

    Args:
        record: a serialised ``tf.train.Example`` with ``image/encoded``, and ``image/filename`` and
            ``image/source_id`` if they are known.

    Returns:
        The picture; one without bytes says so in ``failure``.
    """
    import tensorflow as tf

    def value(name: str) -> bytes:
        values = features[name].bytes_list.value if name in features else ()
        return values[0] if values else b""

    unnamed = f"record {hashlib.blake2b(record, digest_size=8).hexdigest()}"
    try:
        features = tf.train.Example.FromString(record).features.feature
    except Exception as error:  # protobuf's own, which has another name in each of its implementations
        return Picture(unnamed, id_of_name(unnamed), b"", f"is no tf.train.Example ({type(error).__name__})")
    source = value("image/source_id").decode(errors="replace")
    name = value("image/filename").decode(errors="replace") or source or unnamed
    image_id = int(source) if re.fullmatch(r"-?[0-9]{1,18}", source) else id_of_name(name)
    content = value("image/encoded")
    return Picture(name, image_id, content, "" if content else "has no image/encoded")
