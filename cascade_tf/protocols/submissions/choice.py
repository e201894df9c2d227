"""The submission that a data set's benchmark takes."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cascade_tf.data.dataset import CocoDataset
from cascade_tf.protocols.choice import protocol_of_layout
from cascade_tf.protocols.submissions.citypersons import write_citypersons
from cascade_tf.protocols.submissions.coco import check_coco, write_coco
from cascade_tf.protocols.submissions.kitti import write_kitti
from cascade_tf.protocols.submissions.submission import Request, Submission
from cascade_tf.protocols.submissions.voc import check_voc, write_voc
from cascade_tf.protocols.submissions.widerface import write_widerface

_WRITERS: Mapping[str, Callable[[Request], Submission]] = {
    "coco": write_coco,
    "voc2007": write_voc,
    "voc2010": write_voc,
    "kitti": write_kitti,
    "citypersons": write_citypersons,
    "widerface": write_widerface,
}
_CHECKS: Mapping[str, Callable[[CocoDataset], None]] = {
    "coco": check_coco,
    "voc2007": check_voc,
    "voc2010": check_voc,
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def write_submission(
    dataset: CocoDataset,
    detections: Sequence[Mapping[str, Any]],
    image_ids: Sequence[int],
    folder: str | os.PathLike[str],
    *,
    name: str = "cascade",
) -> Submission:
    """Writes detections in the form of the data set's benchmark, and reads them again.

    Args:
        dataset: the images, with or without labels, in the classes of the detector. Its layout says which
            benchmark it is.
        detections: in COCO's result format.
        image_ids: of the images that were looked at.
        folder: where to, made if it is missing.
        name: of the detector, for file names.

    Raises:
        ValueError: the name cannot be part of a file's, or see `check_submission`.
        OSError: the folder cannot be written to.
        RuntimeError: what was written does not read as the same detections.
    """
    check_name(name)
    write = _WRITERS[protocol_of_layout(dataset.source)]
    return write(Request(Path(folder), dataset, detections, image_ids, name))


def check_submission(dataset: CocoDataset) -> None:
    """Raises a ValueError where the benchmark cannot take detections in a data set, before any are made.

    Args:
        dataset: see `write_submission`.
    """
    check = _CHECKS.get(protocol_of_layout(dataset.source))
    if check is not None:
        check(dataset)


def check_name(name: str) -> None:
    """Raises a ValueError unless a name can be part of a file's."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"name: got {name!r}, expected letters, digits, '.', '-' and '_' only")
