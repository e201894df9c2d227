"""MATLAB's .mat files, read by SciPy, which is an optional dependency."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def read_mat(path: str | os.PathLike[str], fields: Sequence[str]) -> list[Any]:
    """Returns some variables of a .mat file (versions 4 to 7.2) as NumPy arrays.

    Cells are arrays of objects and structures are structured arrays, as ``scipy.io.loadmat`` gives them.

    Args:
        path: the file.
        fields: names of the variables.

    Raises:
        FileNotFoundError: there is no such file.
        RuntimeError: SciPy is not installed.
        ValueError: the file is broken or lacks a variable.
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
    try:
        content = loadmat(str(path), variable_names=list(fields))
    except Exception as error:  # a broken file fails anywhere in SciPy, in many ways
        raise ValueError(f"{path}: is no .mat file that can be read ({error})") from None
    missing = [field for field in fields if field not in content]
    if missing:
        raise ValueError(f"{path}: has no variable {missing[0]!r}, expected {', '.join(fields)}")
    return [content[field] for field in fields]
