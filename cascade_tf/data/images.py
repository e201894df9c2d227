"""Reads image files inside a tf.data graph, and says which file it was that could not be read."""

from __future__ import annotations

import re
import threading

import numpy as np
import tensorflow as tf
from absl import logging

from cascade_tf.ops.decode import decode_image
from cascade_tf.structures import Tensor

_PREFIX = "broken image: "
# How a line about an object's mask begins; it takes the same way to the user.
BROKEN_MASK = "broken mask: "


def try_read_image(path: Tensor) -> Tensor:
    """Reads and decodes a file; a failure is a result, not an error. For a function that a Dataset maps.

    A TensorFlow graph can catch an error in one place only, a data set that ignores errors; so this makes a
    data set of one element for each file, which costs about half a millisecond.

    Args:
        path: string scalar.

    Returns:
        [H, W, 3] uint8 RGB as stored (an EXIF orientation is ignored), or [0, 0, 3] if the file does not
        exist, is truncated or of an unknown format.
    """
    nothing = tf.data.Dataset.from_tensors(tf.zeros([0, 0, 3], tf.uint8))
    decoded = tf.data.Dataset.from_tensors(path).map(lambda name: decode_image(tf.io.read_file(name)))
    attempt = decoded.ignore_errors().concatenate(nothing).take(1)
    return tf.ensure_shape(attempt.get_single_element(), [None, None, 3])


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
        tf.strings.join([path, *found_and_expected, " as annotated (an EXIF orientation is ignored)"]),
        tf.strings.join([path, " cannot be read, expected a complete JPEG, PNG, GIF or BMP file"]),
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
