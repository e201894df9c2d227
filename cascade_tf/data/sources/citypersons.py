"""CityPersons: Cityscapes' ``leftImg8bit`` and ``anno_train.mat``, ``anno_val.mat`` or ``gtBboxCityPersons``.

Pedestrians are the one class. Nobody has to find riders, sitting and other persons: they are of the class,
and to be ignored. Regions to ignore and groups are crowds, in which any number of pedestrians may be.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cascade_tf.data.annotations.broken import BrokenRecords
from cascade_tf.data.annotations.values import PLACE
from cascade_tf.data.sources.lists import choose_list
from cascade_tf.data.sources.source import Published, Source
from cascade_tf.formats.citypersons import PEDESTRIAN
from cascade_tf.formats.citypersons_annotations import CLASSES, AnnotatedImage, read_annotations
from cascade_tf.formats.citypersons_json import ENDING, read_image_annotation

_PICTURES = "leftImg8bit"
_JSON_FOLDER = "gtBboxCityPersons"
_MAT_PLACES = ("", "annotations", "*/annotations")
_PUBLISHED = {"train": 2_975, "val": 500, "test": 1_525}
_REGIONS = {CLASSES.index("ignore region"), CLASSES.index("people group")}


@dataclass(frozen=True)
class CityPersonsSplit(Source):
    """A split.

    Attributes:
        name: of the .mat file, of the folder of JSON files, or of the folder of pictures alone.
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
    def published(self) -> Published | None:
        """See `Source`."""
        images = _PUBLISHED.get(self.split)
        return None if images is None else Published(f"CityPersons {self.split}", images, classes=1)

    def content(self, report: BrokenRecords) -> dict[str, list]:
        """Reads the annotations, see `Source.content`.

        Ids of images are 1, 2, 3, ... in the order of the file, as the official evaluation has them. An image
        whose JSON file is broken is left out.
        """
        images: list[dict] = []
        annotations: list[dict] = []
        for image_id, image in self.annotated(report):
            picture = f"{image.city}/{image.name}"
            images.append({"id": image_id, "file_name": picture, "city": image.city, PLACE: picture})
            for number in range(len(image.labels)):
                ids = {"id": len(annotations) + 1, "image_id": image_id}
                place = f"{picture}, row {number}"
                annotations.append({**ids, **_record(image, number), PLACE: place})
        categories = [{"id": PEDESTRIAN, "name": CLASSES[PEDESTRIAN]}]
        return {"images": images, "annotations": annotations, "categories": categories}

    def annotated(self, report: BrokenRecords) -> Iterator[tuple[int, AnnotatedImage]]:
        """Reads the images one after another: id and annotations, those that are broken left out."""
        for image_id, image in enumerate(self._read(report), start=1):
            if image is not None:
                yield image_id, image

    def image_dir(self, images: Sequence[Any]) -> Path:
        """See `Source.image_dir`."""
        return self.root / _PICTURES / self.split

    def note(self, image_dir: Path) -> str | None:
        """See `Source.note`."""
        return f"reading CityPersons' {os.path.relpath(self.name, self.root).replace(os.sep, '/')}"

    def _read(self, report: BrokenRecords) -> Iterator[AnnotatedImage | None]:
        path = Path(self.name)
        if path.suffix == ".mat":
            yield from read_annotations(path)
        elif not self.labelled:
            nothing = AnnotatedImage("", "", np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros((0, 4)))
            for picture in sorted(path.glob("*/*.png")):
                yield nothing._replace(city=picture.parent.name, name=picture.name)
        else:
            for file in sorted(path.glob(f"*/*{ENDING}")):
                try:
                    yield read_image_annotation(file)
                except ValueError as error:
                    report.broken(str(error).replace(str(file), os.path.relpath(file, path)))
                    yield None


def is_citypersons(folder: Path) -> bool:
    """Whether a folder has Cityscapes' pictures, with or without CityPersons' annotations."""
    return (folder / _PICTURES).is_dir()


def find_citypersons(folder: Path, split: str, *, splitting: bool) -> CityPersonsSplit:
    """Finds the annotations of a split; one without annotations has no labels.

    Args:
        folder: holds ``leftImg8bit``, and the annotations in it or in ``annotations``.
        split: "train", "val" or "test".
        splitting: see `choose_list`.

    Raises:
        FileNotFoundError: there is no such split.
    """
    lists = {
        part.name: _annotations_of(folder, part.name)
        for part in sorted((folder / _PICTURES).iterdir())
        if part.is_dir()
    }
    (path, labelled), whole = choose_list(folder, split, lists, splitting=splitting)
    name = next(name for name, entry in lists.items() if entry[0] == path)
    return CityPersonsSplit(str(path), folder, name, labelled, whole)


def _annotations_of(folder: Path, split: str) -> tuple[Path, bool]:
    """The annotations of a split, or its pictures where there are none; and whether there are some."""
    files = [file for place in _MAT_PLACES for file in sorted((folder / place).glob(f"anno_{split}*.mat"))]
    if (folder / _JSON_FOLDER / split).is_dir():
        files.append(folder / _JSON_FOLDER / split)
    return (files[0], True) if files else (folder / _PICTURES / split, False)


def _record(image: AnnotatedImage, number: int) -> dict[str, Any]:
    label, box = int(image.labels[number]), image.boxes[number].tolist()
    return {
        "category_id": PEDESTRIAN,
        "bbox": box,
        "area": box[2] * box[3],
        "iscrowd": int(label in _REGIONS),
        "ignore": int(label != PEDESTRIAN),
        "label": CLASSES[label],
        "vis_bbox": image.visible[number].tolist(),
    }
