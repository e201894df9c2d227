"""KITTI's object benchmark: ``training`` with ``image_2`` and ``label_2``, ``testing`` with pictures alone.

The classes are the three that the benchmark measures. What looks like one of them, and is neither missed nor
wrong there, is of its class and to be ignored: a van is no car to be found, a sitting person no pedestrian.
Other things, trucks and trams among them, are background, and ``DontCare`` is a region in which things of
every class may be. Who asks for vans, trucks or trams by their names gets them as classes of their own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cascade_tf.data.annotations.broken import BrokenRecords
from cascade_tf.data.annotations.objects import ANY_CLASS
from cascade_tf.data.annotations.values import PLACE
from cascade_tf.data.layouts import ALL
from cascade_tf.data.sources.lists import choose_list
from cascade_tf.data.sources.source import Published, Source, box_of_corners, ids_of_names, pictures_by_stem
from cascade_tf.formats.kitti import TYPES, KittiObjects, read_labels
from cascade_tf.formats.voc import read_list

CLASSES = ("Car", "Pedestrian", "Cyclist")
"""What the benchmark measures, in its order."""

_TYPES = {kind.lower() for kind in TYPES}
_MORE_CLASSES = ("Van", "Truck", "Person_sitting", "Tram", "Misc")
_ID_OF = {name: number for number, name in enumerate((*CLASSES, *_MORE_CLASSES), start=1)}
_CLASS_OF = {
    **{name.lower(): (number, 0) for number, name in enumerate(CLASSES, start=1)},
    "van": (1, 1),
    "person_sitting": (2, 1),
}
"""Class and whether it is ignored, by the type in small letters."""

_REGION = "dontcare"
_NOTHING = KittiObjects(np.array([], str), np.zeros((0, 4)), np.zeros(0), np.zeros(0))
_TEST = "testing"
_PUBLISHED = {"training": 7_481, _TEST: 7_518}


@dataclass(frozen=True)
class KittiFrames(Source):
    """Frames of one folder.

    Attributes:
        name: of the data set's folder.
        folder: in it, ``training`` or ``testing``.
        frames: their names.
        what: the frames, as notes call them.
        labelled: see `Source`.
        whole: see `Source`.
        apart: those of `more_classes` that are classes.
    """

    name: str
    folder: str
    frames: tuple[str, ...]
    what: str
    labelled: bool = True
    whole: bool = False
    apart: tuple[str, ...] = ()
    sized = False
    more_classes = _MORE_CLASSES

    @property
    def published(self) -> Published:
        """See `Source`."""
        return Published(f"KITTI {self.folder}", _PUBLISHED[self.folder], len(CLASSES))

    def telling_apart(self, names: Sequence[str]) -> KittiFrames:
        """See `Source.telling_apart`."""
        return replace(self, apart=tuple(name for name in self.more_classes if name in names))

    def content(self, report: BrokenRecords) -> dict[str, list]:
        """Reads the labels, see `Source.content`. A frame whose labels are broken or missing is left out."""
        pictures = pictures_by_stem(Path(self.name, self.folder, "image_2"))
        images: list[dict] = []
        annotations: list[dict] = []
        class_of = {**_CLASS_OF, **{name.lower(): (_ID_OF[name], 0) for name in self.apart}}
        for image_id, frame, objects in self.annotated(report):
            place = self._labels_of(frame)
            picture = pictures.get(frame, f"{frame}.png")
            name = f"{self.folder}/image_2/{picture}"
            images.append({"id": image_id, "file_name": name, PLACE: place if self.labelled else self.what})
            for number, kind in enumerate(objects.types):
                if str(kind).lower() not in _TYPES:
                    known = ", ".join(TYPES)
                    report.broken(f"{place}, object {number}: type is {str(kind)!r}, expected one of {known}")
                    continue
                record = _record(objects, number, class_of)
                if record is not None:
                    ids = {"id": len(annotations) + 1, "image_id": image_id}
                    annotations.append({**ids, **record, PLACE: f"{place}, object {number}"})
        categories = [{"id": _ID_OF[name], "name": name} for name in (*CLASSES, *self.apart)]
        return {"images": images, "annotations": annotations, "categories": categories}

    def annotated(self, report: BrokenRecords) -> Iterator[tuple[int, str, KittiObjects]]:
        """Reads the frames one after another: id, name and labels, those that are broken left out."""
        for image_id, frame in zip(ids_of_names(self.frames), self.frames, strict=True):
            objects = self._read(self._labels_of(frame), report) if self.labelled else _NOTHING
            if objects is not None:
                yield image_id, frame, objects

    def image_dir(self, images: Sequence[Any]) -> Path:
        """See `Source.image_dir`."""
        return Path(self.name)

    def note(self, image_dir: Path) -> str | None:
        """See `Source.note`."""
        return f"reading KITTI's {self.what}"

    def _labels_of(self, frame: str) -> str:
        return f"{self.folder}/label_2/{frame}.txt"

    def _read(self, place: str, report: BrokenRecords) -> KittiObjects | None:
        path = Path(self.name, place)
        try:
            return read_labels(path)
        except FileNotFoundError:
            report.broken(f"{place}: no such file of labels", missing_file=True)
        except ValueError as error:
            report.broken(str(error).replace(str(path), place))
        return None


def is_kitti(folder: Path) -> bool:
    """Whether a folder has KITTI's pictures in ``training`` or ``testing``."""
    return any((folder / part / "image_2").is_dir() for part in ("training", _TEST))


def find_kitti(folder: Path, split: str, *, splitting: bool) -> KittiFrames:
    """Finds the frames of a split.

    Args:
        folder: holds ``training`` and ``testing``.
        split: "train" and "val" are the lists of ``ImageSets``, which 3DOP, MS-CNN and others publish; "all"
            and "trainval" are all of ``training``, "test" is all of ``testing``.
        splitting: see `choose_list`.

    Raises:
        FileNotFoundError: there is no such list.
        ValueError: as in `choose_list`.
    """
    lists: dict[str, Path | str] = {}
    if (folder / "training" / "label_2").is_dir():
        lists |= {ALL: "training", "trainval": "training"}
    for place in ("ImageSets", "training/ImageSets"):
        lists |= {path.stem: path for path in sorted((folder / place).glob("*.txt"))}
    if (folder / _TEST / "image_2").is_dir():
        lists["test"] = _TEST
    chosen, whole = choose_list(folder, split, lists, splitting=splitting)
    if isinstance(chosen, Path):
        what = f"frames of {os.path.relpath(chosen, folder).replace(os.sep, '/')}"
        part = _TEST if chosen.stem == "test" else "training"
        return KittiFrames(str(folder), part, tuple(read_list(chosen)), what, part != _TEST, whole)
    frames = tuple(sorted(pictures_by_stem(folder / chosen / "image_2")))
    what = f"frames of {chosen}"
    return KittiFrames(str(folder), chosen, frames, what, chosen != _TEST, whole)


def _record(
    objects: KittiObjects, number: int, class_of: Mapping[str, tuple[int, int]]
) -> dict[str, Any] | None:
    """An object in COCO's form; None for things that are background."""
    kind = str(objects.types[number])
    is_region = kind.lower() == _REGION
    if not is_region and kind.lower() not in class_of:
        return None
    category, ignore = (ANY_CLASS, 1) if is_region else class_of[kind.lower()]
    return {
        "category_id": category,
        **box_of_corners(objects.boxes[number].tolist()),
        "iscrowd": int(is_region),
        "ignore": ignore,
        "type": kind,
        "truncated": float(objects.truncated[number]),
        "occluded": int(objects.occluded[number]),
    }
