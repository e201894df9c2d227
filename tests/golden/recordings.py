"""Finds recorded arrays by what they hold, here and in the folder that ``CASCADE_TF_GOLDEN`` names.

A file of arrays (``.npz``) is of a kind if it has the kind's key. Another recording of a kind is dropped in:
the tests read shapes, strides, class counts and settings from it.
"""

from __future__ import annotations

import functools
import json
import os
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parent
VARIABLE = "CASCADE_TF_GOLDEN"
# A key that recordings of a kind have, and no others.
KINDS = {
    "model": r"meta/json",
    "box_codec": r"w0/decoded_roundtrip",
    "anchors": r".*/cell_p\d+",
    "matcher": r".*/matrix",
    "roi_align": r".*/grad_features",
    "roi_pooler": r"sr\d+/grad_p\d+",
}


def find(kind):
    """The paths of all recordings of a kind, by folder and name."""
    folders = [FOLDER, *(Path(os.environ[name]) for name in (VARIABLE,) if os.environ.get(name))]
    paths = [path for folder in folders for path in sorted(folder.glob("*.npz"))]
    return [path for path in paths if any(re.fullmatch(KINDS[kind], key) for key in _keys(path))]


def parameters(kind):
    """The same for ``pytest.mark.parametrize``."""
    return [pytest.param(path, id=path.stem) for path in find(kind)]


def case_parameters(kind):
    """(path, case) of each case that recordings of a kind list."""
    return [
        pytest.param(path, case, id=f"{path.stem}-{_name(case)}")
        for path in find(kind)
        for case in from_json(load(path)["cases_json"])
    ]


@functools.cache
def load(path):
    """All arrays of one recording: a path, or a name in this folder."""
    with np.load(path if isinstance(path, Path) else FOLDER / f"{path}.npz") as archive:
        return {key: archive[key] for key in archive.files}


def from_json(array):
    """What an array of bytes says."""
    return json.loads(bytes(array).decode())


def _keys(path):
    with zipfile.ZipFile(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist()]


def _name(case):
    parts = [case[key] for key in ("key", "name", "matrix", "case") if key in case]
    return "-".join(map(str, parts))
