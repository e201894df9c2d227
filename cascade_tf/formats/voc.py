"""PASCAL VOC's files for its protocols: a devkit's ground truth, and the result files of its competition 4.

In both, pixels are numbered from 1 and a box includes its last ones: its left and upper edges lie one lower
as continuous coordinates.
"""

from __future__ import annotations

import os
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from absl import logging

from cascade_tf.coco_format.fields import some, wrong
from cascade_tf.files import write_atomically
from cascade_tf.formats.negative_sides import NegativeSides
from cascade_tf.formats.numbers import exact, need_columns, read_numbers
from cascade_tf.formats.voc_annotations import FIRST_PIXEL, read_annotation

CLASSES: tuple[str, ...] = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
    "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
"""PASCAL VOC's classes in its order."""

# comp4_det_test_cat.txt; Detectron puts a word of its own behind comp4.
_RESULT_NAME = r"comp\d+(?:_[^_]+)?_det_(?P<split>{})_(?P<name>{})\.txt"

_SHOWN_CLASSES = 20

_RESULT_FIELDS = ("image", "score", "xmin", "ymin", "xmax", "ymax")


class VocObjects(NamedTuple):
    """The ground truth of a split, n objects.

    Attributes:
        images: [n] the name of the image that each lies in.
        classes: [n] names.
        boxes: [n, 4] (x1, y1, x2, y2), continuous pixels.
        difficult: [n] bool.
    """

    images: np.ndarray
    classes: np.ndarray
    boxes: np.ndarray
    difficult: np.ndarray


class VocDetections(NamedTuple):
    """What was detected in a split: n boxes, of equal scores the first ones are the better ones.

    Attributes:
        images: [n] the name of the image that each lies in.
        classes: [n] names.
        boxes: [n, 4] (x1, y1, x2, y2), continuous pixels.
        scores: [n], of any scale.
    """

    images: np.ndarray
    classes: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray


def read_results(
    folder: str | os.PathLike[str], split: str | None = None, images: Container[str] | None = None
) -> tuple[str, VocDetections]:
    """Reads the result files of all classes, ``comp4_det_<split>_<class>.txt``.

    Args:
        folder: holds them itself or in ``Main``. A class without a file was not detected.
        split: whose files are read; None: they are of one split, and classes have no ``_`` in their names.
        images: the names that the split has; None: any.

    Returns:
        The split that their names say, and the detections.

    Raises:
        FileNotFoundError: there are no such files.
        ValueError: they are of several splits, a line is not ``image score xmin ymin xmax ymax``, or its
            image is not of the split; the message names file, line and column.
    """
    files, negative = _result_files(Path(folder), split), NegativeSides()
    split = _split_in(files, folder)
    names: list[str] = []
    classes: list[str] = []
    tables = [np.zeros((0, 5))]
    for path, match in files.items():
        places, own, table = _read_result_file(path, images)
        boxes = table[:, 1:] - FIRST_PIXEL
        negative.look(boxes[:, 2:] - boxes[:, :2], places)
        names += own
        classes += [match["name"]] * len(own)
        tables.append(table)
    negative.tell(folder)
    scores_and_boxes = np.concatenate(tables)
    return split, VocDetections(
        np.array(names, dtype=str),
        np.array(classes, dtype=str),
        scores_and_boxes[:, 1:] - FIRST_PIXEL,
        scores_and_boxes[:, 0],
    )


def _split_in(files: Mapping[Path, re.Match[str]], folder: str | os.PathLike[str]) -> str:
    """The one split that the names of result files have."""
    splits = sorted({match["split"] for match in files.values()})
    if len(splits) > 1:
        raise ValueError(f"{folder}: expected the results of one split, got {', '.join(splits)}")
    return splits[0]


def _read_result_file(path: Path, images: Container[str] | None) -> tuple[list[str], list[str], np.ndarray]:
    """The places and the images of n lines, and their numbers [n, 5]."""
    places, names, rows = [], [], []
    text = path.read_text(encoding="utf-8", errors="replace")
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        where = f"{path}, line {number}"
        need_columns(words, _RESULT_FIELDS, where)
        if images is not None and words[0] not in images:
            raise ValueError(f"{where}: {wrong(_RESULT_FIELDS[0], words[0], 'one of the split')}")
        rows.append(read_numbers(words[1:], _RESULT_FIELDS[1:], where))
        names.append(words[0])
        places.append(where)
    return places, names, np.array(rows, np.float64).reshape(-1, 5)


def write_results(
    folder: str | os.PathLike[str],
    split: str,
    detections: VocDetections,
    classes: Sequence[str] = CLASSES,
) -> list[Path]:
    """Writes the result file of every class, an empty one where there is nothing of it.

    Reading the files gives the very numbers that were written.

    Args:
        folder: where to.
        split: such as ``test``.
        detections: of all classes.
        classes: whose files to write.

    Returns:
        The files, in the order of the classes.

    Raises:
        ValueError: a class has a name that no file can have.
    """
    require_file_names(classes)
    paths = []
    for name in classes:
        own = detections.classes == name
        boxes = detections.boxes[own] + FIRST_PIXEL
        lines = [
            f"{image} {exact([score])} {exact(box)}\n"
            for image, score, box in zip(detections.images[own], detections.scores[own], boxes, strict=True)
        ]
        paths.append(write_atomically(Path(folder) / f"comp4_det_{split}_{name}.txt", "".join(lines)))
    return paths


def require_file_names(classes: Iterable[str]) -> None:
    """Raises a ValueError where the name of a class cannot be part of the name of a result file."""
    for name in classes:
        if "/" in name or "\\" in name or not name.isprintable():
            raise ValueError(f"class {name!r}: expected a name that a file can have, without / and \\")


def read_objects(devkit: str | os.PathLike[str], split: str) -> tuple[tuple[str, ...], VocObjects]:
    """Reads the ground truth of a split.

    Args:
        devkit: the folder that holds ``Annotations`` and ``ImageSets``, or one above it that holds one such
            folder with the split, such as ``VOCdevkit`` with ``VOC2007``.
        split: the name of a list in ``ImageSets/Main``.

    Returns:
        The names of the split's images, and their objects.

    Raises:
        FileNotFoundError: there is no such list, or an image of it has no annotation.
        ValueError: several folders have the split, or an annotation is broken: file, object and field.
    """
    edition = _edition(Path(devkit), split)
    images = tuple(read_list(_list_of(edition, split)))
    rows = []
    for image in images:
        path = edition / "Annotations" / f"{image}.xml"
        for number, one in enumerate(read_annotation(path).objects):
            rows.append((f"{path}, object {number}", image, one.name, one.box, one.difficult))
    places, names, classes, boxes, difficult = zip(*rows, strict=True) if rows else ((),) * 5
    objects = VocObjects(
        np.array(names, dtype=str),
        np.array(classes, dtype=str),
        np.array(boxes, np.float64).reshape(-1, 4),
        np.array(difficult, dtype=bool),
    )
    negative = NegativeSides()
    negative.look(objects.boxes[:, 2:] - objects.boxes[:, :2], places)
    negative.tell(edition)
    return images, objects


def read_measured(
    devkit: str | os.PathLike[str], results: str | os.PathLike[str]
) -> tuple[tuple[str, ...], VocObjects, VocDetections]:
    """Reads result files and the ground truth of the split that they are of.

    Args:
        devkit: as in ``read_objects``.
        results: the folder, as in ``read_results``.

    Returns:
        The names of the split's images, their objects and what was detected. A warning names the classes
        that only one of the two has.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is broken, or something was detected in an image that is not of the split.
    """
    split = _split_of(Path(results), Path(devkit))
    if split is None:
        split = _split_in(_result_files(Path(results), None), results)
    images, objects = read_objects(devkit, split)
    _, detections = read_results(results, split, frozenset(images))
    _tell_of_classes(objects, results, split)
    return images, objects, detections


def _tell_of_classes(objects: VocObjects, results: str | os.PathLike[str], split: str) -> None:
    """Warns of classes with objects or with a file of results that lack the other one.

    An empty file says that nothing of its class was found, which is right where there is nothing to find.
    """
    files = {match["name"]: path for path, match in _result_files(Path(results), split).items()}
    present = set(objects.classes.tolist())
    foreign = [name for name in sorted(files.keys() - present) if files[name].stat().st_size]
    if foreign:
        logging.warning(
            "%s: detections of classes without an object in the ground truth are not measured: %s",
            results,
            some(foreign, _SHOWN_CLASSES),
        )
    if lost := sorted(present - files.keys()):
        logging.warning(
            "%s: objects of classes without a file of results count as missed: %s",
            results,
            some(lost, _SHOWN_CLASSES),
        )


def read_list(path: str | os.PathLike[str]) -> list[str]:
    """Returns the names of images in a list of ``ImageSets``, the first words of its lines, each once.

    Raises:
        FileNotFoundError: there is no such file.
    """
    lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    return list(dict.fromkeys(line.split()[0] for line in lines if line.strip()))


def _split_of(results: Path, devkit: Path) -> str | None:
    """The longest name of a list of the devkit that all result files bear; None: none does.

    Classes of one's own may have ``_`` in their names, as splits may.
    """
    places = [folder / "ImageSets" / "Main" for folder in _folders(devkit)]
    lists = {path.stem for place in places for path in place.glob("*.txt")}
    count = len(_result_files(results, None))
    for split in sorted(lists, key=lambda name: (-len(name), name)):
        try:
            if len(_result_files(results, split)) == count:
                return split
        except FileNotFoundError:
            continue
    return None


def _result_files(folder: Path, split: str | None) -> dict[Path, re.Match[str]]:
    names = (".+", "[^_]+") if split is None else (re.escape(split), ".+")
    pattern = re.compile(_RESULT_NAME.format(*names))
    for place in (folder, folder / "Main"):
        matches = {path: pattern.fullmatch(path.name) for path in sorted(place.glob("*.txt"))}
        files = {path: match for path, match in matches.items() if match}
        if files:
            return files
    raise FileNotFoundError(f"no comp4_det_<split>_<class>.txt in {folder} or {folder / 'Main'}")


def _list_of(edition: Path, split: str) -> Path:
    return edition / "ImageSets" / "Main" / f"{split}.txt"


def _folders(devkit: Path) -> list[Path]:
    """Where the folder of a year may be."""
    return [devkit, *sorted(devkit.glob("VOC*")), *sorted(devkit.glob("VOCdevkit/VOC*"))]


def _edition(devkit: Path, split: str) -> Path:
    """The folder of one year that has the split."""
    having = [folder for folder in _folders(devkit) if _list_of(folder, split).is_file()]
    if not having:
        raise FileNotFoundError(f"no ImageSets/Main/{split}.txt in {devkit} or in a folder VOC* of it")
    if len(having) > 1:
        raise ValueError(f"split {split!r} is in {', '.join(map(str, having))}; name one of these folders")
    return having[0]
