"""KITTI's text files: one a frame, one line an object; labels of 15 columns, results of 16.

The columns are type, truncated, occluded, alpha, x1, y1, x2, y2 and seven of the object in space; a result
has its score behind them. Boxes have the coordinates that the benchmark compares, without a shift.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from absl import logging

from cascade_tf.coco_format.fields import wrong
from cascade_tf.files import write_atomically
from cascade_tf.formats.negative_sides import NegativeSides
from cascade_tf.formats.numbers import exact, need_columns, read_numbers

_LABEL_FIELDS = (
    "type", "truncated", "occluded", "alpha", "x1", "y1", "x2", "y2",
    "height", "width", "length", "x", "y", "z", "rotation_y",
)  # fmt: skip
_RESULT_FIELDS = (*_LABEL_FIELDS, "score")

TYPES = ("Car", "Van", "Truck", "Pedestrian", "Person_sitting", "Cyclist", "Tram", "Misc", "DontCare")
"""What labels are of."""

# -1 in both stands for unknown, in regions for example.
_OCCLUSIONS = (-1, 0, 1, 2, 3)

# What a detector of boxes in the image does not know, as the benchmark wants it written.
_UNKNOWN_POSE = "-1 -1 -10"
_UNKNOWN_SPACE = "-1 -1 -1 -1000 -1000 -1000 -10"


class KittiObjects(NamedTuple):
    """The labels of a frame, n of them, in the order of the file.

    Attributes:
        types: [n] names such as ``Car``, ``Van`` or ``DontCare``; upper and lower case are the same.
        boxes: [n, 4] (x1, y1, x2, y2) pixels.
        truncated: [n] share of the object outside of the image, 0..1.
        occluded: [n] 0 fully visible, 1 partly hidden, 2 largely hidden, 3 unknown.
    """

    types: np.ndarray
    boxes: np.ndarray
    truncated: np.ndarray
    occluded: np.ndarray


class KittiDetections(NamedTuple):
    """What was detected in a frame, n boxes.

    Attributes:
        types: [n] names of classes, as in ``KittiObjects``.
        boxes: [n, 4] (x1, y1, x2, y2) pixels.
        scores: [n], of any scale.
    """

    types: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray


def read_labels(path: str | os.PathLike[str], negative: NegativeSides | None = None) -> KittiObjects:
    """Reads the labels of a frame.

    Args:
        path: of the file.
        negative: counts boxes with negative sides; None: nobody does.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line has another number of columns, no number where one belongs, or a degree of
            truncation or occlusion that there is not; the message names file, line and column.
    """
    types, numbers = _read_table(Path(path), _LABEL_FIELDS, negative, check=_check_label)
    return KittiObjects(types, numbers[:, 3:7], numbers[:, 0], numbers[:, 1])


def write_labels(path: str | os.PathLike[str], objects: KittiObjects) -> Path:
    """Writes the labels of a frame as `read_labels` reads them, nothing of space, and returns the path."""
    columns = zip(objects.types, objects.truncated, objects.occluded, objects.boxes, strict=True)
    lines = [
        f"{kind} {truncated:g} {occluded:g} -10 {exact(box)} {_UNKNOWN_SPACE}\n"
        for kind, truncated, occluded, box in columns
    ]
    return write_atomically(path, "".join(lines))


def read_results(path: str | os.PathLike[str], negative: NegativeSides | None = None) -> KittiDetections:
    """Reads what was detected in a frame; an empty file says that it is nothing.

    Args:
        path: of the file.
        negative: as in ``read_labels``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: as in ``read_labels``.
    """
    types, numbers = _read_table(Path(path), _RESULT_FIELDS, negative)
    return KittiDetections(types, numbers[:, 3:7], numbers[:, 14])


def read_frames(
    label_folder: str | os.PathLike[str], result_folder: str | os.PathLike[str]
) -> dict[str, tuple[KittiObjects, KittiDetections]]:
    """Reads every frame that has a file of results, by its name; a warning counts the others.

    Args:
        label_folder: holds ``<frame>.txt``, or ``label_2`` or ``training/label_2`` that do.
        result_folder: likewise, or ``data``.

    Raises:
        FileNotFoundError: a folder is missing or holds no such file, or a frame with results has no labels.
        ValueError: a file is broken.
    """
    labels = _folder(label_folder, ("training/label_2", "label_2", ""))
    results = _folder(result_folder, ("data", ""))
    frames, mislabelled, misdetected = {}, NegativeSides(), NegativeSides()
    for path in sorted(results.glob("*.txt")):
        if not (labels / path.name).is_file():
            raise FileNotFoundError(f"{path}: frame without labels, there is no {labels / path.name}")
        objects = read_labels(labels / path.name, mislabelled)
        frames[path.stem] = objects, read_results(path, misdetected)
    mislabelled.tell(labels)
    misdetected.tell(results)
    labelled = sum(1 for _ in labels.glob("*.txt"))
    if len(frames) < labelled:
        logging.warning(
            "%s: frames without a result are not measured: %d of %d",
            results,
            labelled - len(frames),
            labelled,
        )
    return frames


def write_results(folder: str | os.PathLike[str], frames: Mapping[str, KittiDetections]) -> Path:
    """Writes one file for each frame, an empty one where nothing was detected, and returns the folder.

    Reading the files gives the very numbers that were written.

    Args:
        folder: where to, made if it is missing.
        frames: name of the frame, such as ``000007``, to its detections.
    """
    for name, detections in frames.items():
        lines = [
            f"{kind} {_UNKNOWN_POSE} {exact(box)} {_UNKNOWN_SPACE} {exact([score])}\n"
            for kind, box, score in zip(detections.types, detections.boxes, detections.scores, strict=True)
        ]
        write_atomically(Path(folder) / f"{name}.txt", "".join(lines))
    return Path(folder)


def _folder(given: str | os.PathLike[str], places: tuple[str, ...]) -> Path:
    for place in places:
        folder = Path(given) / place
        if next(folder.glob("*.txt"), None):
            return folder
    looked = ", ".join(str(Path(given) / place) for place in places)
    raise FileNotFoundError(f"no frame's .txt file in {looked}")


def _check_label(numbers: Sequence[float], where: str) -> None:
    truncated, occluded = numbers[:2]
    if not -1 <= truncated <= 1:
        raise ValueError(f"{where}: {wrong('truncated', f'{truncated:g}', 'a share, or -1')}")
    if occluded not in _OCCLUSIONS:
        known = f"one of {', '.join(map(str, _OCCLUSIONS))}"
        raise ValueError(f"{where}: {wrong('occluded', f'{occluded:g}', known)}")


def _read_table(
    path: Path,
    fields: Sequence[str],
    negative: NegativeSides | None,
    check: Callable[[Sequence[float], str], None] = lambda numbers, where: None,
) -> tuple[np.ndarray, np.ndarray]:
    """Types [n] and the other columns [n, fields - 1]."""
    places, types, rows = [], [], []
    try:
        # What is no text is no number either, and told with its line.
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file of labels or results") from None
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        where = f"{path}, line {number}"
        need_columns(words, fields, where)
        rows.append(read_numbers(words[1:], fields[1:], where))
        check(rows[-1], where)
        types.append(words[0])
        places.append(where)
    table = np.array(rows, np.float64).reshape(-1, len(fields) - 1)
    if negative is not None:
        negative.look(table[:, 5:7] - table[:, 3:5], places)
    return np.array(types, dtype=str), table
