"""WIDER FACE: ``WIDER_train/images``, ``WIDER_val/images`` and ``wider_face_split``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cascade_tf.data.annotations.broken import BrokenRecords
from cascade_tf.data.annotations.values import PLACE
from cascade_tf.data.sources.lists import choose_list
from cascade_tf.data.sources.source import Published, Source
from cascade_tf.formats.widerface_annotations import (
    MARKS,
    AnnotatedFaces,
    read_annotations,
    read_image_list,
)

FACE = "face"
"""The name of the one class."""

_FOLDER = "wider_face_split"
# The texts need no SciPy.
_LABELLED = ("wider_face_{}_bbx_gt.txt", "wider_face_{}.mat")
_PUBLISHED = {"train": 12_880, "val": 3_226, "test": 16_097}
_UNLABELLED = ("wider_face_{}_filelist.txt", "wider_face_{}.mat")


@dataclass(frozen=True)
class WiderFaceSplit(Source):
    """A split.

    Attributes:
        name: of its file in ``wider_face_split``.
        root: the folder of the data set.
        split: "train", "val" or "test".
        labelled: see `Source`.
        whole: see `Source`.
    """

    name: str
    root: Path
    split: str
    labelled: bool = True
    whole: bool = False
    sized = False

    @property
    def published(self) -> Published:
        """See `Source`."""
        return Published(f"WIDER FACE {self.split}", _PUBLISHED[self.split], classes=1)

    def content(self, report: BrokenRecords) -> dict[str, list]:
        """Reads the file, see `Source.content`. Ids of images are 1, 2, 3, ... in its order."""
        images: list[dict] = []
        annotations: list[dict] = []
        for image_id, faces in self.annotated():
            picture = f"{faces.event}/{faces.name}.jpg"
            image = {"id": image_id, "file_name": picture, "event": faces.event, PLACE: picture}
            images.append(image)
            for number, box in enumerate(faces.boxes.tolist()):
                marks = {mark: int(values[number]) for mark, values in faces.marks.items()}
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": image_id,
                        "category_id": 1,
                        "bbox": box,
                        "area": box[2] * box[3],
                        "iscrowd": 0,
                        "ignore": int(marks["invalid"] != 0),
                        **marks,
                        PLACE: f"{picture}, face {number}",
                    }
                )
        return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": FACE}]}

    def annotated(self) -> Iterator[tuple[int, AnnotatedFaces]]:
        """Reads the images one after another: id, and faces with the image's event and name."""
        return enumerate(self._read(), start=1)

    def image_dir(self, images: Sequence[Any]) -> Path:
        """See `Source.image_dir`."""
        return self.root / f"WIDER_{self.split}" / "images"

    def note(self, image_dir: Path) -> str | None:
        """See `Source.note`."""
        return f"reading WIDER FACE's {_FOLDER}/{Path(self.name).name}"

    def _read(self) -> list[AnnotatedFaces]:
        if self.labelled:
            return read_annotations(self.name)
        none = dict.fromkeys(MARKS, np.zeros(0, np.int64))
        return [
            AnnotatedFaces(event, name, np.zeros((0, 4)), none) for event, name in read_image_list(self.name)
        ]


def is_widerface(folder: Path) -> bool:
    """Whether a folder has WIDER FACE's files of splits."""
    return bool(_splits(folder))


def find_widerface(folder: Path, split: str, *, splitting: bool) -> WiderFaceSplit:
    """Finds the file of a split.

    Args:
        folder: holds ``wider_face_split`` and the folders of pictures.
        split: "train", "val" or, without labels, "test".
        splitting: see `choose_list`.

    Raises:
        FileNotFoundError: there is no such file.
    """
    (file, name), whole = choose_list(folder, split, _splits(folder), splitting=splitting)
    return WiderFaceSplit(str(file), folder, name, name != "test", whole)


def _splits(folder: Path) -> dict[str, tuple[Path, str]]:
    found = {}
    for split, names in (("train", _LABELLED), ("val", _LABELLED), ("test", _UNLABELLED)):
        files = [folder / _FOLDER / name.format(split) for name in names]
        file = next((file for file in files if file.is_file()), None)
        if file is not None:
            found[split] = (file, split)
    return found
