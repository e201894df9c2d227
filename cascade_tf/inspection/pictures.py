"""Decodes every picture of a data set, and finds those that are there more than once."""

from __future__ import annotations

import hashlib
import io
import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

from cascade_tf.data.dataset import CocoDataset
from cascade_tf.data.examples import Example
from cascade_tf.data.image_check import AS_STORED, fault_of, look_at_all
from cascade_tf.data.picture_files import PILLOW_ERRORS, SILENCE, decode_with_pillow
from cascade_tf.data.shards.locations import parse_location, picture_size, read_picture

LEVELS = ("decode", "full", "headers", "none")
"""How much is looked at: all pixels; header, size and end; header and size; nothing."""

# Each holds a decoded picture.
_DECODERS = min(16, (os.cpu_count() or 1) + 2)
_BLOCK = 1 << 20


class PictureFaults(NamedTuple):
    """What is wrong with the pictures of a data set.

    Attributes:
        broken: a line that names the file for each picture that cannot be used, by the id of its image.
        as_stored: how many pictures have the annotated size as they are stored, but not as their EXIF
            orientation shows them. They can be used.
    """

    broken: dict[int, str]
    as_stored: int


def find_faults(
    dataset: CocoDataset,
    level: str = "decode",
    *,
    upright: bool = True,
    progress: Callable[[int], object] | None = None,
) -> PictureFaults:
    """Looks at the picture of each image.

    Args:
        dataset: as it was read.
        level: one of ``LEVELS``.
        upright: pictures are turned by their EXIF orientation when they are read.
        progress: called with the number of images that were looked at since its last call.

    Raises:
        ValueError: there is no such level.
    """
    if level not in LEVELS:
        raise ValueError(f"level: got {level!r}, expected one of {', '.join(LEVELS)}")
    if level == "none":
        return PictureFaults({}, 0)
    look = partial(_look, level=level, upright=upright)
    broken, as_stored = {}, 0
    for example, finding in look_at_all(dataset.examples, look, progress, threads=_DECODERS):
        if finding == AS_STORED:
            as_stored += 1
        elif finding is not None:
            broken[example.image_id] = f"image {example.image_id}: {example.path} {finding}"
    return PictureFaults(broken, as_stored)


def _look(examples: Sequence[Example], *, level: str, upright: bool) -> list[str | None]:
    findings = []
    for example in examples:
        finding = fault_of(example, end=level != "headers", upright=upright)
        if finding in (None, AS_STORED) and level == "decode":
            finding = _decoding_fault(example.path) or finding
        findings.append(finding)
    return findings


def _decoding_fault(path: str) -> str | None:
    try:
        with SILENCE:
            decode_with_pillow(read_picture(path))
    except PILLOW_ERRORS as error:
        return f"cannot be decoded ({str(error) or type(error).__name__})"
    return None


def find_duplicates(
    paths: Mapping[str, Sequence[str]], progress: Callable[[int], object] | None = None
) -> list[list[tuple[str, str]]]:
    """Finds pictures of which another one has the same bytes.

    Args:
        paths: the pictures' files by split. Files that cannot be read are left out.
        progress: called with the number of files that were looked at since its last call.

    Returns:
        Groups of two or more (split, path), in the order of ``paths``. A file that is in several splits is
        a duplicate of itself.
    """
    by_size: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for split, files in paths.items():
        for path in files:
            try:
                by_size[picture_size(path)].append((split, path))
            except OSError:
                continue
    alone = sum(len(group) == 1 for group in by_size.values())
    alike = [one for group in by_size.values() if len(group) > 1 for one in group]
    if progress is not None:
        progress(alone)
    groups: dict[bytes, list[tuple[str, str]]] = defaultdict(list)
    with ThreadPoolExecutor(_DECODERS, thread_name_prefix="find_duplicates") as pool:
        for one, digest in zip(alike, pool.map(_digest, (path for _, path in alike)), strict=True):
            if digest is not None:
                groups[digest].append(one)
            if progress is not None:
                progress(1)
    return [group for group in groups.values() if len(group) > 1]


def _digest(path: str) -> bytes | None:
    digest = hashlib.blake2b(digest_size=16)
    try:
        with io.BytesIO(read_picture(path)) if parse_location(path) else open(path, "rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError:
        return None
    return digest.digest()
