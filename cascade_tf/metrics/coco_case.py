"""Annotations and detections of some images as the arrays that the COCO protocol measures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from cascade_tf.metrics import coco_input
from cascade_tf.metrics.coco_arrays import (
    box_overlaps,
    columns_of_detections,
    columns_of_objects,
    mask_overlaps,
)
from cascade_tf.metrics.coco_detections import read_detections
from cascade_tf.metrics.coco_matching import CocoDetections, CocoObjects, Overlaps


class CocoCase(NamedTuple):
    """What is to be measured: m objects and n detections of some images.

    Attributes:
        objects: the ground truth.
        detections: of the same images.
        overlaps: of some of the detections with some of the objects.
        object_shapes: boxes [m, 4] float64 (x, y, width, height), or m masks as compressed run lengths.
        detection_shapes: likewise, of the detections.
        classes: names of the K classes.
        image_ids: of the images that the columns number.
    """

    objects: CocoObjects
    detections: CocoDetections
    overlaps: Overlaps
    object_shapes: Any
    detection_shapes: Any
    classes: list[str]
    image_ids: list[int]


def make_case(
    content: Mapping[str, Any],
    truth: Sequence[Mapping[str, Any]],
    detections: Sequence[Mapping[str, Any]],
    image_ids: list[int],
    iou_type: str,
    ignore: bool,
) -> CocoCase:
    """Returns the arrays of checked annotations and of detections, which are checked here.

    Args:
        content: of the annotation file.
        truth: its annotations as ``coco_input.copy_annotations`` returns them.
        detections: in COCO's result format.
        image_ids: the images to measure on, sorted.
        iou_type: ``"bbox"`` or ``"segm"``.
        ignore: whether objects with ``ignore`` set do not count.

    Raises:
        ValueError: a detection names an unknown image or category, or has a missing or malformed field.
    """
    found = read_detections(detections, content, iou_type)
    names = _class_names(content["categories"])
    class_of = {category_id: number for number, category_id in enumerate(sorted(names))}
    image_of = {image_id: number for number, image_id in enumerate(image_ids)}
    truth = [annotation for annotation in truth if annotation["image_id"] in image_of]
    objects = columns_of_objects(truth, image_of, class_of)
    if not ignore:
        objects = objects._replace(ignored=np.zeros_like(objects.ignored))
    rows, columns = columns_of_detections(found, image_of, class_of)
    present: Any = [annotation[coco_input.GEOMETRY[iou_type]] for annotation in truth]
    if iou_type == "bbox":
        present, shapes = np.array(present, np.float64).reshape(-1, 4), found.shapes[rows]
        overlaps = box_overlaps(shapes, present, objects.crowds)
    else:
        shapes = [found.shapes[row] for row in rows]
        overlaps = mask_overlaps(shapes, present, objects.crowds)
    classes = [names[category_id] for category_id in class_of]
    return CocoCase(objects, columns, overlaps, present, shapes, classes, image_ids)


def _class_names(categories: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    """Category id -> name, made unique by the id where two categories share one."""
    count = Counter(category["name"] for category in categories)
    return {
        category["id"]: category["name"] + (f" ({category['id']})" if count[category["name"]] > 1 else "")
        for category in categories
    }
