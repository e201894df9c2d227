"""WIDER FACE's annotations as they are distributed: ``wider_face_split`` with one text or .mat file a split.

In the text files an image has a line with its event and name, one with the number of faces, and one for each
face: x, y, width, height and six marks. An image without faces has the number 0 and, all the same, a line of
zeros.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cascade_tf.coco_format.fields import wrong
from cascade_tf.files import write_atomically
from cascade_tf.formats.mat import read_mat, table_of
from cascade_tf.formats.numbers import read_numbers

MARKS = ("blur", "expression", "illumination", "invalid", "occlusion", "pose")
"""What is said of each face, in the order of the text files; ``invalid`` faces do not count."""

_COLUMNS = ("x", "y", "width", "height", *MARKS)


class AnnotatedFaces(NamedTuple):
    """An image's faces, n of them.

    Attributes:
        event: its folder, such as ``0--Parade``.
        name: of its file there, without ``.jpg``.
        boxes: [n, 4] float64 (x, y, width, height); some have no width or no height.
        marks: mark -> [n] int64.
    """

    event: str
    name: str
    boxes: np.ndarray
    marks: Mapping[str, np.ndarray]


def read_annotations(path: str | os.PathLike[str]) -> list[AnnotatedFaces]:
    """Reads the annotations of a split, the images in the order of the file.

    Args:
        path: ``wider_face_train_bbx_gt.txt`` or ``wider_face_train.mat``, or those of another split.

    Raises:
        FileNotFoundError: there is no such file.
        RuntimeError: it is a .mat file and SciPy, which reads them, is not installed.
        ValueError: it is broken; the message names file and line, or image.
    """
    if Path(path).suffix == ".mat":
        return _of_mat(path)
    lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    return list(_of_text(lines, str(path)))


def read_image_list(path: str | os.PathLike[str]) -> list[tuple[str, str]]:
    """Reads the names of the images of a split.

    Args:
        path: ``wider_face_test_filelist.txt``, or the .mat file of a split.

    Returns:
        Event and name of each image.

    Raises:
        FileNotFoundError: there is no such file.
        RuntimeError: it is a .mat file and SciPy is not installed.
        ValueError: it is broken.
    """
    if Path(path).suffix == ".mat":
        content = read_mat(path, ("event_list", "file_list"))
        return [(event, name) for event, name, _ in _named(content)]
    lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    return [
        _image(line, f"{path}, line {number}") for number, line in enumerate(lines, start=1) if line.strip()
    ]


def write_annotations(path: str | os.PathLike[str], images: Iterable[AnnotatedFaces]) -> Path:
    """Writes the text file of a split as `read_annotations` reads it, and returns the path."""
    lines: list[str] = []
    for image in images:
        lines += [f"{image.event}/{image.name}.jpg", str(len(image.boxes))]
        marks = np.stack([image.marks[mark] for mark in MARKS], axis=1)
        table = np.concatenate([image.boxes, marks], axis=1)
        lines += [" ".join(f"{number:.17g}" for number in row) for row in table]
        if not len(image.boxes):
            lines.append(" ".join("0" * len(_COLUMNS)))
    return write_atomically(path, "".join(f"{line}\n" for line in lines))


def write_image_list(path: str | os.PathLike[str], images: Iterable[tuple[str, str]]) -> Path:
    """Writes event and name of each image as `read_image_list` reads them, and returns the path."""
    return write_atomically(path, "".join(f"{event}/{name}.jpg\n" for event, name in images))


def _of_text(lines: list[str], path: str) -> Iterator[AnnotatedFaces]:
    number = 0
    while number < len(lines):
        if not lines[number].strip():
            number += 1
            continue
        event, name = _image(lines[number], f"{path}, line {number + 1}")
        count = _count(lines, number + 1, path)
        first = number + 2
        rows = [_face(lines, first + face, path) for face in range(count)]
        table = np.array(rows, np.float64).reshape(-1, len(_COLUMNS))
        marks = {mark: table[:, 4 + i].astype(np.int64) for i, mark in enumerate(MARKS)}
        yield AnnotatedFaces(event, name, table[:, :4], marks)
        number = first + count
        if not count and number < len(lines) and set(lines[number].split()) == {"0"}:
            number += 1


def _image(line: str, where: str) -> tuple[str, str]:
    event, slash, file = line.strip().partition("/")
    if not slash or not file.endswith(".jpg"):
        raise ValueError(f"{where}: {wrong('the image', line, 'its event/name.jpg')}")
    return event, file.removesuffix(".jpg")


def _count(lines: list[str], number: int, path: str) -> int:
    text = lines[number].strip() if number < len(lines) else ""
    if not text.isdigit():
        complaint = wrong("the number of faces", text, "a whole number")
        raise ValueError(f"{path}, line {number + 1}: {complaint}")
    return int(text)


def _face(lines: list[str], number: int, path: str) -> list[float]:
    where = f"{path}, line {number + 1}"
    words = lines[number].split() if number < len(lines) else []
    return read_numbers(words, _COLUMNS, where)


def _of_mat(path: str | os.PathLike[str]) -> list[AnnotatedFaces]:
    lists = {mark: f"{mark}_label_list" for mark in MARKS}
    content = read_mat(path, ("event_list", "file_list", "face_bbx_list", *lists.values()))
    try:
        images = []
        for event, name, (i, j) in _named(content):
            where = f"{path}: {event}/{name}"
            boxes = table_of(content["face_bbx_list"][i, 0][j, 0], _COLUMNS[:4], where)
            marks = {}
            for mark, key in lists.items():
                own = table_of(np.reshape(content[key][i, 0][j, 0], (-1, 1)), (mark,), where)
                if len(own) != len(boxes):
                    raise ValueError(f"{where}: {key} has {len(own)} rows, expected {len(boxes)}, one a face")
                marks[mark] = own[:, 0].astype(np.int64)
            images.append(AnnotatedFaces(event, name, boxes, marks))
        return images
    except (AttributeError, IndexError, TypeError) as error:
        raise ValueError(f"{path}: not built as WIDER FACE's annotations ({error})") from None


def _named(content: Mapping[str, Any]) -> Iterator[tuple[str, str, tuple[int, int]]]:
    """Event, name and place of each image."""
    for i, event in enumerate(content["event_list"][:, 0]):
        for j, name in enumerate(content["file_list"][i, 0][:, 0]):
            yield str(event[0]), str(name[0]), (i, j)
