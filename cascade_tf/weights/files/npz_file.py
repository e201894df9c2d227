"""NumPy archives, as tensorpack writes its models."""

from __future__ import annotations

import re
import struct

import numpy as np

from cascade_tf.weights.files.raw_arrays import array_from_bytes, plain_dtype, shown
from cascade_tf.weights.files.zip_records import ZipRecords

_SUFFIX = ".npy"
_MAGIC = b"\x93NUMPY"
# What NumPy writes, and Python 2's long integers. Anything else is no array of numbers.
_HEADER = re.compile(
    r"\{'descr': '(?P<descr>[^']{1,20})', 'fortran_order': (?P<order>True|False), "
    r"'shape': \((?P<shape>[0-9L, ]{0,400})\),? ?\}\s*"
)
_MAX_HEADER_BYTES = 10_000


def read_npz(records: ZipRecords) -> dict[str, np.ndarray]:
    """Returns the arrays of a ``.npz`` file.

    Args:
        records: of the archive. Arrays that are not compressed are views of it.

    Returns:
        Read-only arrays by name, without NumPy's suffix.

    Raises:
        ValueError: the archive is truncated or broken, claims more than it holds, or holds something other
            than arrays of numbers and strings.
    """
    foreign = [name for name in records.records if not name.endswith(_SUFFIX)]
    if foreign:
        raise ValueError(
            f"the archive holds {shown(foreign[0])} beside arrays, expected only {_SUFFIX} records"
        )
    return {name.removesuffix(_SUFFIX): _array(records, name) for name in records.records}


def _array(records: ZipRecords, name: str) -> np.ndarray:
    try:
        data = records.read(name, check=True)
        header, start = _header(data)
        match = _HEADER.fullmatch(header)
        if not match:
            raise ValueError(f"holds {shown(header.strip())}, expected an array of numbers")
        shape = [int(size) for size in match["shape"].replace("L", "").replace(" ", "").split(",") if size]
        return array_from_bytes(data[start:], plain_dtype(match["descr"]), shape, match["order"] == "True")
    except ValueError as error:
        raise ValueError(f"array {shown(name)}: {error}") from None


def _header(data: memoryview) -> tuple[str, int]:
    """The text that describes an array, and where its data begins."""
    if bytes(data[:6]) != _MAGIC or len(data) < 12:
        raise ValueError("is no array in NumPy's format")
    # Version 1 has two bytes for the length, later ones have four.
    size = struct.Struct("<H" if data[6] == 1 else "<I")
    start = 8 + size.size
    length = size.unpack(data[8:start])[0]
    if length > min(_MAX_HEADER_BYTES, len(data) - start):
        raise ValueError(f"claims a header of {length} bytes but the file holds {len(data) - start}")
    return str(data[start : start + length], "latin-1"), start + length
