"""MATLAB's .mat files, read and written by SciPy, which is an optional dependency."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cascade_tf.coco_format.fields import A_NUMBER, wrong
from cascade_tf.files import write_atomically

_VERSION_5 = b"MATLAB 5.0"
# What a file of version 5 begins with, filled up to its length: no date, so that files can be equal.
_HEADER = (_VERSION_5 + b" MAT-file").ljust(116)
# Behind the text are the version and the order of bytes; each variable has its kind and its length in front.
_HEADER_BYTES, _TAG_BYTES = 128, 8


def read_mat(path: str | os.PathLike[str], names: Sequence[str] = ()) -> dict[str, Any]:
    """Returns the variables of a .mat file (versions 4 to 7.2) as NumPy arrays.

    Cells are arrays of objects and structures are structured arrays, as ``scipy.io.loadmat`` gives them.

    Args:
        path: the file.
        names: of the variables, each of which must be there; empty: all that are there.

    Raises:
        FileNotFoundError: there is no such file.
        RuntimeError: SciPy is not installed.
        ValueError: the file is broken, cut off, or lacks a variable.
    """
    path = Path(path)
    try:
        from scipy.io import loadmat
    except ImportError:
        raise RuntimeError(
            f"{path}: SciPy reads .mat files and is not installed; pip install scipy"
        ) from None
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such .mat file")
    _require_whole(path)
    try:
        content = loadmat(str(path), variable_names=list(names) or None)
    except Exception as error:  # a broken file fails anywhere in SciPy, in many ways
        raise ValueError(f"{path}: is no .mat file that can be read ({error})") from None
    missing = [name for name in names if name not in content]
    if missing:
        raise ValueError(f"{path}: has no variable {missing[0]!r}, expected {', '.join(names)}")
    # Beside the variables it has its own, such as the version.
    return {name: value for name, value in content.items() if not name.startswith("__")}


def _require_whole(path: Path) -> None:
    """Raises a ValueError where a file of version 5 ends before it says that it does.

    SciPy skips what it is not asked for, whole or not, and does not tell a lost variable from one that never
    was.
    """
    size = path.stat().st_size
    with open(path, "rb") as file:
        header = file.read(_HEADER_BYTES)
        if not _VERSION_5.startswith(header[: len(_VERSION_5)]):
            return
        order: Literal["big", "little"] = "big" if header.endswith(b"MI") else "little"
        end = _HEADER_BYTES
        while end < size:
            file.seek(end + 4)
            end += _TAG_BYTES + int.from_bytes(file.read(4), order)
    if end > size:
        raise ValueError(f"{path}: is cut off: it has {size:,} bytes, expected {end:,} or more")


def table_of(value: Any, columns: Sequence[str], where: str) -> np.ndarray:
    """Returns a table [n, columns] float64 of the objects of an image.

    Args:
        value: of a cell; that of an image without objects is empty, whatever its shape.
        columns: what messages call them.
        where: what messages call the image.

    Raises:
        ValueError: it is no table of so many columns, or holds what is no finite number.
    """
    expected = f"numbers in {len(columns)} columns: {', '.join(columns)}"
    try:
        table = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{where}: {wrong('the table', value, expected)}") from None
    if not table.size:
        return table.reshape(0, len(columns))
    if table.ndim != 2 or table.shape[1] != len(columns):
        raise ValueError(f"{where}: the table has the shape {table.shape}, expected {expected}")
    for row, column in np.argwhere(~np.isfinite(table)):
        complaint = wrong(columns[column], table[row, column].item(), A_NUMBER)
        raise ValueError(f"{where}, object {row}: {complaint}")
    return table


def write_mat(path: str | os.PathLike[str], content: Mapping[str, Any]) -> Path:
    """Writes variables to a .mat file of version 5; the same variables give the same bytes.

    Args:
        path: the file.
        content: NumPy arrays by the names of the variables; arrays of objects become cells.

    Raises:
        RuntimeError: SciPy is not installed.
    """
    try:
        from scipy.io import savemat
    except ImportError:
        raise RuntimeError(
            f"{path}: SciPy writes .mat files and is not installed; pip install scipy"
        ) from None
    file = io.BytesIO()
    savemat(file, dict(content))
    return write_atomically(path, _HEADER + file.getvalue()[len(_HEADER) :])
