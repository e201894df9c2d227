"""Annotations as the COCO protocol takes them: checked, completed, and copied.

Every complaint names the record and the field.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral
from typing import Any

from absl import logging
from pycocotools import mask as coco_mask

from cascade_tf.coco_format import records
from cascade_tf.coco_format.fields import box_in, known_in, need, own_id_in, record_at, shown, some, wrong
from cascade_tf.coco_format.file import load_annotation_file
from cascade_tf.coco_format.numbers import as_flag
from cascade_tf.coco_format.outlines import is_polygon
from cascade_tf.masks import run_lengths

GEOMETRY = {"bbox": "bbox", "segm": "segmentation"}
"""The field of a record that holds its shape, for each of pycocotools' ``iouType``."""

_MOST_PIXELS = (1 << 31) - 1


def require_iou_type(iou_type: str) -> None:
    """Raises ValueError unless boxes or masks are to be measured."""
    if iou_type not in GEOMETRY:
        raise ValueError(f"iou_type must be 'bbox' or 'segm', got {iou_type!r}")


class Annotations(dict[str, Any]):
    """The content of an annotation file as it is understood, its images and categories checked.

    Attributes:
        source: what messages call it.
    """

    def __init__(self, content: Mapping[str, Any], source: str) -> None:
        super().__init__(content)
        self.source = source


def read(annotations: str | os.PathLike[str] | Mapping[str, Any]) -> Annotations:
    """Returns the content of an annotation file as it is understood.

    What tools write in another form is read where it has one meaning, and told once in the log.

    Args:
        annotations: the file, or its content. What this function has returned comes back as it is.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not JSON in COCO's format, or an image or a category is broken.
    """
    if isinstance(annotations, Annotations):
        return annotations
    if isinstance(annotations, Mapping):
        content, source = annotations, "annotations"
    else:
        content, source = load_annotation_file(annotations), os.fspath(annotations)
    noted = records.Noted()
    understood = {}
    for field, reader in _READERS.items():
        if not isinstance(content.get(field), Sequence):
            raise ValueError(f"{source}: expected a COCO annotation file with a list named {field!r}")
        understood[field] = [reader(r, noted) if isinstance(r, dict) else r for r in content[field]]
    for line in noted.lines():
        logging.warning("%s: %s", source, line)
    _check(understood["images"], f"{source}: image", _check_image)
    _check(understood["categories"], f"{source}: category", _check_category)
    return Annotations({**content, **understood}, source)


_READERS: dict[str, Callable[[dict[str, Any], records.Noted], dict[str, Any]]] = {
    "images": records.read_image,
    "annotations": records.read_annotation,
    "categories": records.read_category,
}
"""How the records of a file's lists are read."""


def _check(
    entries: Sequence[Mapping[str, Any]], what: str, check: Callable[[Mapping[str, Any]], None]
) -> None:
    """Raises ValueError for the first record that is broken, or whose id another one has."""
    ids: set[Any] = set()
    for number, record in enumerate(entries):
        with record_at(f"{what} {_call(number, record)}", record):
            ids.add(own_id_in(record, ids, text=True))
            check(record)
    if len({isinstance(own, str) for own in ids}) > 1:
        raise ValueError(f"{what} ids are {some(sorted(ids, key=str))}, expected all numbers or all texts")


def _check_image(image: Mapping[str, Any]) -> None:
    for side in ("height", "width"):
        value = image.get(side)
        if value is not None and not (isinstance(value, Integral) and value <= _MOST_PIXELS):
            raise wrong(side, value, "a whole number of pixels")


def _check_category(category: Mapping[str, Any]) -> None:
    name = need(category, "name", "a text")
    if not isinstance(name, str):
        raise wrong("name", name, "a text")


def require_distinct_annotations(content: Annotations) -> None:
    """Raises ValueError where two annotations have the same id: one of them may be a copy.

    Pycocotools measures the last of them in place of each. An annotation may have no id.
    """
    ids: set[Any] = set()
    for number, record in enumerate(content["annotations"]):
        if isinstance(record, Mapping) and "id" in record:
            with record_at(f"{content.source}: annotation {_call(number, record)}", record):
                ids.add(own_id_in(record, ids, text=True))


def select_images(content: Annotations, image_ids: Iterable[int] | None) -> list[int]:
    """Returns the ids of the images to evaluate on, sorted; None means all.

    Raises:
        ValueError: the file has no such image.
    """
    known = {image["id"] for image in content["images"]}
    if image_ids is None:
        return sorted(known)
    selected = sorted({int(image_id) for image_id in image_ids})
    unknown = [image_id for image_id in selected if image_id not in known]
    if unknown:
        raise ValueError(f"image_ids: {content.source} has no image {some(unknown)}")
    return selected


def copy_annotations(content: Annotations, iou_type: str) -> list[dict[str, Any]]:
    """Shallow copies with the optional fields filled in and masks as compressed run lengths.

    Args:
        content: of an annotation file.
        iou_type: ``"bbox"`` or ``"segm"``, which says what the annotations must have.

    Raises:
        ValueError: an annotation has a missing or malformed field.
    """
    known, copies = KnownIds(content), []
    for number, annotation in enumerate(content["annotations"]):
        with record_at(f"{content.source}: annotation {_call(number, annotation)}", annotation):
            copies.append(_copy_annotation(annotation, known, iou_type))
    return copies


def missing_masks(content: Mapping[str, Any]) -> str:
    """Says how many annotations have no mask, if there are any; empty text if all have one."""
    annotations = content["annotations"]
    missing = [i for i, annotation in enumerate(annotations) if not annotation.get("segmentation")]
    if not missing:
        return ""
    if len(missing) == len(annotations):
        return "the ground truth has no masks"
    first = _call(missing[0], annotations[missing[0]])
    return f"{len(missing)} of {len(annotations)} annotations have no mask, the first is annotation {first}"


def _call(number: int, record: Any) -> str:
    known = isinstance(record, Mapping) and "id" in record
    return f"{number} (id {shown(record['id'])})" if known else str(number)


class KnownIds:
    """What the records of a file may name.

    Attributes:
        sizes: (height, width) of each image by its id; None where the file does not say.
        categories: their ids.

    Args:
        content: of the annotation file, or at least its images and categories.
    """

    def __init__(self, content: Mapping[str, Any]) -> None:
        self.sizes = {image["id"]: _size(image) for image in content["images"]}
        self.categories = {category["id"] for category in content["categories"]}
        self._one = f"one of the annotation file's {some(sorted(self.categories))}"

    def image_of(self, record: Mapping[str, Any]) -> Any:
        """Returns the id of a record's image; raises ValueError if there is none."""
        return known_in(record, "image_id", self.sizes, "an image of the annotation file")

    def category_of(self, record: Mapping[str, Any]) -> Any:
        """Returns the id of a record's category; raises ValueError if there is none."""
        return known_in(record, "category_id", self.categories, self._one)


def _size(image: Mapping[str, Any]) -> tuple[int, int] | None:
    """Height and width; tools write null, 0 or -1 where they are not known."""
    height, width = (image.get(side) or 0 for side in ("height", "width"))
    return (height, width) if height > 0 and width > 0 else None


def _copy_annotation(annotation: Mapping[str, Any], known: KnownIds, iou_type: str) -> dict[str, Any]:
    size = known.sizes[known.image_of(annotation)]
    known.category_of(annotation)
    need(annotation, GEOMETRY[iou_type], "the object's shape")
    copy = {"iscrowd": 0, **annotation}
    if as_flag(copy["iscrowd"]) is None:
        raise wrong("iscrowd", copy["iscrowd"], "0 or 1")
    # Masks may come without a box; one that is there tells whether the area is the object's.
    if iou_type == "bbox" or copy.get("bbox") is not None:
        box_in(copy)
    if iou_type == "segm":
        _draw_mask(copy, size)
    if not records.has_own_area(copy):
        copy["area"] = records.measure_area(copy, size)
    return copy


def _draw_mask(annotation: dict[str, Any], size: tuple[int, int] | None) -> None:
    """Turns the mask of an annotation into compressed run lengths."""
    mask = annotation["segmentation"]
    mask = run_lengths.checked(mask, size) if isinstance(mask, Mapping) else _draw_polygons(mask, size)
    annotation["segmentation"] = mask


def _draw_polygons(polygons: Any, size: tuple[int, int] | None) -> dict[str, Any]:
    if not isinstance(polygons, list) or not polygons:
        raise wrong("segmentation", polygons, "a list of polygons or run lengths")
    for number, polygon in enumerate(polygons):
        if not is_polygon(polygon):
            expected = "finite numbers [x1, y1, x2, y2, ...] of 3 points or more"
            raise wrong(f"segmentation[{number}]", polygon, expected)
    if size is None:
        raise ValueError("segmentation has polygons, but its image has no height and width")
    return coco_mask.merge(coco_mask.frPyObjects(polygons, *size))
