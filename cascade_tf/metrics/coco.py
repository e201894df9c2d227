"""The COCO protocol: annotations and detections in, named numbers out.

The numbers equal those of pycocotools, which takes many times as long for the boxes of a whole split. Inputs
are checked and never changed, an empty list of detections is a result like any other, and ``area`` and
``iscrowd`` may be missing from annotations.

One thing differs. An object with ``ignore`` set does not count, as in the benchmark's MATLAB program: it is
matched like any other, and whoever finds it is neither right nor wrong. Pycocotools overwrites the field with
``iscrowd``. The paper's figures for PASCAL VOC are measured so, with the difficult objects ignored.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from cascade_tf.metrics import coco_input
from cascade_tf.metrics.coco_case import make_case
from cascade_tf.metrics.coco_curves import Curves, measure
from cascade_tf.metrics.results import IOU_THRESHOLDS, CocoResult

_CLASS_PERCENTS = (50, 75, 90)


def evaluate_coco(
    annotations: str | os.PathLike[str] | Mapping[str, Any],
    detections: Sequence[Mapping[str, Any]],
    *,
    image_ids: Iterable[int] | None = None,
    iou_type: str = "bbox",
    ignore: bool = True,
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
        ignore: whether objects with ``ignore`` set do not count; False is pycocotools, which counts them.

    Returns:
        The numbers; NaN where the ground truth has no such object.

    Raises:
        FileNotFoundError: there is no such annotation file.
        ValueError: the file is not JSON in COCO's format, an annotation or a detection has a missing,
            malformed or non-finite field, or a detection names an unknown image or category.
    """
    coco_input.require_iou_type(iou_type)
    content = coco_input.read(annotations)
    selected = coco_input.select_images(content, image_ids)
    truth = coco_input.copy_annotations(content, iou_type)
    return _evaluate(content, truth, detections, selected, iou_type, ignore)


def evaluate_instances(
    annotations: str | os.PathLike[str] | Mapping[str, Any],
    detections: Sequence[Mapping[str, Any]],
    *,
    image_ids: Iterable[int] | None = None,
    ignore: bool = True,
) -> CocoResult:
    """Evaluates the boxes of detections and, where the ground truth allows it, their masks.

    Args:
        annotations: as in ``evaluate_coco``.
        detections: likewise, with both ``bbox`` and ``segmentation``.
        image_ids: likewise.
        ignore: likewise.

    Returns:
        The numbers of the boxes, with those of the masks in ``mask``. Where the ground truth has no masks, or
        one that cannot be used, ``mask`` is None and ``no_mask`` says why.

    Raises:
        FileNotFoundError: there is no such annotation file.
        ValueError: as in ``evaluate_coco``, but not for masks of the ground truth.
    """
    content = coco_input.read(annotations)
    selected = coco_input.select_images(content, image_ids)
    truth = coco_input.copy_annotations(content, "bbox")
    boxes = _evaluate(content, truth, detections, selected, "bbox", ignore)
    try:
        truth = coco_input.copy_annotations(content, "segm")
    except ValueError as error:
        reason = coco_input.missing_masks(content) or str(error)
        return dataclasses.replace(boxes, no_mask=reason)
    return dataclasses.replace(boxes, mask=_evaluate(content, truth, detections, selected, "segm", ignore))


def _evaluate(
    content: Mapping[str, Any],
    truth: list[dict[str, Any]],
    detections: Sequence[Mapping[str, Any]],
    image_ids: list[int],
    iou_type: str,
    ignore: bool,
) -> CocoResult:
    case = make_case(content, truth, detections, image_ids, iou_type, ignore)
    curves = measure(case.objects, case.detections, case.overlaps, len(case.classes))
    counts = np.bincount(case.objects.classes[case.objects.counting()[0]], minlength=len(case.classes))
    return _collect(curves, case.classes, counts)


def _collect(curves: Curves, classes: Sequence[str], objects: np.ndarray) -> CocoResult:
    precision, recall = curves
    curve = {iou: _mean(precision[i, :, :, 0]) for i, iou in enumerate(IOU_THRESHOLDS)}
    summary = {"AP": _mean(precision[..., 0])}
    summary |= {f"AP{percent}": curve[percent / 100] for percent in (50, 60, 70, 75, 80, 85, 90, 95)}
    summary |= {f"AP{size}": _mean(precision[..., a]) for a, size in enumerate("sml", start=1)}
    summary |= {f"AR{most}": _mean(recall[..., 0, m]) for m, most in enumerate((1, 10, 100))}
    summary |= {f"AR{size}": _mean(recall[..., a, -1]) for a, size in enumerate("sml", start=1)}
    per_class = {
        name: _collect_class(precision[:, :, k, 0], recall[:, k, 0, -1], int(objects[k]))
        for k, name in enumerate(classes)
    }
    return CocoResult(summary, per_class, curve)


def _collect_class(precision: np.ndarray, recall: np.ndarray, objects: int) -> dict[str, float]:
    at_iou = {
        f"AP{percent}": _mean(precision[IOU_THRESHOLDS.index(percent / 100)]) for percent in _CLASS_PERCENTS
    }
    return {"AP": _mean(precision), **at_iou, "AR100": _mean(recall), "objects": objects}


def _mean(values: np.ndarray) -> float:
    """Mean of the measured values; NaN marks classes without objects."""
    measured = values[~np.isnan(values)]
    return float(measured.mean()) if measured.size else float("nan")
