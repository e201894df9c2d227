"""Files of proposals from anybody to a checked `ProposalSet`."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from cascade_tf.data.proposal_set import ProposalSet
from cascade_tf.proposal_files.archive import from_arrays
from cascade_tf.proposal_files.pickles import from_lists
from cascade_tf.weights.files.checkpoint_file import complaints, read_contents
from cascade_tf.weights.files.raw_arrays import shown

_EXPECTED = "an archive of propose.py (.npz) or a pickle of Detectron or detectron2 (.pkl)"


def read_proposals(path: str | os.PathLike[str]) -> ProposalSet:
    """Reads a file of proposals that may come from a stranger.

    No code of the file runs, and no size that it claims is believed. The content decides the format, not the
    name.

    Args:
        path: an archive of ``scripts/propose.py``, or a pickle as Detectron and detectron2 write them.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is of another format, broken or hostile. The message names file, record and reason.
    """
    path = Path(path)
    with complaints("proposals", path):
        container, value, _ = read_contents(path, _EXPECTED)
        source = f"proposals {path}"
        if container == "npz":
            return checked(from_arrays(value, source))
        if container == "pickle":
            return checked(from_lists(value, source))
        raise ValueError(f"is a file of the kind {container}, expected {_EXPECTED}")


def checked(proposals: ProposalSet) -> ProposalSet:
    """Returns proposals whose arrays fit together.

    Raises:
        ValueError: they do not, an image comes twice, or a box or score is not finite.
    """
    count, total = len(proposals.image_ids), len(proposals.boxes)
    shapes = {"boxes": (total, 4), "scores": (total,), "offsets": (count + 1,), "sizes": (count, 2)}
    for name, shape in shapes.items():
        array = getattr(proposals, name)
        if array is not None and array.shape != shape:
            raise ValueError(f"{name}: got the shape {array.shape}, expected {shape}")
    if proposals.file_names and len(proposals.file_names) != count:
        raise ValueError(f"file_names: got {len(proposals.file_names)}, expected {count}")
    offsets = proposals.offsets
    if offsets[0] != 0 or offsets[-1] != total or np.any(offsets[1:] < offsets[:-1]):
        got = shown(offsets.tolist())
        raise ValueError(f"offsets: got {got}, expected numbers that rise from 0 to {total}, the boxes")
    ids, times = np.unique(proposals.image_ids, return_counts=True)
    if np.any(times > 1):
        raise ValueError(f"the image id {ids[np.argmax(times > 1)]} comes twice, expected once")
    finite = np.isfinite(proposals.scores) & np.all(np.isfinite(proposals.boxes), axis=1)
    if not finite.all():
        row = int(np.argmin(finite))
        record = int(np.searchsorted(offsets, row, side="right")) - 1
        raise ValueError(
            f"record {record} (image id {proposals.image_ids[record]}): box {row - offsets[record]}: got "
            f"{proposals.boxes[row].tolist()} with score {proposals.scores[row]}, expected finite numbers"
        )
    return proposals
