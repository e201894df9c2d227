"""The COCO protocol, computed by pycocotools.

The numbers are pycocotools' own. Around it stand the things it leaves to its callers: inputs are checked and
never changed, nothing is printed, an empty list of detections is a result like any other, and ``area`` and
``iscrowd`` may be missing from annotations.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from cascade_tf.metrics import coco_input
from cascade_tf.metrics.results import IOU_THRESHOLDS, CocoResult

_CLASS_PERCENTS = (50, 75, 90)


def evaluate_coco(
    annotations: str | os.PathLike[str] | Mapping[str, Any],
    detections: Sequence[Mapping[str, Any]],
    *,
    image_ids: Iterable[int] | None = None,
    iou_type: str = "bbox",
) -> CocoResult:
    """Evaluates detections in COCO's result format.

    Args:
        annotations: COCO annotation file, or its content.
        detections: one mapping per detection: ``image_id``, ``category_id``, ``score`` and ``bbox`` (x, y,
            width, height in pixels of the original image) or, for masks, ``segmentation`` (compressed RLE).
            Any order, may be empty.
        image_ids: evaluate on these images alone; None means all of the file. Detections in other images
            of the file do not count.
        iou_type: ``"bbox"`` or ``"segm"``. For masks the size of a detection is its mask's area, with or
            without a ``bbox`` beside it; pycocotools' own ``loadRes`` takes the area of such a ``bbox``.

    Returns:
        The numbers; NaN where the ground truth has no such object.

    Raises:
        FileNotFoundError: there is no such annotation file.
        ValueError: the file is not JSON in COCO's format, an annotation or a detection has a missing,
            malformed or non-finite field, or a detection names an unknown image or category.
    """
    if iou_type not in coco_input.GEOMETRY:
        raise ValueError(f"iou_type must be 'bbox' or 'segm', got {iou_type!r}")
    content, source = coco_input.read(annotations)
    selected = coco_input.select_images(content, image_ids, source)
    return _evaluate(
        content, coco_input.copy_annotations(content, iou_type, source), detections, selected, iou_type
    )


def evaluate_instances(
    annotations: str | os.PathLike[str] | Mapping[str, Any],
    detections: Sequence[Mapping[str, Any]],
    *,
    image_ids: Iterable[int] | None = None,
) -> CocoResult:
    """Evaluates the boxes of detections and, where the ground truth allows it, their masks.

    Args:
        annotations: as in ``evaluate_coco``.
        detections: likewise, with both ``bbox`` and ``segmentation``.
        image_ids: likewise.

    Returns:
        The numbers of the boxes, with those of the masks in ``mask``. Where the ground truth has no masks, or
        one that cannot be used, ``mask`` is None and ``no_mask`` says why.

    Raises:
        FileNotFoundError: there is no such annotation file.
        ValueError: as in ``evaluate_coco``, but not for masks of the ground truth.
    """
    content, source = coco_input.read(annotations)
    selected = coco_input.select_images(content, image_ids, source)
    truth = coco_input.copy_annotations(content, "bbox", source)
    boxes = _evaluate(content, truth, detections, selected, "bbox")
    try:
        truth = coco_input.copy_annotations(content, "segm", source)
    except ValueError as error:
        reason = coco_input.missing_masks(content) or str(error)
        return dataclasses.replace(boxes, no_mask=reason)
    return dataclasses.replace(boxes, mask=_evaluate(content, truth, detections, selected, "segm"))


def _evaluate(
    content: Mapping[str, Any],
    truth: list[dict[str, Any]],
    detections: Sequence[Mapping[str, Any]],
    image_ids: list[int],
    iou_type: str,
) -> CocoResult:
    results = coco_input.copy_detections(detections, content, iou_type)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(_index(content, truth), _index(content, results), iou_type)
        evaluation.params.imgIds = image_ids
        evaluation.evaluate()
        evaluation.accumulate()
    return _collect(evaluation, content["categories"], truth)


def _index(content: Mapping[str, Any], annotations: list[dict[str, Any]]) -> COCO:
    """Fills the container directly: its ``loadRes`` fails on an empty list and writes into its input."""
    coco = COCO()
    # It asks for the size of an image even where no mask depends on it.
    images = [{"height": None, "width": None, **image} for image in content["images"]]
    coco.dataset = {**content, "images": images, "annotations": annotations}
    coco.createIndex()
    return coco


def _collect(
    evaluation: COCOeval, categories: Sequence[Mapping[str, Any]], truth: list[dict[str, Any]]
) -> CocoResult:
    precision = evaluation.eval["precision"]  # [IoU, recall, class, area, max detections]
    recall = evaluation.eval["recall"]  # [IoU, class, area, max detections]
    curve = {iou: _mean(precision[i, :, :, 0, -1]) for i, iou in enumerate(IOU_THRESHOLDS)}
    summary = {"AP": _mean(precision[..., 0, -1])}
    summary |= {f"AP{percent}": curve[percent / 100] for percent in (50, 60, 70, 75, 80, 85, 90, 95)}
    summary |= {f"AP{size}": _mean(precision[..., a, -1]) for a, size in enumerate("sml", start=1)}
    summary |= {f"AR{most}": _mean(recall[..., 0, m]) for m, most in enumerate((1, 10, 100))}
    summary |= {f"AR{size}": _mean(recall[..., a, -1]) for a, size in enumerate("sml", start=1)}
    images = set(evaluation.params.imgIds)
    objects = Counter(t["category_id"] for t in truth if t["image_id"] in images and not t["iscrowd"])
    names = _class_names(categories)
    per_class = {
        names[category_id]: _collect_class(
            precision[:, :, k, 0, -1], recall[:, k, 0, -1], objects[category_id]
        )
        for k, category_id in enumerate(evaluation.params.catIds)
    }
    return CocoResult(summary, per_class, curve)


def _collect_class(precision: np.ndarray, recall: np.ndarray, objects: int) -> dict[str, float]:
    at_iou = {
        f"AP{percent}": _mean(precision[IOU_THRESHOLDS.index(percent / 100)]) for percent in _CLASS_PERCENTS
    }
    return {"AP": _mean(precision), **at_iou, "AR100": _mean(recall), "objects": objects}


def _mean(values: np.ndarray) -> float:
    """Mean of the measured values; -1 marks classes without objects."""
    measured = values[values > -1]
    return float(measured.mean()) if measured.size else float("nan")


def _class_names(categories: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    """Category id -> name, made unique by the id where two categories share one."""
    count = Counter(category["name"] for category in categories)
    return {
        category["id"]: category["name"] + (f" ({category['id']})" if count[category["name"]] > 1 else "")
        for category in categories
    }
