"""TensorBoard's event files, written without the tensorboard package."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import tensorflow as tf

# SummaryMetadata.data_class, by which TensorBoard chooses the reader.
_SCALAR, _BLOB_SEQUENCE = 1, 3


class EventWriter:
    """Writes numbers and pictures over the steps of a run; ``tensorboard --logdir FOLDER`` shows them.

    Args:
        folder: where the event file is created, at the first value.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._writer = tf.summary.create_file_writer(str(folder))

    def scalar(self, tag: str, value: float, step: int) -> None:
        """Adds one number to the curve ``tag``."""
        self._write(tag, tf.constant(value, tf.float32), step, "scalars", _SCALAR)

    def image(self, tag: str, image: Any, step: int) -> None:
        """Adds one picture.

        Args:
            tag: its name.
            image: [H, W, 3] uint8 RGB.
            step: of the run.
        """
        pixels = np.asarray(image)
        if pixels.ndim != 3 or pixels.dtype != np.uint8:
            raise ValueError(f"image {tag!r}: got {pixels.dtype} {pixels.shape}, expected uint8 [H, W, 3]")
        height, width = pixels.shape[:2]
        content = tf.stack([str(width), str(height), tf.io.encode_png(pixels)])
        self._write(tag, content, step, "images", _BLOB_SEQUENCE)

    def flush(self) -> None:
        """Brings everything so far to the disk."""
        self._writer.flush()

    def close(self) -> None:
        """Finishes the file."""
        self._writer.close()

    def _write(self, tag: str, value: tf.Tensor, step: int, plugin: str, data_class: int) -> None:
        metadata = tf.compat.v1.SummaryMetadata(data_class=data_class)
        metadata.plugin_data.plugin_name = plugin
        with self._writer.as_default(), tf.device("/cpu:0"):
            tf.summary.write(tag, value, step=step, metadata=metadata)
