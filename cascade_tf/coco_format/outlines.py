"""Outlines of objects: polygons and run lengths in the forms of labelling tools, and what they measure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pycocotools import mask as coco_mask

from cascade_tf.coco_format.numbers import as_integer, as_number
from cascade_tf.masks import run_lengths

MAX_COORDINATE = 1e5
"""Drawing a polygon takes time and memory for each pixel of its outline, outside the image too."""


class Outline(NamedTuple):
    """A segmentation as it was understood.

    Attributes:
        segmentation: lists of numbers, or a mapping of run lengths; what was given where nothing was changed.
        reshaped: it had another form than COCO's.
        parts_left: polygons were left out that cannot be drawn, beside usable ones.
    """

    segmentation: Any
    reshaped: bool = False
    parts_left: bool = False


def read_outline(segmentation: Any) -> Outline:
    """Reads a segmentation that may be flat, of pairs, of text, or have broken polygons beside usable ones.

    >>> read_outline([1, 2, 9, 2, 9, 8]).segmentation
    [[1, 2, 9, 2, 9, 8]]
    >>> read_outline([[1, 2], [9, 2], [9, 8]]).segmentation
    [[1, 2, 9, 2, 9, 8]]
    """
    if isinstance(segmentation, Mapping):
        read = _run_lengths(segmentation)
        return Outline(read, reshaped=read is not segmentation)
    if not isinstance(segmentation, list) or all(map(is_polygon, segmentation)):
        return Outline(segmentation)
    polygons = [_polygon(part) for part in _parts(segmentation)]
    usable = [polygon for polygon in polygons if is_polygon(polygon)]
    if not usable:
        return Outline(segmentation)
    reshaped = any(polygon not in segmentation for polygon in usable)
    return Outline(usable, reshaped, parts_left=len(usable) < len(polygons))


def outline_area(segmentation: Any, size: tuple[int, int] | None) -> float:
    """Returns the pixels that an outline covers; 0 where it cannot be drawn.

    Args:
        segmentation: polygons or run lengths.
        size: (height, width) of the image, where it is known.
    """
    try:
        if isinstance(segmentation, Mapping):
            return float(coco_mask.area(run_lengths.checked(segmentation, size)))
    except ValueError:
        return 0.0
    if not isinstance(segmentation, list) or not segmentation or size is None:
        return 0.0
    if not all(map(is_polygon, segmentation)):
        return 0.0
    return float(coco_mask.area(coco_mask.merge(coco_mask.frPyObjects(segmentation, *size))))


def outline_box(segmentation: Any) -> list[float] | None:
    """Returns the box [x, y, width, height] around an outline; None where it cannot be drawn."""
    if isinstance(segmentation, list) and segmentation and all(map(is_polygon, segmentation)):
        x = [number for polygon in segmentation for number in polygon[::2]]
        y = [number for polygon in segmentation for number in polygon[1::2]]
        return [min(x), min(y), max(x) - min(x), max(y) - min(y)]
    if isinstance(segmentation, Mapping):
        try:
            return [float(side) for side in coco_mask.toBbox(run_lengths.checked(segmentation))]
        except ValueError:
            return None
    return None


def is_polygon(value: Any) -> bool:
    """Whether a value is a list ``[x1, y1, x2, y2, ...]`` of three points or more that can be drawn."""
    # Two points are a box to pycocotools, and an odd number is read beyond the end.
    if not isinstance(value, list) or len(value) < 6 or len(value) % 2:
        return False
    return set(map(type, value)) <= {int, float} and all(abs(number) < MAX_COORDINATE for number in value)


def _parts(segmentation: list) -> list:
    """The polygons of a list, which may be one polygon itself: flat, or of pairs."""
    flat = not any(isinstance(part, list) for part in segmentation)
    pairs = len(segmentation) >= 3 and all(isinstance(part, list) and len(part) == 2 for part in segmentation)
    # Two lists would be points as well as polygons.
    of_numbers = pairs and not any(isinstance(side, list) for part in segmentation for side in part)
    return [segmentation] if flat or of_numbers else segmentation


def _polygon(part: Any) -> Any:
    """A polygon as a flat list of numbers, where it can be told."""
    if not isinstance(part, list):
        return part
    if part and all(isinstance(point, list) and len(point) == 2 for point in part):
        part = [side for point in part for side in point]
    numbers = [as_number(side) for side in part]
    return part if None in numbers else numbers


def _run_lengths(segmentation: Mapping[str, Any]) -> Mapping[str, Any]:
    changes = {}
    for key in ("size", "counts"):
        values = segmentation.get(key)
        if isinstance(values, list) and not set(map(type, values)) <= {int}:
            numbers = [as_integer(value) for value in values]
            if None not in numbers:
                changes[key] = numbers
    return {**segmentation, **changes} if changes else segmentation
