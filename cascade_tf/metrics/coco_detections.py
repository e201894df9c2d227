"""Detections in COCO's result format as columns, checked.

There may be half a million of them. Boxes are read column by column; only where something is odd are the
records looked at one by one, for the message that names the record and the field.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from pycocotools import mask as coco_mask

from cascade_tf.masks import run_lengths
from cascade_tf.metrics.coco_input import GEOMETRY, image_sizes, require, require_known_category


class Found(NamedTuple):
    """n detections.

    Attributes:
        image_ids: of each one's image.
        category_ids: of each one's category.
        scores: [n] float64.
        areas: [n] float64 square pixels.
        shapes: boxes [n, 4] float64 (x, y, width, height), or n masks as compressed run lengths.
    """

    image_ids: Sequence[int]
    category_ids: Sequence[int]
    scores: np.ndarray
    areas: np.ndarray
    shapes: Any


def read_detections(
    detections: Sequence[Mapping[str, Any]], content: Mapping[str, Any], iou_type: str
) -> Found:
    """Reads what the evaluation looks at.

    Args:
        detections: in COCO's result format.
        content: of the annotation file.
        iou_type: ``"bbox"`` or ``"segm"``, which says what the detections must have.

    Raises:
        ValueError: a detection names an unknown image or category, or has a missing or malformed field.
    """
    sizes = dict.fromkeys((image["id"] for image in content["images"]), None) | image_sizes(content)
    categories = {category["id"] for category in content["categories"]}
    at_once = _read_boxes(detections, sizes.keys(), categories) if iou_type == "bbox" else None
    if at_once:
        return at_once
    rows = []
    for number, detection in enumerate(detections):
        try:
            rows.append(_read_detection(detection, sizes, categories, iou_type))
        except (TypeError, ValueError) as error:
            raise ValueError(f"detection {number}: {error}") from None
    image_ids, category_ids, scores, areas, shapes = zip(*rows, strict=True) if rows else ((),) * 5
    return Found(
        image_ids,
        category_ids,
        np.array(scores, np.float64),
        np.array(areas, np.float64),
        np.array(shapes, np.float64).reshape(-1, 4) if iou_type == "bbox" else shapes,
    )


def _read_boxes(detections: Sequence[Mapping[str, Any]], images: Any, categories: set) -> Found | None:
    """All at once, or None if any of them is not as it should be."""
    try:
        image_ids = [detection["image_id"] for detection in detections]
        category_ids = [detection["category_id"] for detection in detections]
        scores = np.array([detection["score"] for detection in detections], np.float64)
        boxes = np.array([detection["bbox"] for detection in detections], np.float64)
        known = set(image_ids) <= images and set(category_ids) <= categories
    except (KeyError, TypeError, ValueError):
        return None
    if not known or scores.shape != (len(detections),) or boxes.shape != (len(detections), 4):
        return None
    if not np.isfinite(scores).all() or not np.isfinite(boxes).all() or (boxes[:, 2:] < 0).any():
        return None
    return Found(image_ids, category_ids, scores, boxes[:, 2] * boxes[:, 3], boxes)


def _read_detection(
    detection: Mapping[str, Any], sizes: Mapping[int, Any], categories: set, iou_type: str
) -> tuple[int, int, float, float, Any]:
    """Image, category, score, area and shape."""
    require(detection, ("image_id", "category_id", "score", GEOMETRY[iou_type]))
    image_id, category_id = detection["image_id"], detection["category_id"]
    if image_id not in sizes:
        raise ValueError(f"image_id {image_id!r} is not an image of the annotation file")
    require_known_category(category_id, categories)
    score = float(detection["score"])
    if not np.isfinite(score):
        raise ValueError(f"score must be finite, got {score}")
    if iou_type == "segm":
        segmentation = detection["segmentation"]
        if not isinstance(segmentation, Mapping):
            raise ValueError("segmentation must be an RLE mapping with 'size' and 'counts'")
        mask = run_lengths.checked(segmentation, sizes[image_id])
        return image_id, category_id, score, float(coco_mask.area(mask)), mask
    box = _box(detection["bbox"])
    return image_id, category_id, score, box[2] * box[3], box


def _box(value: Any) -> list[float]:
    box = np.asarray(value, dtype=np.float64)
    if box.shape != (4,) or not np.isfinite(box).all() or box[2] < 0 or box[3] < 0:
        raise ValueError(f"bbox must be 4 finite numbers (x, y, width >= 0, height >= 0), got {value!r}")
    return box.tolist()
