"""PASCAL VOC's XML as labelImg, CVAT and Roboflow write it: the corners of boxes are edges.

The files lie beside the pictures or in a folder of their own. CVAT's export looks like VOC's devkit, with
``labelmap.txt`` beside its folders.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from cascade_tf.data.layouts import ALL, split_of_names
from cascade_tf.data.sources.lists import choose_list
from cascade_tf.data.sources.tools.folders import (
    Tree,
    below,
    by_split,
    files_of,
    list_tree,
    pictures_of,
)
from cascade_tf.data.sources.tools.labelled import LabelledObject, LabelledPicture, LabelledPictures
from cascade_tf.formats.voc import read_list
from cascade_tf.formats.voc_annotations import read_annotation

_LOOKS = 8
_FOLDERS_OF_PICTURES = ("images", "JPEGImages", "imgs", "img", "image")


@dataclass(frozen=True)
class XmlFiles(LabelledPictures):
    """Files of pictures.

    Attributes:
        files: of annotations and, where one lies beside or in a folder of pictures, of its picture.
    """

    files: tuple[tuple[str, str | None], ...] = ()

    def records(self) -> Iterator[tuple[str, Any]]:
        """See `LabelledPictures.records`."""
        for file, picture in self.files:
            yield file, (file, picture)

    def read(self, record: Any) -> LabelledPicture:
        """See `LabelledPictures.read`."""
        file, picture = record
        path = Path(self.name, file)
        try:
            annotation = read_annotation(path, plain_edges=True)
        except (FileNotFoundError, ValueError) as error:
            # What reads it begins with the path, which is said already.
            raise type(error)(str(error).removeprefix(str(path)).lstrip(":, ")) from None
        objects = [
            LabelledObject(
                one.name,
                tuple(one.box.tolist()),
                f"object {number}",
                marks={
                    "ignore": int(one.difficult),
                    "difficult": int(one.difficult),
                    "truncated": int(one.truncated),
                    "occluded": int(one.occluded),
                },
            )
            for number, one in enumerate(annotation.objects)
        ]
        return LabelledPicture(picture or annotation.file_name, objects, annotation.width, annotation.height)


def xml_files(tree: Tree) -> list[Path]:
    """The first annotations of a folder, if they are such XML; else nothing."""
    return [file for file in islice(files_of(tree, ".xml"), _LOOKS) if _is_annotation(file)]


def is_cvat_devkit(folder: Path) -> bool:
    """Whether a folder looks like VOC's devkit and was written by CVAT, or by Datumaro."""
    return (folder / "labelmap.txt").is_file() and (folder / "ImageSets" / "Main").is_dir()


def find_xml(root: Path, split: str, *, splitting: bool) -> XmlFiles:
    """Finds the files of a split.

    Args:
        root: the folder of the data set.
        split: "train", "val" or "test", for which the name of a folder, or of a list in CVAT's export, has a
            word; "all" is all files.
        splitting: see `choose_list`.

    Raises:
        FileNotFoundError: there is no such split.
        ValueError: as in `choose_list`.
    """
    tree = list_tree(root)
    if is_cvat_devkit(root):
        return _of_cvat(root, tree, split, splitting)
    lists = by_split(files_of(tree, ".xml"), root)
    chosen, whole = choose_list(root, split, lists, splitting=splitting)
    return _files(root, tree, chosen, f"{len(chosen)} XML files, corners as edges", whole)


def _of_cvat(root: Path, tree: Tree, split: str, splitting: bool) -> XmlFiles:
    names = {path.stem: path for path in sorted((root / "ImageSets" / "Main").glob("*.txt"))}
    lists: dict[str, list[Path]] = {ALL: files_of(tree, ".xml")}
    for name, path in names.items():
        # Lists of one class end like those of all.
        found = None if name.rpartition("_")[2] in names and "_" in name else split_of_names((name,))
        if found is not None:
            lists[found] = [root / "Annotations" / f"{one}.xml" for one in read_list(path)]
    chosen, whole = choose_list(root, split, lists, splitting=splitting)
    return _files(root, tree, chosen, f"CVAT's {len(chosen)} XML files, corners as edges", whole)


def _files(root: Path, tree: Tree, chosen: Sequence[Path], what: str, whole: bool) -> XmlFiles:
    pictures = {place: pictures_of(names) for place, names in tree.items()}
    places: dict[Path, list[Path]] = {}
    pairs = []
    for file in chosen:
        if file.parent not in places:
            places[file.parent] = [place for place in _places(file.parent, root) if place in pictures]
        found = (
            place / names[0]
            for place in places[file.parent]
            if len(names := pictures[place].get(file.stem, [])) == 1
        )
        picture = next(found, None)
        pairs.append((below(file, root), None if picture is None else below(picture, root)))
    return XmlFiles(str(root), what, whole=whole, files=tuple(pairs))


def _places(folder: Path, root: Path) -> list[Path]:
    """Where the pictures of a folder of annotations may be: there, beside it, or in its twin elsewhere."""
    parts = folder.relative_to(root).parts
    twins = [
        root.joinpath(*parts[:level], name, *parts[level + 1 :])
        for level in reversed(range(len(parts)))
        for name in _FOLDERS_OF_PICTURES
    ]
    return [folder, *twins, *(folder / name for name in _FOLDERS_OF_PICTURES), folder.parent]


def _is_annotation(file: Path) -> bool:
    with open(file, "rb") as stream:
        # labelImg marks what was verified in the tag.
        return re.search(rb"<annotation[\s>]", stream.read(4096)) is not None
