"""VIA 1 and 2: projects, and the regions that they export as JSON.

Rectangles, circles, ellipses and polygons are objects; lines and points have no box. An attribute of the
regions names the class.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cascade_tf.coco_format.fields import shown
from cascade_tf.coco_format.other_tools import is_via
from cascade_tf.data.sources.tools.json_file import JsonFile, choose_file
from cascade_tf.data.sources.tools.labelled import LabelledObject, LabelledPicture, class_name
from cascade_tf.data.sources.tools.shapes import (
    Corners,
    box_around,
    box_of_sides,
    list_of,
    mapping_of,
    number_of,
    polygon_of,
    round_outline,
)


@dataclass(frozen=True)
class ViaFile(JsonFile):
    """A project, or exported regions.

    Attributes:
        attribute: of regions, which names the class; None: the only one that they have.
    """

    attribute: str | None = None
    sized = False

    def classed_by(self, attribute: str) -> ViaFile:
        """See `Source.classed_by`."""
        return replace(self, attribute=attribute)

    def records(self) -> Iterator[tuple[str, Any]]:
        """See `LabelledPictures.records`."""
        content = self.load()
        if not is_via(content):
            raise ValueError(f"{self.name}: is not VIA's project or regions")
        pictures = content.get("_via_img_metadata", content)
        if not isinstance(pictures, dict):
            raise ValueError(f"{self.name}: _via_img_metadata is {shown(pictures)}, expected an object")
        attribute = self.attribute or self._only_attribute(pictures)
        for key, record in pictures.items():
            yield self.place(key), (record, attribute)

    def read(self, record: Any) -> LabelledPicture:
        """See `LabelledPictures.read`."""
        fields, attribute = mapping_of(record[0], "the picture"), record[1]
        return LabelledPicture(
            fields.get("filename"),
            [
                _object(mapping_of(region, f"regions[{key}]"), f"regions[{key}]", attribute)
                for key, region in _regions(fields).items()
            ],
        )

    def _only_attribute(self, pictures: dict) -> str:
        counts = Counter(
            name
            for record in pictures.values()
            if isinstance(record, dict) and isinstance(record.get("regions"), (dict, list))
            for region in _regions(record).values()
            if isinstance(region, dict) and isinstance(region.get("region_attributes"), dict)
            for name in region["region_attributes"]
        )
        if len(counts) > 1:
            raise ValueError(
                f"{self.name}: regions have the attributes {', '.join(map(repr, counts))}, expected to know "
                "which names the class: class_attribute says it (in programs --set data.class_attribute=NAME)"
            )
        return next(iter(counts), "name")


def find_via(root: Path, split: str, *, splitting: bool) -> ViaFile:
    """Finds the file of a split, see `choose_file`."""
    file, name, whole = choose_file(root, "via", split, splitting=splitting)
    return ViaFile(str(file), f"VIA's {name}", whole=whole)


def _regions(record: dict) -> dict:
    """The regions of a picture; VIA 1 numbers them, VIA 2 lists them."""
    regions = record.get("regions")
    if isinstance(regions, dict):
        return regions
    return dict(enumerate(list_of(regions, "regions")))


def _object(region: dict, where: str, attribute: str) -> LabelledObject:
    shape = mapping_of(region.get("shape_attributes"), f"{where}: shape_attributes")
    attributes = mapping_of(region.get("region_attributes"), f"{where}: region_attributes")
    corners, polygon = _outline(shape, f"{where}: shape_attributes")
    name = class_name(_chosen(attributes.get(attribute)), f"{where}: region_attributes.{attribute}")
    return LabelledObject(name, corners, where, None if polygon is None else [polygon])


def _chosen(value: Any) -> Any:
    """What an attribute says; of boxes to tick, the only one that is ticked."""
    if isinstance(value, dict):
        ticked = [name for name, is_ticked in value.items() if is_ticked is True]
        return ticked[0] if len(ticked) == 1 else value
    return value


def _outline(shape: dict, where: str) -> tuple[Corners, list[float] | None]:
    def number(field: str) -> float:
        return number_of(shape.get(field), f"{where}.{field}")

    kind = shape.get("name")
    if kind == "rect":
        return box_of_sides(number("x"), number("y"), number("width"), number("height")), None
    if kind == "circle":
        return round_outline(number("cx"), number("cy"), number("r"), number("r"))
    if kind == "ellipse":
        # VIA 1 had no turned ellipses.
        angle = number("theta") if "theta" in shape else 0.0
        return round_outline(number("cx"), number("cy"), number("rx"), number("ry"), angle)
    if kind == "polygon":
        x, y = (list_of(shape.get(f"all_points_{axis}"), f"{where}.all_points_{axis}") for axis in "xy")
        if len(x) != len(y) or len(x) < 3:
            raise ValueError(f"{where}: has {len(x)} x and {len(y)} y, expected three points or more")
        points = [
            (number_of(a, f"{where}.all_points_x"), number_of(b, f"{where}.all_points_y"))
            for a, b in zip(x, y, strict=True)
        ]
        return box_around(points), polygon_of(points)
    raise ValueError(
        f"{where}.name is {shown(kind)}, which has no box; expected rect, circle, ellipse or polygon"
    )
