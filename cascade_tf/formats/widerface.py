"""WIDER FACE's files: the evaluation's .mat files, and one text file of detections for each image."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cascade_tf.coco_format.fields import wrong
from cascade_tf.files import write_atomically
from cascade_tf.formats.mat import read_mat, table_of, write_mat
from cascade_tf.formats.negative_sides import NegativeSides
from cascade_tf.formats.numbers import exact, is_number, read_numbers

SETTINGS = ("easy", "medium", "hard")
"""The three subsets of the faces, each of which contains the one before."""

_FACES = "wider_face_val.mat"
_OF_SETTING = "wider_{}_val.mat"
HARD_FACES = _OF_SETTING.format("hard")
"""The file that tells the evaluation's folder from others, which may hold all faces."""

_PLACES = ("", "ground_truth", "eval_tools/ground_truth", "wider_face_split")
"""Where the files may be below a folder: the evaluation's archive unpacks to the third."""

_SIDES = ("x", "y", "width", "height")


class Faces(NamedTuple):
    """The faces of an image.

    Attributes:
        boxes: [G, 4] float64 (x1, y1, x2, y2), x2 = x1 + width. Some have no width or no height.
        counted: setting -> [G] bool, the faces that the setting asks for.
    """

    boxes: np.ndarray
    counted: Mapping[str, np.ndarray]


def find_ground_truth(folder: str | os.PathLike[str]) -> Path | None:
    """The folder of the evaluation's .mat files: a folder itself, or one in it; None: there is none."""
    places = (Path(folder) / place for place in _PLACES)
    return next((place for place in places if (place / HARD_FACES).is_file()), None)


def read_ground_truth(folder: str | os.PathLike[str]) -> dict[tuple[str, str], Faces]:
    """Reads ``wider_face_val.mat`` and those of the settings, ``wider_easy_val.mat`` and so on.

    Args:
        folder: where the four files lie, or one above it: ``ground_truth`` or ``eval_tools`` of the official
            evaluation.

    Returns:
        Event and name of each image, such as ``("0--Parade", "0_Parade_marchingband_1_465")``, and its faces.

    Raises:
        FileNotFoundError: a file is missing.
        RuntimeError: SciPy, which reads them, is not installed.
        ValueError: a file is broken, or they do not fit together; the message names file, image and field.
    """
    folder = find_ground_truth(folder) or Path(folder)
    faces = read_mat(folder / _FACES, ("event_list", "file_list", "face_bbx_list"))
    chosen = {}
    for setting in SETTINGS:
        file = _OF_SETTING.format(setting)
        chosen[setting] = read_mat(folder / file, ("gt_list",))["gt_list"]
        if chosen[setting].shape != faces["face_bbx_list"].shape:
            raise ValueError(f"{folder}: {file} and {_FACES} are not of the same images")
    try:
        images = dict(_images(faces, chosen, folder))
    except (AttributeError, IndexError, TypeError) as error:
        raise ValueError(f"{folder}: not built as WIDER FACE's .mat files ({error})") from None
    return images


def write_ground_truth(folder: str | os.PathLike[str], images: Mapping[tuple[str, str], Faces]) -> Path:
    """Writes the four files that `read_ground_truth` reads, and returns the folder.

    Args:
        folder: where to, made if it is missing.
        images: event and name of each image, and its faces.

    Raises:
        RuntimeError: SciPy, which writes them, is not installed.
    """
    folder = Path(folder)
    events: dict[str, dict[str, Faces]] = {}
    for (event, name), faces in images.items():
        events.setdefault(event, {})[name] = faces
    of_events = [list(one.values()) for one in events.values()]
    boxes = _cells([_cells([_sides(one.boxes) for one in faces]) for faces in of_events])
    names = _cells([_cells(list(one)) for one in events.values()])
    content = {"event_list": _cells(list(events)), "file_list": names, "face_bbx_list": boxes}
    write_mat(folder / _FACES, content)
    for setting in SETTINGS:
        numbers = [
            _cells([np.flatnonzero(one.counted[setting])[:, None] + 1 for one in faces])
            for faces in of_events
        ]
        write_mat(folder / _OF_SETTING.format(setting), {"gt_list": _cells(numbers)})
    return folder


def read_detections(
    folder: str | os.PathLike[str], images: Iterable[tuple[str, str]]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Reads ``<event>/<name>.txt`` for each of some images.

    A file has a line with the image's name, one with the number of detections and one for each detection: x,
    y, width, height, score.

    Args:
        folder: the folder of the events.
        images: event and name of each.

    Yields:
        Boxes [D, 4] float64 (x1, y1, x2, y2) and scores [D] of each image.

    Raises:
        FileNotFoundError: the folder is none of events, or an image has no file, which is not the same as no
            detections.
        ValueError: a file is broken; the message names file, line and column.
    """
    folder, images = Path(folder), tuple(images)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder of detections")
    _require_events(folder, dict.fromkeys(event for event, _ in images))
    negative = NegativeSides()
    for event, name in images:
        path = folder / event / f"{name}.txt"
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            raise FileNotFoundError(
                f"{path}: no such file; an image without detections has one all the same, with the count 0"
            ) from None
        rows = _rows(text, path)
        negative.look(rows[:, 2:4], [f"{path}, detection {number}" for number in range(len(rows))])
        yield _corners(rows[:, :4]), rows[:, 4]
    negative.tell(folder)


def write_detections(
    folder: str | os.PathLike[str], detections: Iterable[tuple[str, str, np.ndarray, np.ndarray]]
) -> None:
    """Writes the files that ``read_detections`` reads, best detections first.

    Reading the files gives the very numbers that were written.

    Args:
        folder: the folder of the events, made where it is missing.
        detections: event, name, boxes [D, 4] (x1, y1, x2, y2) and scores [D] of every image.
    """
    for event, name, boxes, scores in detections:
        lines = [name, str(len(boxes))]
        for k in np.argsort(-scores, kind="stable"):
            x1, y1, x2, y2 = boxes[k].tolist()
            lines.append(exact([x1, y1, x2 - x1, y2 - y1, scores[k]]))
        write_atomically(Path(folder) / event / f"{name}.txt", "\n".join(lines) + "\n")


def _images(
    faces: Mapping[str, Any], chosen: Mapping[str, Any], folder: Path
) -> Iterator[tuple[tuple[str, str], Faces]]:
    for i, event in enumerate(_texts(faces["event_list"])):
        for j, name in enumerate(_texts(faces["file_list"][i, 0])):
            where = f"{folder / _FACES}: {event}/{name}"
            boxes = table_of(faces["face_bbx_list"][i, 0][j, 0], _SIDES, where)
            counted = {}
            for setting, numbers in chosen.items():
                where = f"{folder / _OF_SETTING.format(setting)}: {event}/{name}"
                counted[setting] = _marked(numbers[i, 0][j, 0], len(boxes), where)
            yield (event, name), Faces(_corners(boxes), counted)


def _require_events(folder: Path, events: Collection[str]) -> None:
    """Raises a FileNotFoundError where a folder has no event's folder, and says which one near it has."""

    def has_events(place: Path) -> bool:
        return any((place / event).is_dir() for event in events)

    if not events or has_events(folder):
        return
    near = [*sorted(place for place in folder.iterdir() if place.is_dir()), folder.absolute().parent]
    meant = next(filter(has_events, near), None)
    remedy = f"expected such as {next(iter(events))!r}" if meant is None else f"did you mean {meant}?"
    raise FileNotFoundError(f"no event folder in {folder}; {remedy}")


def _cells(values: Sequence[Any]) -> np.ndarray:
    """A column of MATLAB's cells."""
    cells = np.empty((len(values), 1), object)
    for number, value in enumerate(values):
        cells[number, 0] = value
    return cells


def _sides(corners: np.ndarray) -> np.ndarray:
    return np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)


def _texts(cells: np.ndarray) -> list[str]:
    return [str(cell[0]) for cell in cells[:, 0]]


def _corners(boxes: np.ndarray) -> np.ndarray:
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def _marked(numbers: np.ndarray, count: int, where: str) -> np.ndarray:
    """[count] bool from numbers of faces, the first of which is 1."""
    listed = table_of(np.reshape(numbers, (-1, 1)), ("gt_list",), where)[:, 0]
    for unknown in listed[~np.isin(listed, np.arange(1, count + 1))]:
        raise ValueError(f"{where}: {wrong('gt_list', unknown.item(), f'numbers of its {count} faces')}")
    marked = np.zeros(count, bool)
    marked[listed.astype(np.int64) - 1] = True
    return marked


def _rows(text: str, path: Path) -> np.ndarray:
    """[D, 5] float64 from the text of a file of detections."""
    lines = text.splitlines()
    count = lines[1].strip() if len(lines) > 1 else ""
    if not count.isdecimal():
        raise ValueError(f"{path}, line 2: {wrong('the number of detections', count, 'a whole number')}")
    words = " ".join(lines[2:]).split()
    # As many as the official program takes, whatever lines they are on.
    if len(words) == 5 * int(count) and all(map(is_number, words)):
        return np.array(words, np.float64).reshape(-1, 5)
    rows = [number for number, line in enumerate(lines[2:], start=3) if line.strip()]
    for number in rows:
        read_numbers(lines[number - 1].split(), (*_SIDES, "score"), f"{path}, line {number}")
    expected = f"that of the lines below, {len(rows)}"
    raise ValueError(f"{path}, line 2: {wrong('the number of detections', int(count), expected)}")
