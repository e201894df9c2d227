"""Annotations as the COCO protocol takes them: checked, completed, and copied.

Every complaint names the record and the field.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging
from pycocotools import mask as coco_mask

from cascade_tf.coco_format import records
from cascade_tf.coco_format.file import LISTS, load_annotation_file
from cascade_tf.coco_format.numbers import as_flag
from cascade_tf.coco_format.outlines import is_polygon
from cascade_tf.masks import run_lengths

GEOMETRY = {"bbox": "bbox", "segm": "segmentation"}
"""The field of a record that holds its shape, for each of pycocotools' ``iouType``."""


def require_iou_type(iou_type: str) -> None:
    """Raises ValueError unless boxes or masks are to be measured."""
    if iou_type not in GEOMETRY:
        raise ValueError(f"iou_type must be 'bbox' or 'segm', got {iou_type!r}")


def read(annotations: str | os.PathLike[str] | Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """Returns the content of an annotation file as it is understood, and what messages call it.

    What tools write in another form is read where it has one meaning, and told once in the log.

    Args:
        annotations: the file, or its content.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not JSON in COCO's format.
    """
    if isinstance(annotations, Mapping):
        content, source = annotations, "annotations"
    else:
        content, source = load_annotation_file(annotations), os.fspath(annotations)
    for field in LISTS:
        if not isinstance(content.get(field), Sequence):
            raise ValueError(f"{source}: expected a COCO annotation file with a list named {field!r}")
    for number, image in enumerate(content["images"]):
        if not isinstance(image, Mapping) or not isinstance(image.get("id"), (int, float, str)):
            raise ValueError(f"{source}: image {number}: expected a record with id, got {_shortened(image)}")
    noted = records.Noted()
    readers = (records.read_image, records.read_annotation, records.read_category)
    understood = {
        field: [reader(r, noted) if isinstance(r, dict) else r for r in content[field]]
        for field, reader in zip(LISTS, readers, strict=True)
    }
    for line in noted.lines():
        logging.warning("%s: %s", source, line)
    return {**content, **understood}, source


def select_images(content: Mapping[str, Any], image_ids: Iterable[int] | None, source: str) -> list[int]:
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
        raise ValueError(f"image_ids: {source} has no image {_some(unknown)}")
    return selected


def copy_annotations(content: Mapping[str, Any], iou_type: str, source: str) -> list[dict[str, Any]]:
    """Shallow copies with the optional fields filled in and masks as compressed run lengths.

    Args:
        content: of an annotation file.
        iou_type: ``"bbox"`` or ``"segm"``, which says what the annotations must have.
        source: what messages call the file.

    Raises:
        ValueError: an annotation has a missing or malformed field.
    """
    categories = {category["id"] for category in content["categories"]}
    sizes, images = image_sizes(content), {image["id"] for image in content["images"]}
    copies = []
    for number, annotation in enumerate(content["annotations"]):
        try:
            require_known_image(annotation, images)
            size = sizes.get(annotation.get("image_id"))
            copies.append(_copy_annotation(annotation, categories, iou_type, size))
        except ValueError as error:
            raise ValueError(f"{source}: annotation {_call(number, annotation)}: {error}") from None
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


def _call(number: int, annotation: Mapping[str, Any]) -> str:
    return f"{number} (id {annotation['id']!r})" if "id" in annotation else str(number)


def image_sizes(content: Mapping[str, Any]) -> dict[int, tuple[int, int]]:
    """Returns (height, width) of the images that say so, by their ids."""
    return {
        image["id"]: (image["height"], image["width"])
        for image in content["images"]
        if _is_side(image.get("height")) and _is_side(image.get("width"))
    }


def _is_side(value: Any) -> bool:
    """Whether a side of an image is known: tools write null, 0 or -1 for one that is not."""
    return value is not None and value > 0


def _copy_annotation(
    annotation: Mapping[str, Any], categories: set, iou_type: str, size: tuple[int, int] | None
) -> dict[str, Any]:
    require(annotation, ("image_id", "category_id", GEOMETRY[iou_type]))
    require_known_category(annotation["category_id"], categories)
    copy = {"iscrowd": 0, **annotation}
    if as_flag(copy["iscrowd"]) is None:
        raise ValueError(f"iscrowd must be 0 or 1, got {copy['iscrowd']!r}")
    if iou_type == "bbox":
        require_box(copy["bbox"])
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
        raise ValueError(f"segmentation must be a list of polygons or RLE, got {_shortened(polygons)}")
    for number, polygon in enumerate(polygons):
        if not is_polygon(polygon):
            raise ValueError(
                f"segmentation[{number}] must be finite numbers [x1, y1, x2, y2, ...] with 3 points or more, "
                f"got {_shortened(polygon)}"
            )
    if size is None:
        raise ValueError("segmentation has polygons, but its image has no height and width")
    return coco_mask.merge(coco_mask.frPyObjects(polygons, *size))


def require(entry: Mapping[str, Any], fields: Iterable[str]) -> None:
    """Raises ValueError for the first of the fields that is missing."""
    for field in fields:
        if field not in entry:
            raise ValueError(f"no field {field!r}")


def require_known_image(annotation: Mapping[str, Any], images: set) -> None:
    """Raises ValueError if an annotation is in none of the images of its file."""
    if "image_id" in annotation and annotation["image_id"] not in images:
        raise ValueError(f"image_id {annotation['image_id']!r} is not an image of the annotation file")


def require_box(value: Any) -> None:
    """Raises ValueError unless a box is four finite numbers, none of its sides negative."""
    if np.shape(value) != (4,):
        raise ValueError(f"bbox must be 4 numbers, got {value!r}")
    if not all(math.isfinite(number) for number in value) or min(value[2:]) < 0:
        raise ValueError(f"bbox must be 4 finite numbers (x, y, width >= 0, height >= 0), got {value!r}")


def require_known_category(category_id: Any, categories: set) -> None:
    """Raises ValueError if a category is none of those of the annotation file."""
    if category_id not in categories:
        known = _some(sorted(categories))
        raise ValueError(f"category_id {category_id!r} is not one of the annotation file's {known}")


def _some(values: Sequence[Any], limit: int = 5) -> str:
    rest = f", ... ({len(values)} in all)" if len(values) > limit else ""
    return ", ".join(map(repr, values[:limit])) + rest


def _shortened(value: Any, most: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}..."
