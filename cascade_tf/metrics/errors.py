"""What a detector does wrong: annotations and detections in, kinds of error and what they cost out.

The AP of a COCO evaluation says how good a detector is; this says why it is not better. ``error_kinds`` has
the definitions, which are TIDE's, ``error_costs`` what the oracle does, and ``confusion`` how its matrix is
filled.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from cascade_tf.metrics import coco_input
from cascade_tf.metrics.coco_case import make_case
from cascade_tf.metrics.coco_curves import measure
from cascade_tf.metrics.confusion import confusion_matrix
from cascade_tf.metrics.error_costs import average_precisions, count_errors
from cascade_tf.metrics.error_kinds import judge
from cascade_tf.metrics.error_results import CURVES, ErrorResult
from cascade_tf.metrics.results import IOU_THRESHOLDS
from cascade_tf.metrics.worst_images import worst_images


def evaluate_errors(
    annotations: str | os.PathLike[str] | Mapping[str, Any],
    detections: Sequence[Mapping[str, Any]],
    *,
    image_ids: Iterable[int] | None = None,
    iou_type: str = "bbox",
    ignore: bool = True,
    score_threshold: float = 0.5,
    num_images: int = 12,
) -> ErrorResult:
    """Finds out what is wrong with detections in COCO's result format, by their boxes or their masks.

    Args:
        annotations: COCO annotation file, or its content.
        detections: as ``evaluate_coco`` takes them.
        image_ids: likewise.
        iou_type: likewise.
        ignore: likewise.
        score_threshold: detections that score lower have no part in the confusion matrix, the worst images
            and ``ErrorResult.seen``; what the kinds of error cost is of all detections, as AP is.
        num_images: how many of the images with the worst errors are returned; none by masks.

    Raises:
        FileNotFoundError: there is no such annotation file.
        ValueError: as in ``evaluate_coco``.
    """
    coco_input.require_iou_type(iou_type)
    content = coco_input.read(annotations)
    selected = coco_input.select_images(content, image_ids)
    truth = coco_input.copy_annotations(content, iou_type)
    case = make_case(content, truth, detections, selected, iou_type, ignore)
    arrays, num_classes = (case.objects, case.detections), len(case.classes)
    judged = judge(*arrays, case.overlaps)
    seen = judge(*arrays, case.overlaps, least_score=score_threshold)
    precision = measure(*arrays, case.overlaps, num_classes).precision
    return ErrorResult(
        classes=tuple(case.classes),
        objects=np.bincount(case.objects.classes[judged.counting], minlength=num_classes),
        score_threshold=score_threshold,
        average_precisions=average_precisions(judged, *arrays, num_classes),
        counts=count_errors(judged, *arrays, num_classes),
        seen=count_errors(seen, *arrays, num_classes),
        confusion=confusion_matrix(seen, *arrays, case.overlaps, num_classes),
        curves={iou: precision[IOU_THRESHOLDS.index(iou), :, :, 0] for iou in CURVES},
        images=tuple(worst_images(case, seen, num_images)) if iou_type == "bbox" else (),
    )
