"""The package's own files of proposals: NumPy archives, described in docs/proposals.md."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cascade_tf.data.proposal_set import ProposalSet
from cascade_tf.weights.files.raw_arrays import shown

_VERSION = 1
# Names, kinds of numbers and number of axes.
_ARRAYS = {
    "version": ("iu", 0),
    "image_ids": ("iu", 1),
    "file_names": ("U", 1),
    "sizes": ("iu", 2),
    "offsets": ("iu", 1),
    "boxes": ("f", 2),
    "scores": ("f", 1),
}


def write_proposals(path: str | os.PathLike[str], proposals: ProposalSet) -> Path:
    """Writes an archive, all of it or nothing.

    Args:
        path: the file.
        proposals: with sizes and names of the images.

    Returns:
        The path.

    Raises:
        ValueError: sizes or names are missing, or the path has another suffix than ``.npz``.
        OSError: the folder cannot be created or written to.
    """
    target = Path(path)
    if target.suffix != ".npz":
        raise ValueError(f"proposals {target}: got the suffix {target.suffix!r}, expected .npz")
    if proposals.sizes is None or len(proposals.file_names) != len(proposals.image_ids):
        raise ValueError(f"proposals {target}: got no sizes or names of the images, expected one of each")
    arrays = {
        "version": np.int64(_VERSION),
        "image_ids": proposals.image_ids.astype(np.int64),
        "file_names": np.array(proposals.file_names, np.str_),
        "sizes": proposals.sizes.astype(np.int32),
        "offsets": proposals.offsets.astype(np.int64),
        "boxes": proposals.boxes.astype(np.float32, copy=False),
        "scores": proposals.scores.astype(np.float32, copy=False),
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            # Given a name, NumPy would add a suffix to it.
            np.savez(file, **arrays)  # type: ignore[arg-type]
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return target


def from_arrays(arrays: Mapping[str, Any], source: str) -> ProposalSet:
    """Makes proposals of the arrays of an archive; their values are checked by `reading.checked`.

    Raises:
        ValueError: an array is missing, of another kind or shape, or holds an integer outside its range.
    """
    for name, (kinds, axes) in _ARRAYS.items():
        if name not in arrays:
            raise ValueError(f"has no array {name!r}, expected {', '.join(_ARRAYS)}")
        array = arrays[name]
        if array.dtype.kind not in kinds or array.ndim != axes:
            raise ValueError(f"{name}: got {array.dtype} of shape {array.shape}, expected {_expected(name)}")
    if int(arrays["version"]) != _VERSION:
        got = shown(int(arrays["version"]))
        raise ValueError(f"version: got {got}, expected {_VERSION}: a newer version of the package wrote it")
    # What float32 does not hold becomes infinite, and is told.
    with np.errstate(over="ignore"):
        boxes, scores = (arrays[name].astype(np.float32, copy=False) for name in ("boxes", "scores"))
    return ProposalSet(
        image_ids=_integers(arrays, "image_ids", np.int64),
        offsets=_integers(arrays, "offsets", np.int64),
        boxes=boxes,
        scores=scores,
        sizes=_integers(arrays, "sizes", np.int32, least=1),
        file_names=tuple(arrays["file_names"].tolist()),
        source=source,
    )


def _integers(
    arrays: Mapping[str, Any], name: str, dtype: type[np.signedinteger], least: int | None = None
) -> np.ndarray:
    """An array as the given kind of integers, which hold each of its numbers."""
    array, limits = arrays[name], np.iinfo(dtype)
    least = int(limits.min) if least is None else least
    wrong = array[(array < least) | (array > limits.max)]
    if wrong.size:
        raise ValueError(f"{name}: got {wrong[0]}, expected integers in {least}..{limits.max}")
    return array.astype(dtype)


def _expected(name: str) -> str:
    kinds, axes = _ARRAYS[name]
    numbers = {"iu": "integers", "f": "floats", "U": "text"}[kinds]
    return f"{numbers} with {axes} axes" if axes != 1 else f"{numbers} with one axis"
