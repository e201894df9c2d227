"""YOLO's labels: a text file for each picture, a line for each object, shares of the picture's sides.

A line is ``class x_center y_center width height``, or the class and the points of an outline. A picture with
an empty file, or without one, has no objects.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cascade_tf.coco_format.fields import shown
from cascade_tf.coco_format.numbers import as_integer
from cascade_tf.data.image_headers import read_header
from cascade_tf.data.sources.lists import choose_list
from cascade_tf.data.sources.tools.folders import below, list_tree
from cascade_tf.data.sources.tools.labelled import LabelledObject, LabelledPicture, LabelledPictures
from cascade_tf.data.sources.tools.shapes import box_around, number_of, polygon_of
from cascade_tf.data.sources.tools.yolo_folder import label_folder, read_folder, shown_description

_BOX = ("x_center", "y_center", "width", "height")
_NUMBERS_OF_BOX = len(_BOX)
# Rounded shares and outlines that are drawn over the edge; boxes are clipped to their picture.
_TOLERANCE = 0.01


@dataclass(frozen=True)
class YoloLabels(LabelledPictures):
    """Pictures with their labels.

    Attributes:
        pictures: below the folder, each with the file of its labels; None: it has none.
        classes: names, by YOLO's numbers.
        with_points: whether key points follow the box on each line.
    """

    pictures: tuple[tuple[str, str | None], ...] = ()
    classes: tuple[str, ...] = ()
    with_points: bool = False
    exact_names = True
    sized = False

    def records(self) -> Iterator[tuple[str, Any]]:
        """See `LabelledPictures.records`."""
        for picture, labels in self.pictures:
            yield labels or picture, (picture, labels)

    def read(self, record: Any) -> LabelledPicture:
        """See `LabelledPictures.read`."""
        picture, labels = record
        path = os.path.join(self.name, picture)
        lines = [] if labels is None else _lines(os.path.join(self.name, labels))
        if not lines or not os.path.isfile(path):
            return LabelledPicture(picture, ())
        try:
            height, width = read_header(path).upright_size
        except ValueError:
            raise ValueError(f"are shares of {picture}, which is not a readable image") from None
        objects = [self._object(words, f"line {number}", (width, height)) for number, words in lines]
        return LabelledPicture(picture, objects, width, height)

    def class_names(self) -> Sequence[str]:
        """See `LabelledPictures.class_names`."""
        return self.classes

    def _object(self, words: Sequence[str], where: str, size: tuple[int, int]) -> LabelledObject:
        number = as_integer(words[0])
        if number is None or not 0 <= number < len(self.classes):
            raise ValueError(
                f"{where}: class is {shown(words[0])}, expected a number from 0 to {len(self.classes) - 1}"
            )
        name, values = self.classes[number], words[1:]
        if self.with_points:
            values = values[:_NUMBERS_OF_BOX]
        if len(values) == _NUMBERS_OF_BOX:
            x, y, width, height = (
                _share(value, f"{where}: {field}") for field, value in zip(_BOX, values, strict=True)
            )
            x1, y1, x2, y2 = x - width / 2, y - height / 2, x + width / 2, y + height / 2
            return LabelledObject(name, (x1 * size[0], y1 * size[1], x2 * size[0], y2 * size[1]), where)
        if len(values) < 6 or len(values) % 2:
            raise ValueError(
                f"{where}: has {len(words)} values, expected class {' '.join(_BOX)}, or three points or more"
            )
        shares = [_share(value, f"{where}: {'xy'[n % 2]}{n // 2 + 1}") for n, value in enumerate(values)]
        points = [(x * size[0], y * size[1]) for x, y in zip(shares[::2], shares[1::2], strict=True)]
        return LabelledObject(name, box_around(points), where, [polygon_of(points)])


def find_yolo(root: Path, split: str, *, splitting: bool) -> YoloLabels:
    """Finds the pictures of a split.

    Args:
        root: the folder of the data set, or its description.
        split: "train", "val" or "test", which the description lists, or for which the name of a folder has a
            word; "all" is all pictures.
        splitting: see `choose_list`.

    Raises:
        FileNotFoundError: there is no such split.
        ValueError: as in `choose_list` and `read_folder`.
    """
    folder = read_folder(root)
    if split in folder.missing and not (split == "val" and splitting):
        raise FileNotFoundError(folder.missing[split])
    chosen, whole = choose_list(root, split, folder.lists, splitting=splitting)
    described = shown_description(folder, root)
    root = root if root.is_dir() else root.parent
    tree = list_tree(root)
    places = {place: label_folder(place, names, tree, root) for place, names in tree.items()}
    names = {place: frozenset(tree[place]) for place in set(places.values()) if place is not None}
    pairs: list[tuple[str, str | None]] = []
    shown_places = {place: below(place, root) for place in tree}
    for picture in chosen:
        labels, name = places.get(picture.parent), f"{picture.stem}.txt"
        file = None
        if labels is not None and name in names[labels]:
            file = _joined(shown_places[labels], name)
        prefix = shown_places.get(picture.parent) or below(picture.parent, root)
        pairs.append((_joined(prefix, picture.name), file))
    without = sum(labels is None for _, labels in pairs)
    what = f"YOLO's labels of {len(pairs)} pictures, classes of {described}"
    if without:
        what += f"; {without} have no file of labels and count as pictures without objects"
    labelled = not pairs or without < len(pairs)
    return YoloLabels(
        str(root),
        what if labelled else f"YOLO's {len(pairs)} pictures without labels",
        labelled,
        whole,
        pictures=tuple(pairs),
        classes=folder.classes,
        with_points=folder.with_points,
    )


def _joined(folder: str, name: str) -> str:
    return name if folder == "." else f"{folder}/{name}"


def _lines(path: str) -> list[tuple[int, list[str]]]:
    with open(path, encoding="utf-8-sig", errors="replace") as stream:
        return [(number, line.split()) for number, line in enumerate(stream, start=1) if line.strip()]


def _share(value: str, field: str) -> float:
    number = number_of(value, field)
    if not -_TOLERANCE <= number <= 1 + _TOLERANCE:
        raise ValueError(f"{field} is {value}, expected a share of the picture from 0 to 1")
    return number
