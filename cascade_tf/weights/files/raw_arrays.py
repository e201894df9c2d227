"""Bytes of a foreign file to read-only arrays, with every claimed size checked first."""

from __future__ import annotations

import math
import re
import reprlib
import sys
from collections.abc import Sequence

import numpy as np

# Deeper shapes than this no framework writes; NumPy itself allows 64.
_MAX_DIMENSIONS = 32
_DTYPE = re.compile(r"([<>=|]?)(b1|\?|[iu][1248]|f[248]|c8|c16|[SU]\d{1,6})")
_DEFAULT_ALLOWANCE = 64 << 20
_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother, _SHORT.maxlong = 2, 120, 120, 40


class CopyBudget:
    """Bounds the memory that reading a file may take beside the file itself.

    Array data is viewed where it lies; what has to be unpacked or converted is copied, and a small hostile
    file can ask for the same copy again and again.

    Args:
        file_size: bytes of the file.
        factor: times of the file's size that copies may take, beside 64 MiB that every file may.
    """

    def __init__(self, file_size: int, factor: int = 4):
        self.limit = factor * file_size + _DEFAULT_ALLOWANCE
        self.spent = 0

    def spend(self, num_bytes: int) -> None:
        """Counts a copy that is about to be made.

        Raises:
            ValueError: the copies so far and this one are more than a real checkpoint needs.
        """
        self.spent += num_bytes
        if self.spent > self.limit:
            raise ValueError(
                f"unpacks to {self.spent} bytes, more than the {self.limit} a file of its size may"
            )


def plain_dtype(name: object) -> np.dtype:
    """Returns the dtype of a name such as ``<f4``.

    Raises:
        ValueError: neither a boolean, an integer, a float, a complex number nor a string of fixed length.
    """
    if not isinstance(name, str) or not _DTYPE.fullmatch(name):
        objects = isinstance(name, str) and name.lstrip("<>=|").startswith("O")
        raise ValueError(
            f"holds an array of {'Python objects' if objects else f'dtype {shown(name)}'}, expected numbers"
        )
    return np.dtype(name)


def array_from_bytes(
    data: bytes | memoryview, dtype: np.dtype, shape: Sequence[object], fortran_order: bool = False
) -> np.ndarray:
    """Views bytes as an array.

    Args:
        data: exactly the array's bytes.
        dtype: of the elements.
        shape: the claimed shape; nothing is taken for granted about it.
        fortran_order: whether the first index runs fastest.

    Returns:
        A read-only view [*shape].

    Raises:
        ValueError: the shape is none, or needs more or fewer bytes than there are.
    """
    sizes = checked_sizes(shape)
    needed = math.prod(sizes) * dtype.itemsize
    if needed != len(data) or not dtype.itemsize:
        raise ValueError(
            f"an array of shape {shown(sizes)} and dtype {dtype} claims {needed} bytes "
            f"but the file holds {len(data)}"
        )
    flat = np.frombuffer(data, dtype) if needed else np.empty(0, dtype)
    # NumPy makes a string of anything, and Python raises SystemError.
    if needed and dtype.kind == "U" and flat.view(f"{dtype.byteorder}u4").max() > sys.maxunicode:
        raise ValueError(f"an array of dtype {dtype} holds characters that do not exist")
    array = flat.reshape(sizes, order="F" if fortran_order else "C")
    array.flags.writeable = False
    return array


def checked_sizes(sizes: object, what: str = "a shape") -> tuple[int, ...]:
    """Returns sizes once they are known to be few non-negative integers.

    Args:
        sizes: whatever the file says.
        what: the sizes' role, for the message.

    Raises:
        ValueError: they are something else.
    """
    if not isinstance(sizes, (tuple, list)) or len(sizes) > _MAX_DIMENSIONS:
        raise ValueError(f"got {shown(sizes)} for {what}, expected up to {_MAX_DIMENSIONS} integers")
    if not all(type(size) is int and 0 <= size < 1 << 63 for size in sizes):
        raise ValueError(f"got {shown(sizes)} for {what}, expected non-negative integers below 2**63")
    return tuple(sizes)


def shown(value: object) -> str:
    """A short form of any value for a message: a hostile one can be endless when it is printed in full."""
    return _SHORT.repr(value)
