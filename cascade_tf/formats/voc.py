"""PASCAL VOC's files for its protocols: a devkit's annotations, and the result files of its competition 4.

In both, pixels are numbered from 1 and a box includes its last ones: its left and upper edges lie one lower
as continuous coordinates.
"""

from __future__ import annotations

import math
import os
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cascade_tf.files import write_atomically
from cascade_tf.formats.numbers import exact, read_numbers

CLASSES: tuple[str, ...] = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
    "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
"""PASCAL VOC's classes in its order."""

# comp4_det_test_cat.txt; Detectron puts a word of its own behind comp4.
_RESULT_NAME = r"comp\d+(?:_[^_]+)?_det_(?P<split>{})_(?P<name>{})\.txt"

_FIRST_PIXEL = np.array([1.0, 1.0, 0.0, 0.0])


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


class VocObject(NamedTuple):
    """An object of an annotation.

    Attributes:
        name: of its class.
        box: [4] (x1, y1, x2, y2), continuous pixels.
        difficult: hard to tell, so that nobody has to find it.
        truncated: reaches beyond its box or the image.
        occluded: partly hidden by another.
    """

    name: str
    box: np.ndarray
    difficult: bool
    truncated: bool
    occluded: bool


class VocAnnotation(NamedTuple):
    """What the XML file of an image says.

    Attributes:
        width: of the image, pixels; None: it does not say so.
        height: likewise.
        objects: in the order of the file.
        file_name: of the picture; None: it does not say so.
    """

    width: int | None
    height: int | None
    objects: list[VocObject]
    file_name: str | None = None


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


def read_results(folder: str | os.PathLike[str], split: str | None = None) -> tuple[str, VocDetections]:
    """Reads the result files of all classes, ``comp4_det_<split>_<class>.txt``.

    Args:
        folder: holds them itself or in ``Main``. A class without a file was not detected.
        split: whose files are read; None: they are of one split, and classes have no ``_`` in their names.

    Returns:
        The split that their names say, and the detections.

    Raises:
        FileNotFoundError: there are no such files.
        ValueError: they are of several splits, or a line is not ``image score xmin ymin xmax ymax``.
    """
    files = _result_files(Path(folder), split)
    splits = sorted({match["split"] for match in files.values()})
    if len(splits) > 1:
        raise ValueError(f"{folder}: expected the results of one split, got {', '.join(splits)}")
    images: list[str] = []
    classes: list[str] = []
    numbers: list[list[float]] = []
    for path, match in files.items():
        text = path.read_text(encoding="utf-8", errors="replace")
        for line_number, line in enumerate(text.splitlines(), start=1):
            if not line.strip():
                continue
            image, row = _read_line(line, f"{path}, line {line_number}")
            images.append(image)
            classes.append(match["name"])
            numbers.append(row)
    table = np.array(numbers, np.float64).reshape(-1, 5)
    return splits[0], VocDetections(
        np.array(images, dtype=str), np.array(classes, dtype=str), table[:, 1:] - _FIRST_PIXEL, table[:, 0]
    )


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
        boxes = detections.boxes[own] + _FIRST_PIXEL
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
    rows = [
        (image, *one)
        for image in images
        for one in read_annotation(edition / "Annotations" / f"{image}.xml").objects
    ]
    names, classes, boxes, difficult, _, _ = zip(*rows, strict=True) if rows else ((),) * 6
    return images, VocObjects(
        np.array(names, dtype=str),
        np.array(classes, dtype=str),
        np.array(boxes, np.float64).reshape(-1, 4),
        np.array(difficult, dtype=bool),
    )


def read_measured(
    devkit: str | os.PathLike[str], results: str | os.PathLike[str]
) -> tuple[tuple[str, ...], VocObjects, VocDetections]:
    """Reads result files and the ground truth of the split that they are of.

    Args:
        devkit: as in ``read_objects``.
        results: the folder, as in ``read_results``.

    Returns:
        The names of the split's images, their objects and what was detected.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is broken, or something was detected in an image that is not of the split.
    """
    split, detections = read_results(results, _split_of(Path(results), Path(devkit)))
    images, objects = read_objects(devkit, split)
    foreign = sorted(set(detections.images.tolist()) - set(images))
    if foreign:
        raise ValueError(f"{results}: image {foreign[0]!r} is not in the split {split!r} of {devkit}")
    return images, objects, detections


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


def _read_line(line: str, where: str) -> tuple[str, list[float]]:
    words = line.split()
    if len(words) != 6:
        raise ValueError(f"{where}: expected 'image score xmin ymin xmax ymax', got {line!r}")
    return words[0], read_numbers(words[1:], where)


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


def read_annotation(path: str | os.PathLike[str], *, plain_edges: bool = False) -> VocAnnotation:
    """Reads the annotation of one image.

    Args:
        path: of the file.
        plain_edges: take the corners as continuous edges, as labelling tools write them, and not as the
            numbers of pixels.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is broken; the message names file, object and field.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file, but the image is in the split") from None
    except ElementTree.ParseError as error:
        raise ValueError(f"{path}: not XML: {error}") from None
    return VocAnnotation(
        _size(root, "width", str(path)),
        _size(root, "height", str(path)),
        [
            _object(element, f"{path}, object {number}", plain_edges)
            for number, element in enumerate(root.iter("object"))
        ],
        (root.findtext("filename") or "").strip() or None,
    )


def _size(root: ElementTree.Element, side: str, where: str) -> int | None:
    if root.find(f"size/{side}") is None:
        return None
    number = _number(root, f"size/{side}", where)
    if number != int(number):
        raise ValueError(f"{where}: size/{side} must be a whole number, got {number}")
    return int(number)


def _object(element: ElementTree.Element, where: str, plain_edges: bool) -> VocObject:
    corners = [_number(element, f"bndbox/{side}", where) for side in ("xmin", "ymin", "xmax", "ymax")]
    marks = [_mark(element, mark, where) for mark in ("difficult", "truncated", "occluded")]
    box = np.array(corners) if plain_edges else np.array(corners) - _FIRST_PIXEL
    return VocObject(_text(element, "name", where), box, *marks)


def _mark(element: ElementTree.Element, field: str, where: str) -> bool:
    return element.find(field) is not None and _number(element, field, where) != 0


def _text(element: ElementTree.Element, field: str, where: str) -> str:
    text = (element.findtext(field) or "").strip()
    if not text:
        raise ValueError(f"{where}: no {field}")
    return text


def _number(element: ElementTree.Element, field: str, where: str) -> float:
    text = _text(element, field, where)
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{where}: {field} must be a finite number, got {text!r}")
    return number
