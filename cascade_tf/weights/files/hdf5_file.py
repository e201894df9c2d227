"""HDF5 files of Keras: the legacy .h5 of Keras Applications and the .weights.h5 of Keras 3."""

from __future__ import annotations

import math
import os
from typing import Any

import h5py
import numpy as np

from cascade_tf.weights.files.raw_arrays import CopyBudget, shown

_MAX_DEPTH = 32
_MAX_OBJECTS = 100_000
# Gzip, byte shuffle, checksum, and h5py's own: any other filter may be a library that HDF5 goes looking for.
_FILTERS = (h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32, 32000)
# Weights hardly compress; arrays of zeros do, a thousandfold.
_MAX_EXPANSION = 20
# What the HDF5 library's errors become in Python.
_UNREADABLE = (OSError, RuntimeError, LookupError, TypeError, ValueError, OverflowError, MemoryError)


def read_hdf5(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Returns the datasets of an HDF5 file, and the attributes of its root.

    The file's structure is parsed by the HDF5 library, sizes and links are checked here before any data is
    read.

    Args:
        path: the file.

    Returns:
        Read-only arrays by the full path of their dataset, without the leading slash; and the root's
        attributes that are text or numbers.

    Raises:
        ValueError: the file is truncated or broken, a dataset claims more than the file holds, lies outside
            of it or holds something other than numbers, or a link is not a plain one.
    """
    walk = _Walk(os.path.getsize(path))
    try:
        with h5py.File(path, "r") as file:
            walk.visit(file, "", 0)
            return walk.arrays, _attributes(file)
    except _UNREADABLE as error:
        raise ValueError(f"the HDF5 file is truncated or broken, or not for weights: {error}") from None


class _Walk:
    """Reads one file; counts what it read."""

    def __init__(self, file_size: int):
        self.file_size = file_size
        self.plain = CopyBudget(file_size, 1)
        self.compressed = CopyBudget(file_size, _MAX_EXPANSION)
        self.arrays: dict[str, np.ndarray] = {}
        self.groups: set[int] = set()
        self.num_objects = 0

    def visit(self, group: h5py.Group, path: str, depth: int) -> None:
        address = h5py.h5o.get_info(group.id).addr
        if address in self.groups or depth > _MAX_DEPTH:
            raise ValueError(f"group {shown(path)} is inside itself, or in more than {_MAX_DEPTH} others")
        self.groups.add(address)
        for name in group:
            self.num_objects += 1
            if self.num_objects > _MAX_OBJECTS:
                raise ValueError(f"more than {_MAX_OBJECTS} objects")
            self._visit_link(group, name, f"{path}/{name}".lstrip("/"), depth)

    def _visit_link(self, group: h5py.Group, name: str, path: str, depth: int) -> None:
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise ValueError(f"{shown(path)} is a {type(link).__name__}, expected a dataset or a group")
        item = group[name]
        if isinstance(item, h5py.Group):
            self.visit(item, path, depth + 1)
        elif isinstance(item, h5py.Dataset):
            self.arrays[path] = self._read(item, path)
        else:
            raise ValueError(f"{shown(path)} is a {type(item).__name__}, expected a dataset or a group")

    def _read(self, dataset: h5py.Dataset, path: str) -> np.ndarray:
        if dataset.dtype.kind not in "biuf" or dataset.shape is None:
            raise ValueError(f"dataset {shown(path)} holds dtype {dataset.dtype}, expected numbers")
        if dataset.is_virtual or dataset.external:
            raise ValueError(f"dataset {shown(path)} lies in another file")
        self._check_size(dataset, path)
        array = np.asarray(dataset[()])
        array.flags.writeable = False
        return array

    def _check_size(self, dataset: h5py.Dataset, path: str) -> None:
        needed = math.prod(dataset.shape) * dataset.dtype.itemsize
        stored = dataset.id.get_storage_size()
        properties = dataset.id.get_create_plist()
        filters = [properties.get_filter(index)[0] for index in range(properties.get_nfilters())]
        if any(code not in _FILTERS for code in filters):
            raise ValueError(f"dataset {shown(path)} needs the HDF5 filters {filters}, expected gzip at most")
        if dataset.chunks:
            # A chunk is unpacked as a whole.
            self.compressed.spend(max(needed, math.prod(dataset.chunks) * dataset.dtype.itemsize))
            return
        if needed > stored or (dataset.id.get_offset() or 0) + stored > self.file_size:
            raise ValueError(
                f"dataset {shown(path)} of shape {dataset.shape} claims {needed} bytes "
                f"but the file holds {min(stored, self.file_size)}"
            )
        # Any number of datasets may lie in the same place.
        self.plain.spend(needed)


def _attributes(file: h5py.File) -> dict[str, Any]:
    attributes = {}
    for name in file.attrs:
        value = file.attrs[name]
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        value = value.item() if isinstance(value, np.generic) else value
        if isinstance(value, (str, bool, int, float)):
            attributes[name] = value
    return attributes
