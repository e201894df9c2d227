"""Reads image files inside a tf.data graph, and says which file it was that could not be read."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf
from absl import logging

from cascade_tf.data.picture_files import HEAD_BYTES, decode_with_pillow, is_core_format
from cascade_tf.data.shards.locations import Location, parse_location
from cascade_tf.data.shards.storage import file_size
from cascade_tf.ops.decode import decode_image
from cascade_tf.ops.orientation import orientation_of, turn_upright, upright_size
from cascade_tf.structures import Tensor

_PREFIX = "broken image: "
# How a line about an object's mask begins; it takes the same way to the user.
BROKEN_MASK = "broken mask: "


def foreign_files(paths: Sequence[str]) -> np.ndarray:
    """Which files are pictures that TensorFlow cannot decode and Pillow may, by their content.

    Args:
        paths: M files; one that cannot be read counts as TensorFlow's, which then says so. Of those within
            shards the place says it.

    Returns:
        [M] bool.
    """

    def is_foreign(path: str) -> bool:
        if location := parse_location(path):
            return location.decoder == "pillow"
        try:
            with open(path, "rb", buffering=0) as file:
                head = file.read(HEAD_BYTES)
        except OSError:
            return False
        return bool(head) and not is_core_format(head)

    with ThreadPoolExecutor() as pool:
        return np.fromiter(pool.map(is_foreign, paths, chunksize=256), bool, len(paths))


class ImageReader:
    """Reads the images of a data set inside its graph.

    Args:
        paths: M files, or places of pictures within shards.
        upright: turns images as their EXIF orientation says, unless only the stored size is the annotated
            one; without it they stay as they are stored.

    Attributes:
        needs_python: whether some of the files are decoded by Pillow, in Python.

    Raises:
        FileNotFoundError: there is no such shard.
        ValueError: some pictures are files and others lie within shards.
    """

    def __init__(self, paths: Sequence[str], *, upright: bool) -> None:
        foreign = foreign_files(paths)
        self.needs_python = bool(foreign.any())
        self._upright = upright
        self._foreign = foreign
        places = [place for path in paths if (place := parse_location(path)) is not None]
        if places and len(places) < len(paths):
            raise ValueError(
                f"got {len(places)} of {len(paths)} pictures within shards, expected all or none"
            )
        self._shards = _ShardTable(places) if places else None

    def try_read(self, index: Tensor, path: Tensor, size: tuple[Tensor, Tensor]) -> Tensor:
        """Reads one file, see `try_read_image`.

        Args:
            index: int scalar in 0..M - 1.
            path: string scalar, the file.
            size: the annotated (height, width).
        """
        is_foreign = tf.gather(self._foreign, index) if self.needs_python else None
        content = None if self._shards is None else self._shards.content_of(index)
        return try_read_image(path, size, upright=self._upright, is_foreign=is_foreign, content=content)


class _ShardTable:
    """Where pictures lie within shards, for a graph that reads each by itself: in any order, without Python.

    Args:
        places: of M pictures.
    """

    def __init__(self, places: Sequence[Location]) -> None:
        numbers = {shard: number for number, shard in enumerate(dict.fromkeys(p.shard for p in places))}
        sizes = [file_size(shard) for shard in numbers]
        with tf.device("CPU:0"):
            self._paths = tf.constant(list(numbers))
            self._sizes = tf.constant(sizes, tf.int64)
            self._numbers = tf.constant([numbers[place.shard] for place in places])
            self._ranges = tf.constant([(place.offset, place.length) for place in places], tf.int64)

    def content_of(self, index: Tensor) -> tf.data.Dataset:
        """A data set of one element, the bytes of a picture."""
        shard = self._numbers[index]
        offset, length = tf.unstack(self._ranges[index])
        return tf.data.FixedLengthRecordDataset(
            self._paths[shard],
            record_bytes=length,
            header_bytes=offset,
            footer_bytes=self._sizes[shard] - offset - length,
            buffer_size=length,
        )


def try_read_image(
    path: Tensor,
    size: tuple[Tensor, Tensor],
    *,
    upright: bool = True,
    is_foreign: Tensor | None = None,
    content: tf.data.Dataset | None = None,
) -> Tensor:
    """Reads and decodes a file; a failure is a result, not an error. For a function that a Dataset maps.

    A TensorFlow graph can catch an error in one place only, a data set that ignores errors; so this makes a
    data set of one element for each file, which costs about half a millisecond.

    Args:
        path: string scalar.
        size: the annotated (height, width), int32 scalars: an image that has this size as it is stored and
            not upright stays as stored.
        upright: turns the image as its EXIF orientation says.
        is_foreign: bool scalar, decodes with Pillow, in Python; None: no file is, and no Python is needed.
        content: of the file as a data set of one string; None: ``path`` is read.

    Returns:
        [H, W, 3] uint8 RGB, or [0, 0, 3] if the file does not exist, is truncated or of an unknown format.
    """

    def decode(content: Tensor) -> Tensor:
        if is_foreign is None:
            return _decode_core(content, size, upright)
        return tf.cond(
            is_foreign,
            lambda: _decode_foreign(content, size, upright),
            lambda: _decode_core(content, size, upright),
        )

    nothing = tf.data.Dataset.from_tensors(tf.zeros([0, 0, 3], tf.uint8))
    if content is None:
        decoded = tf.data.Dataset.from_tensors(path).map(lambda name: decode(tf.io.read_file(name)))
    else:
        decoded = content.map(decode)
    attempt = decoded.ignore_errors().concatenate(nothing).take(1)
    return tf.ensure_shape(attempt.get_single_element(), [None, None, 3])


def _decode_core(content: Tensor, size: tuple[Tensor, Tensor], upright: bool) -> Tensor:
    image = decode_image(content, upright=False)
    return _turn_as_annotated(image, orientation_of(content), size) if upright else image


def _decode_foreign(content: Tensor, size: tuple[Tensor, Tensor], upright: bool) -> Tensor:
    def decode(content: bytes) -> tuple[np.ndarray, np.int32]:
        pixels, orientation = decode_with_pillow(content)
        return np.ascontiguousarray(pixels), np.int32(orientation)

    image, orientation = tf.numpy_function(decode, [content], (tf.uint8, tf.int32), stateful=False)
    image.set_shape([None, None, 3])
    orientation.set_shape([])
    return _turn_as_annotated(image, orientation, size) if upright else image


def _turn_as_annotated(image: Tensor, orientation: Tensor, size: tuple[Tensor, Tensor]) -> Tensor:
    stored = tf.shape(image)[:2]
    upright = tf.stack(upright_size(stored[0], stored[1], orientation))
    annotated = tf.stack(size)
    only_stored_fits = tf.reduce_all(stored == annotated) & tf.reduce_any(upright != annotated)
    return turn_upright(image, tf.where(only_stored_fits, 0, orientation))


def is_as_annotated(image: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """Whether an image could be read and has the size for which its boxes were drawn: bool scalar."""
    return tf.reduce_all(tf.shape(image)[:2] == tf.stack([height, width]))


def require_as_annotated(image: Tensor, path: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """Gives the image back, or stops with a line that names the file.

    Args:
        image: [H, W, 3] from `try_read_image`.
        path: string scalar.
        height: int32 scalar, as annotated.
        width: int32 scalar, as annotated.

    Raises:
        tf.errors.InvalidArgumentError: the image is broken or of another size; see `broken_image_line`.
    """
    found = tf.shape(image)

    def pixels(x: Tensor, y: Tensor) -> Tensor:
        return tf.strings.as_string(x) + " x " + tf.strings.as_string(y)

    found_and_expected = [" has ", pixels(found[1], found[0]), " pixels, expected ", pixels(width, height)]
    line = tf.where(
        tf.size(image) > 0,
        tf.strings.join([path, *found_and_expected, " as annotated"]),
        tf.strings.join([path, " cannot be read, expected a complete picture file"]),
    )
    intact = is_as_annotated(image, height, width)
    with tf.control_dependencies([tf.debugging.Assert(intact, [_PREFIX + line])]):
        return tf.identity(image)


def broken_image_line(error: tf.errors.OpError) -> str | None:
    """The line about a broken image or mask in an error of tf.data, without TensorFlow's own words around it.

    Returns:
        "broken image: <path> ..." or "broken mask: <path> ...", or None where the error is about something
        else.
    """
    found = re.search(rf"\[((?:{_PREFIX}|{BROKEN_MASK}).*?)\](?:\n|$)", error.message)
    return found.group(1) if found else None


class BrokenImages:
    """Logs each broken image once, however often it comes up, with the count so far."""

    def __init__(self) -> None:
        self._paths: set[bytes] = set()
        self._lock = threading.Lock()

    def note(self, path: Tensor, value: Tensor) -> Tensor:
        """Notes a file and gives ``value`` back. This is Python, but it runs for broken images alone."""
        with tf.control_dependencies([tf.numpy_function(self._log, [path], tf.bool)]):
            return tf.identity(value)

    def _log(self, path: bytes) -> np.bool_:
        with self._lock:
            if path not in self._paths:
                self._paths.add(path)
                name, count = path.decode(errors="replace"), len(self._paths)
                logging.warning("skipped a broken image, %d so far: %s", count, name)
        return np.bool_(True)
