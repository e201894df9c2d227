"""PASCAL VOC's devkit: ``ImageSets/Main``, ``Annotations`` and ``JPEGImages``, of one year or of several.

Several years are one data set, as 2007 and 2012 are in the paper. Where a year has published the annotations
of its test images, as 2007 has, all others are to train on and those to measure on.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from cascade_tf.data.annotations.broken import BrokenRecords
from cascade_tf.data.annotations.values import PLACE
from cascade_tf.data.layouts import ALL
from cascade_tf.data.sources.lists import choose_list
from cascade_tf.data.sources.source import Published, Source, box_of_corners, ids_of_names, pictures_by_stem
from cascade_tf.formats.voc import CLASSES, read_list
from cascade_tf.formats.voc_annotations import VocAnnotation, read_annotation

_PUBLISHED = {
    "VOC2007": {"train": 2_501, "val": 2_510, "trainval": 5_011, "test": 4_952},
    "VOC2012": {"train": 5_717, "val": 5_823, "trainval": 11_540, "test": 10_991},
}
"""Images of the lists of years."""


class VocEntry(NamedTuple):
    """An image of a list.

    Attributes:
        edition: the folder of its year.
        name: of its files there.
    """

    edition: Path
    name: str

    @property
    def annotation(self) -> Path:
        """Its XML file."""
        return self.edition / "Annotations" / f"{self.name}.xml"


@dataclass(frozen=True)
class VocLists(Source):
    """Images of some lists.

    Attributes:
        name: of the folder.
        entries: the images, the folder of their year and their name.
        what: the lists, as notes call them.
        labelled: see `Source`.
        whole: see `Source`.
        published: see `Source`.
        files: of the lists; none where all annotations are read.
    """

    name: str
    entries: tuple[VocEntry, ...]
    what: str
    labelled: bool = True
    whole: bool = False
    published: Published | None = None
    files: tuple[Path, ...] = ()

    def content(self, report: BrokenRecords) -> dict[str, list]:
        """Reads the annotations, see `Source.content`.

        An image whose annotation is broken or missing is left out.
        """
        read = list(self.annotated(report))
        editions = {entry.edition for entry in self.entries}
        files = {edition: pictures_by_stem(edition / "JPEGImages") for edition in editions}
        classes = self._classes([annotation for _, _, annotation in read])
        images: list[dict] = []
        annotations: list[dict] = []
        for image_id, entry, annotation in read:
            place = self._below(entry.annotation)
            picture = files[entry.edition].get(entry.name, f"{entry.name}.jpg")
            images.append(
                {
                    "id": image_id,
                    "file_name": self._below(entry.edition / "JPEGImages" / picture),
                    "width": annotation.width,
                    "height": annotation.height,
                    PLACE: place,
                }
            )
            for number, one in enumerate(annotation.objects):
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": image_id,
                        "category_id": classes[one.name],
                        **box_of_corners(one.box.tolist()),
                        "iscrowd": 0,
                        "ignore": int(one.difficult),
                        "difficult": int(one.difficult),
                        "truncated": int(one.truncated),
                        "occluded": int(one.occluded),
                        PLACE: f"{place}, object {number}",
                    }
                )
        categories = [{"id": number, "name": name} for name, number in classes.items()]
        return {"images": images, "annotations": annotations, "categories": categories}

    def years(self) -> set[str]:
        """Names of the years' folders, such as ``VOC2007``."""
        return {edition.resolve().name for edition in {entry.edition for entry in self.entries}}

    def lists(self) -> dict[Path, list[str]]:
        """Names of the lists by the folders of the years that the images are of."""
        folders = dict.fromkeys(entry.edition for entry in self.entries)
        return {folder: [file.stem for file in self.files if file.parents[2] == folder] for folder in folders}

    def image_dir(self, images: Sequence[Any]) -> Path:
        """See `Source.image_dir`."""
        return Path(self.name)

    def note(self, image_dir: Path) -> str | None:
        """See `Source.note`."""
        return f"reading PASCAL VOC's {self.what}"

    def annotated(self, report: BrokenRecords) -> Iterator[tuple[int, VocEntry, VocAnnotation]]:
        """Reads the images one after another: id, place and annotation, those that are broken left out."""
        ids = ids_of_names([entry.name for entry in self.entries])
        for image_id, entry in zip(ids, self.entries, strict=True):
            if not self.labelled:
                yield image_id, entry, VocAnnotation(None, None, [])
                continue
            try:
                yield image_id, entry, read_annotation(entry.annotation)
            except (FileNotFoundError, ValueError) as error:
                line = str(error).replace(str(entry.annotation), self._below(entry.annotation))
                report.broken(line, missing_file=isinstance(error, FileNotFoundError))

    def _classes(self, annotations: Sequence[VocAnnotation]) -> dict[str, int]:
        """VOC's classes; those that occur where there are others, or where no year of VOC's is read."""
        found = {one.name for annotation in annotations for one in annotation.objects}
        if found <= set(CLASSES) and (not found or any(map(_is_year, self.years()))):
            return {name: number for number, name in enumerate(CLASSES, start=1)}
        return {name: number for number, name in enumerate(sorted(found), start=1)}

    def _below(self, path: Path) -> str:
        return os.path.relpath(path, self.name).replace(os.sep, "/")


def is_voc(folder: Path) -> bool:
    """Whether a folder is a devkit, or one of its years."""
    return bool(_editions(folder))


def find_voc(folder: Path, split: str, *, splitting: bool) -> VocLists:
    """Finds the lists of a split.

    Args:
        folder: of one year, or above it.
        split: "train" is the lists ``trainval`` and "val" the lists ``test`` where there are annotations of a
            test list; else they are the lists of those names. Any other name is a list's; "all" is all images
            with annotations.
        splitting: see `choose_list`.

    Raises:
        FileNotFoundError: there is no such list.
        ValueError: as in `choose_list`.
    """
    lists: dict[str, list[Path]] = defaultdict(list)
    editions = _editions(folder)
    for edition in editions:
        for path in sorted((edition / "ImageSets" / "Main").glob("*.txt")):
            # What is named after a class marks images with 1 and -1 and has one row for each image, too.
            lists[path.stem].append(path)
    chosen: Mapping[str, Sequence[Path]] = {**_named(lists), ALL: ()}
    paths, whole = choose_list(folder, split, chosen, splitting=splitting)
    if paths:
        entries = [VocEntry(path.parents[2], name) for path in paths for name in read_list(path)]
        what = "lists " + ", ".join(os.path.relpath(path, folder).replace(os.sep, "/") for path in paths)
    else:
        entries = [
            VocEntry(edition, path.stem)
            for edition in editions
            for path in sorted((edition / "Annotations").glob("*.xml"))
        ]
        what = "annotations of " + ", ".join(edition.name for edition in editions)
    labelled = not entries or any(entry.annotation.is_file() for entry in entries)
    return VocLists(str(folder), tuple(entries), what, labelled, whole, _published(paths), tuple(paths))


def _published(lists: Sequence[Path]) -> Published | None:
    """What the benchmark has published in these lists; None where one of them is not its own."""
    counts = [_PUBLISHED.get(path.parents[2].resolve().name, {}).get(path.stem) for path in lists]
    known = [count for count in counts if count is not None]
    if not known or len(known) < len(counts):
        return None
    parts = " and ".join(f"{path.parents[2].resolve().name[3:]} {path.stem}" for path in lists)
    return Published(f"PASCAL VOC {parts}", sum(known), len(CLASSES))


def _named(lists: Mapping[str, Sequence[Path]]) -> dict[str, Sequence[Path]]:
    """The lists by the splits that they are, without those of single classes."""
    whole = {
        name: paths
        for name, paths in lists.items()
        if "_" not in name or name.rpartition("_")[2] not in lists
    }
    tests = [path for path in whole.get("test", ()) if _has_annotations(path)]
    to_train = [*whole.get("trainval", ())]
    with_both = {path.parent for path in to_train}
    to_train += [path for path in whole.get("train", ()) if path.parent not in with_both]
    if to_train and tests:
        return {**whole, "train": to_train, "val": tests}
    if "train" not in whole and "val" not in whole and to_train:
        return {**whole, "train": to_train}
    return whole


def _has_annotations(path: Path) -> bool:
    return any(VocEntry(path.parents[2], name).annotation.is_file() for name in read_list(path))


def _editions(folder: Path) -> list[Path]:
    """The folders of years that a folder is or holds."""
    folders = [folder, *sorted(folder.glob("VOC*")), *sorted(folder.glob("VOCdevkit/VOC*"))]
    return [
        one for one in folders if next((one / "ImageSets" / "Main").glob("*.txt"), None) and _has_parts(one)
    ]


def _has_parts(edition: Path) -> bool:
    return (edition / "Annotations").is_dir() or (edition / "JPEGImages").is_dir()


def _is_year(name: str) -> bool:
    return name.startswith("VOC") and name[3:].isdigit()
