"""Datumaro's JSON, which CVAT exports too: one file for each subset, classes by their numbers.

Boxes, polygons and masks are objects, and of one label and one group parts of one object, unless the group
has several boxes: CVAT's users group whole objects. Labels and captions of pictures say nothing of places.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from cascade_tf.coco_format.fields import shown
from cascade_tf.coco_format.numbers import as_flag, as_integer
from cascade_tf.coco_format.other_tools import is_datumaro
from cascade_tf.coco_format.outlines import is_polygon, outline_box, read_outline
from cascade_tf.data.sources.tools.json_file import JsonFile, choose_file
from cascade_tf.data.sources.tools.labelled import LabelledObject, LabelledPicture, class_name
from cascade_tf.data.sources.tools.shapes import (
    Corners,
    box_around,
    box_of_sides,
    list_of,
    mapping_of,
    number_of,
)

_OF_WHOLE_PICTURES = ("label", "caption")


@dataclass(frozen=True)
class DatumaroFile(JsonFile):
    """A file of a subset."""

    def records(self) -> Iterator[tuple[str, Any]]:
        """See `LabelledPictures.records`."""
        content = self._content()
        names = _labels(content["categories"], self.name)
        for number, item in enumerate(content["items"]):
            yield self.place(number), (item, names)

    def read(self, record: Any) -> LabelledPicture:
        """See `LabelledPictures.read`."""
        item, names = mapping_of(record[0], "the item"), record[1]
        annotations = list_of(item.get("annotations", []), "annotations")
        parts = [_part(one, f"annotations[{number}]", names) for number, one in enumerate(annotations)]
        image = item.get("image") or item.get("media") or {}
        size = mapping_of(image, "image").get("size") or (None, None)
        if not isinstance(size, (list, tuple)) or len(size) != 2:
            raise ValueError(f"image.size is {shown(size)}, expected [height, width]")
        path = image.get("path") or item.get("id")
        return LabelledPicture(path, _joined([part for part in parts if part is not None]), size[1], size[0])

    def class_names(self) -> Sequence[str]:
        """See `LabelledPictures.class_names`."""
        return _labels(self._content()["categories"], self.name)

    def _content(self) -> dict:
        content = self.load()
        if not is_datumaro(content):
            raise ValueError(f"{self.name}: is not Datumaro's, expected items and categories")
        return content


def find_datumaro(root: Path, split: str, *, splitting: bool) -> DatumaroFile:
    """Finds the file of a split, see `choose_file`."""
    file, name, whole = choose_file(root, "datumaro", split, splitting=splitting)
    return DatumaroFile(str(file), f"Datumaro's {name}", whole=whole)


class _Part(NamedTuple):
    label: str
    group: int
    where: str
    corners: Corners
    segmentation: Any
    marks: dict[str, int]
    is_box: bool


def _labels(categories: dict, name: str) -> list[str]:
    try:
        labels = list_of(mapping_of(categories.get("label"), "label").get("labels"), "label.labels")
        names = [
            class_name(mapping_of(one, f"label.labels[{n}]").get("name"), f"label.labels[{n}].name")
            for n, one in enumerate(labels)
        ]
    except ValueError as error:
        raise ValueError(f"{name}: categories: {error}") from None
    if len(set(names)) < len(names):
        raise ValueError(f"{name}: categories: label.labels has equal names, expected distinct names")
    return names


def _part(record: Any, where: str, names: Sequence[str]) -> _Part | None:
    fields = mapping_of(record, where)
    kind = fields.get("type")
    if kind in _OF_WHOLE_PICTURES:
        return None
    corners, segmentation = _outline(fields, kind, where)
    number = as_integer(fields.get("label_id"))
    if number is None or not 0 <= number < len(names):
        raise ValueError(
            f"{where}: label_id is {shown(fields.get('label_id'))}, expected one of the {len(names)} labels"
        )
    attributes = mapping_of(fields.get("attributes") or {}, f"{where}: attributes")
    marks = {
        field: flag
        for field, flag in (
            ("iscrowd", as_flag(attributes.get("is_crowd"))),
            ("occluded", as_flag(attributes.get("occluded"))),
        )
        if flag
    }
    group = as_integer(fields.get("group")) or 0
    return _Part(names[number], group, where, corners, segmentation, marks, kind == "bbox")


def _outline(fields: dict, kind: Any, where: str) -> tuple[Corners, Any]:
    if kind == "bbox":
        sides = list_of(fields.get("bbox"), f"{where}: bbox")
        if len(sides) != 4:
            raise ValueError(f"{where}: bbox is {shown(sides)}, expected [x, y, width, height]")
        return box_of_sides(*(number_of(side, f"{where}: bbox") for side in sides)), None
    if kind == "polygon":
        numbers = [
            number_of(n, f"{where}: points") for n in list_of(fields.get("points"), f"{where}: points")
        ]
        if not is_polygon(numbers):
            raise ValueError(f"{where}: points has {len(numbers)} numbers, expected three points or more")
        return box_around(list(zip(numbers[::2], numbers[1::2], strict=True))), [numbers]
    if kind == "mask":
        segmentation = read_outline(fields.get("rle")).segmentation
        box = outline_box(segmentation) if isinstance(segmentation, dict) else None
        if box is None:
            raise ValueError(f"{where}: rle is {shown(fields.get('rle'))}, expected run lengths")
        return box_of_sides(*box), segmentation
    raise ValueError(f"{where}: type is {shown(kind)}, which has no box; expected bbox, polygon or mask")


def _joined(parts: Sequence[_Part]) -> list[LabelledObject]:
    groups: dict[Any, list[_Part]] = {}
    for number, part in enumerate(parts):
        groups.setdefault((part.label, part.group) if part.group else number, []).append(part)
    objects: list[LabelledObject] = []
    for group in groups.values():
        together = sum(part.is_box for part in group) <= 1
        objects += [_object(group)] if together else [_object([part]) for part in group]
    return objects


def _object(parts: Sequence[_Part]) -> LabelledObject:
    own = next((part for part in parts if part.is_box), None)
    around = box_around([point for part in parts for point in (part.corners[:2], part.corners[2:])])
    marks = {field: value for part in parts for field, value in part.marks.items()}
    outlines = [part.segmentation for part in parts if part.segmentation is not None]
    polygons = [outline for outline in outlines if isinstance(outline, list)]
    segmentation: Any = [one[0] for one in polygons] if polygons else next(iter(outlines), None)
    return LabelledObject(
        parts[0].label, around if own is None else own.corners, parts[0].where, segmentation, marks
    )
