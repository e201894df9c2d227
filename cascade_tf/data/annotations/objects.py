"""The objects of an annotation file: boxes, classes and whether they are crowds."""

from __future__ import annotations

from typing import Any

import numpy as np

from cascade_tf.data.annotations.broken import BrokenRecords
from cascade_tf.data.annotations.images import ImageObjects
from cascade_tf.data.annotations.masks import Masks
from cascade_tf.data.annotations.values import is_finite_number, is_integer, record_name, some

# Narrower boxes are slips of the annotator; their encoded offsets (logarithms of sides) would be huge.
MIN_SIDE = 0.01


def read_annotation(
    position: int,
    record: Any,
    classes: dict[int, int],
    images: dict[int, ImageObjects],
    unusable: set[int],
    report: BrokenRecords,
    masks: Masks | None,
) -> bool:
    """Adds an object to its image; returns whether it did."""
    where = record_name("annotations", position, record)
    fault = _annotation_fault(record, classes, images, unusable)
    if fault:
        report.broken(f"{where}: {fault}")
        return False
    if record["image_id"] in unusable:
        return False  # its image is in the report already
    image = images[record["image_id"]]
    x, y, width, height = (float(value) for value in record["bbox"])
    sides = f"of image {image.image_id}: box [x, y, width, height] = {record['bbox']}"
    if width < MIN_SIDE or height < MIN_SIDE:
        report.drop(f"{where} {sides} is empty")
        return False
    x1, x2 = max(x, 0.0), min(x + width, float(image.width))
    y1, y2 = max(y, 0.0), min(y + height, float(image.height))
    if x2 - x1 < MIN_SIDE or y2 - y1 < MIN_SIDE:
        report.drop(f"{where} {sides} lies outside the image of {image.width} x {image.height} pixels")
        return False
    image.boxes.append(np.array([x1, y1, x2, y2], np.float32))
    image.classes.append(classes[record["category_id"]])
    crowd, mask = bool(record.get("iscrowd", 0)), None
    if masks is not None:
        mask = masks.read(position, record, image.height, image.width)
        crowd = mask is None
    image.crowd.append(crowd)
    image.segmentations.append(mask)
    return True


def _annotation_fault(
    record: Any, classes: dict[int, int], images: dict[int, ImageObjects], unusable: set[int]
) -> str | None:
    """Says what is wrong with a record, None where nothing is."""
    if not isinstance(record, dict):
        return f"is {record!r}, expected an object"
    image_id, category_id = record.get("image_id"), record.get("category_id")
    if not is_integer(image_id) or not (image_id in images or image_id in unusable):
        return f"image_id is {image_id!r}, expected the id of an entry of 'images'"
    if not is_integer(category_id) or category_id not in classes:
        return (
            f"category_id is {category_id!r}, which no category bears; expected one of {some(list(classes))}"
        )
    box = record.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(is_finite_number(value) for value in box):
        return f"bbox is {box!r}, expected four finite numbers [x, y, width, height]"
    if record.get("iscrowd", 0) not in (0, 1):
        return f"iscrowd is {record['iscrowd']!r}, expected 0 or 1"
    return None
