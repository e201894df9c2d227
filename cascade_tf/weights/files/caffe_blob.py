"""Caffe's blobs, the arrays of a ``.caffemodel``."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from cascade_tf.weights.files.protobuf_wire import MessageReader
from cascade_tf.weights.files.raw_arrays import checked_sizes, shown

# Field numbers of the message BlobProto.
_LEGACY_SIZES = (1, 2, 3, 4)
_DATA, _SHAPE, _DOUBLE_DATA = 5, 7, 8
# NVIDIA's Caffe has these besides.
_RAW_TYPE, _RAW_DATA = 10, 12
_NUMBERS: dict[int, np.dtype] = {_DATA: np.dtype("<f4"), _DOUBLE_DATA: np.dtype("<f8")}
_RAW_TYPES: dict[int, np.dtype] = {0: np.dtype("<f8"), 1: np.dtype("<f4"), 2: np.dtype("<f2")}
_SIZES = 1
_MAX_SIZES = 32
_MAX_PIECES = 1000


class Blob(NamedTuple):
    """An array of a layer.

    Attributes:
        array: read-only floats of 16, 32 or 64 bits, a view of the file unless the file has it in pieces.
        legacy: whether its shape is Caffe's older one, which always has four axes.
    """

    array: np.ndarray
    legacy: bool


def read_blob(reader: MessageReader, message: memoryview) -> Blob:
    """Reads a BlobProto; gradients in it are left out.

    Args:
        reader: of the file.
        message: the blob's bytes.

    Raises:
        ValueError: the message is broken, shape and numbers do not fit, or the numbers are there twice.
    """
    found = _Blob()
    for field in reader.fields(message):
        if field.number in _LEGACY_SIZES:
            # Caffe, too, believes these before a shape.
            found.legacy_sizes = found.legacy_sizes or [0, 0, 0, 0]
            found.legacy_sizes[field.number - 1] = field.integer()
        elif field.number == _SHAPE:
            for size in reader.fields(field.data()):
                if size.number == _SIZES:
                    found.sizes += size.integers(_MAX_SIZES)
                    checked_sizes(found.sizes)
        elif field.number in _NUMBERS:
            found.add(field.numbers(_NUMBERS[field.number]))
        elif field.number == _RAW_TYPE:
            found.raw_type = field.integer()
        elif field.number == _RAW_DATA:
            found.raw_data = field.data()
    return found.blob()


class _Blob:
    """What has been read of a blob."""

    def __init__(self) -> None:
        self.legacy_sizes: list[int] = []
        self.sizes: list[int] = []
        self.pieces: list[np.ndarray] = []
        self.raw_type = 0
        self.raw_data: memoryview | None = None

    def add(self, piece: np.ndarray) -> None:
        self.pieces.append(piece)
        if len(self.pieces) > _MAX_PIECES:
            raise ValueError(f"has its numbers in more than {_MAX_PIECES} pieces, which no program writes")

    def blob(self) -> Blob:
        numbers = self._numbers()
        sizes = checked_sizes(self.legacy_sizes or self.sizes)
        needed = math.prod(sizes)
        if needed != numbers.size:
            raise ValueError(
                f"the shape {shown(sizes)} claims {shown(needed)} numbers but the file holds {numbers.size}"
            )
        array = numbers.reshape(sizes)
        array.flags.writeable = False
        return Blob(array, bool(self.legacy_sizes))

    def _numbers(self) -> np.ndarray:
        pieces = [piece for piece in self.pieces if piece.size]
        if len({piece.dtype for piece in pieces}) + (self.raw_data is not None) > 1:
            raise ValueError("has its numbers in two precisions, expected one")
        if self.raw_data is not None:
            return self._raw_numbers(self.raw_data)
        if not pieces:
            return np.empty(0, _NUMBERS[_DATA])
        # Pieces do not overlap: together they are smaller than the file.
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def _raw_numbers(self, data: memoryview) -> np.ndarray:
        dtype = _RAW_TYPES.get(self.raw_type)
        if dtype is None:
            raise ValueError(f"has raw numbers of the type {self.raw_type}, expected floats (0, 1 or 2)")
        if len(data) % dtype.itemsize:
            raise ValueError(f"has {len(data)} bytes of raw numbers of {dtype.itemsize}")
        return np.frombuffer(data, dtype) if len(data) else np.empty(0, dtype)
