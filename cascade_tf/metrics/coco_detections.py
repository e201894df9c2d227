"""Detections in COCO's result format as columns, checked.

There may be half a million of them. Boxes are read column by column; only where something is odd are the
records looked at one by one, for the message that names the record and the field.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from pycocotools import mask as coco_mask

from cascade_tf.coco_format.fields import box_in, need, number_in, wrong
from cascade_tf.masks import run_lengths
from cascade_tf.metrics.coco_input import GEOMETRY, KnownIds


class BrokenDetectionError(ValueError):
    """A detection names an unknown image or category, or has a missing or malformed field.

    Detections come without the name of their file, which their reader puts in front of the message.
    """


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
        BrokenDetectionError: one of them is broken.
    """
    known = KnownIds(content)
    at_once = _read_boxes(detections, known) if iou_type == "bbox" else None
    if at_once:
        return at_once
    rows = []
    for number, detection in enumerate(detections):
        try:
            rows.append(_read_detection(detection, known, iou_type))
        except ValueError as error:
            raise BrokenDetectionError(f"detection {number}: {error}") from None
    image_ids, category_ids, scores, areas, shapes = zip(*rows, strict=True) if rows else ((),) * 5
    return Found(
        image_ids,
        category_ids,
        np.array(scores, np.float64),
        np.array(areas, np.float64),
        np.array(shapes, np.float64).reshape(-1, 4) if iou_type == "bbox" else shapes,
    )


def _read_boxes(detections: Sequence[Mapping[str, Any]], known: KnownIds) -> Found | None:
    """All at once, or None if any of them is not as it should be."""
    try:
        image_ids = [detection["image_id"] for detection in detections]
        category_ids = [detection["category_id"] for detection in detections]
        of_scores = [detection["score"] for detection in detections]
        of_boxes = [detection["bbox"] for detection in detections]
        scores, boxes = np.array(of_scores, np.float64), np.array(of_boxes, np.float64)
        named = set(image_ids) <= known.sizes.keys() and set(category_ids) <= known.categories
        plain = _are_numbers(of_scores) and _are_numbers(chain.from_iterable(of_boxes))
    except (KeyError, OverflowError, TypeError, ValueError):
        return None
    # True would be the same as 1.
    if not named or not plain or bool in {*map(type, image_ids), *map(type, category_ids)}:
        return None
    if scores.shape != (len(detections),) or boxes.shape != (len(detections), 4):
        return None
    if not np.isfinite(scores).all() or not np.isfinite(boxes).all() or (boxes[:, 2:] < 0).any():
        return None
    return Found(image_ids, category_ids, scores, boxes[:, 2] * boxes[:, 3], boxes)


def _read_detection(
    detection: Mapping[str, Any], known: KnownIds, iou_type: str
) -> tuple[int, int, float, float, Any]:
    """Image, category, score, area and shape."""
    image_id, category_id = known.image_of(detection), known.category_of(detection)
    score = number_in(detection, "score")
    if iou_type == "bbox":
        box = box_in(detection)
        return image_id, category_id, score, box[2] * box[3], box
    expected = "run lengths with 'size' and 'counts'"
    segmentation = need(detection, GEOMETRY[iou_type], expected)
    if not isinstance(segmentation, Mapping):
        raise wrong("segmentation", segmentation, expected)
    mask = run_lengths.checked(segmentation, known.sizes[image_id])
    return image_id, category_id, score, float(coco_mask.area(mask)), mask


def _are_numbers(values: Iterable[Any]) -> bool:
    """Whether values are numbers and not something that NumPy makes numbers of, such as text or True."""
    kinds = set(map(type, values))
    return bool not in kinds and all(issubclass(kind, Real) for kind in kinds)
