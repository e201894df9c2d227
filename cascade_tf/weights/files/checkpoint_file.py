"""Checkpoint files of any framework, from anybody, to named arrays."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cascade_tf.weights.files.caffe_file import is_caffemodel, read_caffemodel
from cascade_tf.weights.files.checkpoint_contents import split_contents
from cascade_tf.weights.files.hdf5_file import read_hdf5
from cascade_tf.weights.files.npz_file import read_npz
from cascade_tf.weights.files.raw_arrays import shown
from cascade_tf.weights.files.restricted_pickle import read_pickle
from cascade_tf.weights.files.torch_file import is_legacy_torch, read_torch_legacy, read_torch_zip
from cascade_tf.weights.files.zip_records import ZipRecords

_HDF5 = b"\x89HDF\r\n\x1a\n"
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
# Protocols 0 and 1 have no number of their own: they begin with a mark, a container, or a class.
_PICKLE = re.compile(rb"\x80.|\((d|l|t|i)|[\]}][\(.qp]|c[A-Za-z_][\w.]*\n[A-Za-z_]\w*\n", re.DOTALL)
_EXPECTED = (
    "a pickle (.pkl), a torch file (.pth), a NumPy archive (.npz), an HDF5 file (.h5) or a Caffe net "
    "(.caffemodel) of arrays by name"
)
_START_BYTES = 512
_UNFORESEEN = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    SystemError,
    TypeError,
)
_KNOWN = (
    (b"version https://git-lfs", "a pointer of Git LFS in place of the file"),
    (b"<", "a web page or XML"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"BZh", "a bzip2 archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"\x93NUMPY", "a single NumPy array"),
    (b"{", "JSON"),
)


@dataclass(frozen=True)
class CheckpointFile:
    """What a checkpoint file holds.

    Attributes:
        arrays: read-only arrays by name, floats of 32 or 64 bits, in this machine's byte order; nested names
            are joined by dots.
        metadata: everything else that is plain (None, bool, int, float, str, bytes and list, tuple, dict of
            them), as the file nests it.
        container: "pickle", "torch", "npz", "hdf5" or "caffemodel".
        path: the file.
    """

    arrays: Mapping[str, np.ndarray]
    metadata: Mapping[str, Any]
    container: str
    path: Path


def read_checkpoint(path: str | os.PathLike[str]) -> CheckpointFile:
    """Reads a checkpoint that may come from a stranger.

    No code of the file runs, and no size that it claims is believed. The content decides the format, not the
    name: pickles of arrays (detectron2, Detectron), torch's files old and new, NumPy archives, HDF5 files of
    Keras and nets of Caffe. Only for these, which have no mark of their own, the suffix counts where content
    tells nothing. The weights are what lies under "state_dict", "model", "model_state_dict" or "blobs", or
    else the whole file.

    The file is read once, and the arrays are views of it, unless their data is compressed, escaped as text,
    of another byte order, or of 16-bit floats. So they take as much memory as the file, and as long as one of
    them is in use, all of it.

    Args:
        path: the file.

    Returns:
        Arrays by name, and the plain rest.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is empty, of an unknown format, truncated or broken, claims more than it holds,
            or wants to make something other than arrays and plain values. The message names file and reason.
    """
    path = Path(path)
    with complaints("checkpoint", path):
        contents = read_contents(path, _EXPECTED)
        arrays, more = split_contents(contents.value, path.stat().st_size)
    return CheckpointFile(arrays, {**contents.metadata, **more}, contents.container, path)


@contextlib.contextmanager
def complaints(what: str, path: Path) -> Iterator[None]:
    """Puts the file in front of whatever is said against it, and makes all of it the file's fault.

    Args:
        what: the file is to the user.
        path: the file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read or is broken.
    """
    if not path.exists():
        raise FileNotFoundError(f"{what} {path}: no such file")
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no regular file"
        raise ValueError(f"{what} {path}: got {found}, expected a file")
    try:
        yield
    except OSError as error:
        raise ValueError(f"{what} {path}: cannot be read ({error.strerror or error})") from None
    except ValueError as error:
        raise ValueError(f"{what} {path}: {error}") from None
    # No file is known that ends here. If there is one, it must not look like a mistake of the caller.
    except _UNFORESEEN as error:
        raise ValueError(f"{what} {path}: is broken ({type(error).__name__}: {error})") from error


class FileContents(NamedTuple):
    """What lies in a file, as its format has it.

    Attributes:
        container: "pickle", "torch", "npz", "hdf5" or "caffemodel".
        value: arrays, plain values and containers of them.
        metadata: what the format keeps beside.
    """

    container: str
    value: Any
    metadata: Mapping[str, Any] = {}


def read_contents(path: Path, expected: str) -> FileContents:
    """Reads a file of any format; see `read_checkpoint`.

    Args:
        path: the file.
        expected: what a message says of a file of another format.

    Raises:
        OSError: it cannot be read.
        ValueError: it is of another format, broken or hostile.
    """
    with path.open("rb") as file:
        start = file.read(_START_BYTES)
    if start.startswith(_HDF5):
        return FileContents("hdf5", *read_hdf5(path))
    if start.startswith(_ZIP):
        return _read_zip(_content(path), expected)
    if is_legacy_torch(start):
        return FileContents("torch", read_torch_legacy(_content(path)))
    if _PICKLE.match(start):
        return FileContents("pickle", read_pickle(_content(path)))
    if _is_caffemodel(path, start):
        return FileContents("caffemodel", *read_caffemodel(_content(path)))
    kind = _known_kind(start) or f"has an unknown format and begins with {start[:16]!r}"
    raise ValueError(f"{kind}, expected {expected}")


def _content(path: Path) -> memoryview:
    """The whole file. Mapping it would crash the process if somebody cut the file off meanwhile."""
    try:
        return memoryview(path.read_bytes())
    except MemoryError:
        raise ValueError(f"does not fit into memory ({path.stat().st_size} bytes)") from None


def _read_zip(content: memoryview, expected: str) -> FileContents:
    records = ZipRecords(content)
    if any(name.endswith("data.pkl") for name in records.records):
        return FileContents("torch", read_torch_zip(records))
    if any(name.endswith(".npy") for name in records.records):
        return FileContents("npz", read_npz(records))
    names = ", ".join(map(shown, list(records.records)[:5])) or "nothing"
    raise ValueError(f"is a zip archive of {names}, expected {expected}")


def _is_caffemodel(path: Path, start: bytes) -> bool:
    if is_caffemodel(start, path.stat().st_size):
        return True
    # Whatever is wrong with the first layer, its reader says it better.
    return path.suffix == ".caffemodel" and not _known_kind(start)


def _known_kind(start: bytes) -> str | None:
    """What an unreadable file is, where its beginning tells."""
    if not start:
        return "is empty"
    for magic, name in _KNOWN:
        if start.lstrip().startswith(magic):
            return f"is {name}"
    if start[257:262] == b"ustar":
        return "is a tar archive (torch's format before version 0.1.10, or an archive of checkpoints)"
    return None
