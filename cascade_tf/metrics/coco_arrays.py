"""The columns of annotations and detections, and the overlaps of their boxes or masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from cascade_tf.coco_format.numbers import as_flag
from cascade_tf.metrics.coco_detections import Found
from cascade_tf.metrics.coco_matching import CocoDetections, CocoObjects, Overlaps


def columns_of_objects(
    annotations: Sequence[Mapping[str, Any]], image_of: Mapping[int, int], class_of: Mapping[int, int]
) -> CocoObjects:
    """Returns the columns of annotations that have been checked.

    Args:
        annotations: of images in ``image_of`` alone.
        image_of: number of the image by its id.
        class_of: number of the class by the id of its category.
    """
    return CocoObjects(
        images=np.array([image_of[a["image_id"]] for a in annotations], np.int64),
        classes=np.array([class_of[a["category_id"]] for a in annotations], np.int64),
        areas=np.array([a["area"] for a in annotations], np.float64),
        crowds=np.array([a["iscrowd"] for a in annotations], bool),
        ignored=np.array([as_flag(a.get("ignore")) == 1 for a in annotations], bool),
    )


def columns_of_detections(
    found: Found, image_of: Mapping[int, int], class_of: Mapping[int, int]
) -> tuple[np.ndarray, CocoDetections]:
    """Returns which detections are in the given images, and their columns.

    Args:
        found: in any images.
        image_of: as in ``columns_of_objects``.
        class_of: likewise.
    """
    images = np.array([image_of.get(image_id, -1) for image_id in found.image_ids], np.int64)
    classes = np.array([class_of[category_id] for category_id in found.category_ids], np.int64)
    rows = np.flatnonzero(images >= 0)
    return rows, CocoDetections(images[rows], classes[rows], found.scores[rows], found.areas[rows])


def box_overlaps(found: np.ndarray, truth: np.ndarray, crowds: np.ndarray) -> Overlaps:
    """Returns the overlaps of boxes [n, 4] and [m, 4] (x, y, width, height), of which some [m] are crowds."""

    def overlaps(rows: np.ndarray, members: np.ndarray) -> np.ndarray:
        # In the order of the published code: the last digit decides where an overlap equals a threshold.
        x, y, width, height = np.moveaxis(found[rows][:, :, None], -1, 0)
        left, top, across, down = np.moveaxis(truth[members][:, None], -1, 0)
        shared_width = np.minimum(width + x, across + left) - np.maximum(x, left)
        shared_height = np.minimum(height + y, down + top) - np.maximum(y, top)
        shared = np.where((shared_width > 0) & (shared_height > 0), shared_width * shared_height, 0.0)
        area = width * height
        either = np.where(crowds[members][:, None], area, area + across * down - shared)
        return np.divide(shared, either, out=np.zeros_like(shared), where=shared > 0)

    return overlaps


def mask_overlaps(
    found: Sequence[Mapping[str, Any]], truth: Sequence[Mapping[str, Any]], crowds: np.ndarray
) -> Overlaps:
    """Returns the overlaps of masks as compressed run lengths, of which some [m] are crowds."""

    def overlaps(rows: np.ndarray, members: np.ndarray) -> np.ndarray:
        result = np.zeros((*rows.shape, members.shape[1]))
        for some, own, others in zip(result, rows, members, strict=True):
            own, others = own[own >= 0], others[others >= 0]
            some[: len(own), : len(others)] = coco_mask.iou(
                [found[i] for i in own], [truth[i] for i in others], crowds[others].astype(np.uint8)
            )
        return result

    return overlaps
