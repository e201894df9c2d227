"""What a detector does wrong on a data set, as numbers, pictures and a page."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .bar import waiting

if TYPE_CHECKING:
    import numpy as np

    from cascade_tf.data.coco import CocoDataset
    from cascade_tf.metrics import ErrorResult, Measurement
    from cascade_tf.prediction.inference import ImageDetections

SCORE_THRESHOLD = 0.5
"""Detections that score lower are not drawn, and have no part in the confusion matrix."""


def find_errors(
    dataset: CocoDataset,
    records: Sequence[ImageDetections],
    *,
    masks: bool,
    score_threshold: float = SCORE_THRESHOLD,
) -> ErrorResult:
    """Returns what is wrong with the detections in the images of a data set.

    Args:
        dataset: images with their objects.
        records: what was detected, in each image that was read.
        masks: also looks at the errors of the masks, which both sides must have.
        score_threshold: see ``SCORE_THRESHOLD``.
    """
    from cascade_tf.metrics import evaluate_errors
    from cascade_tf.prediction.inference import to_coco_results

    truth, detections = dataset.ground_truth(), to_coco_results(records)
    image_ids = [record.image_id for record in records]
    with waiting("looking for errors"):
        boxes, *of_masks = (
            evaluate_errors(
                truth, detections, image_ids=image_ids, iou_type=iou_type, score_threshold=score_threshold
            )
            for iou_type in ("bbox", *["segm"] * masks)
        )
    return dataclasses.replace(boxes, mask=of_masks[0]) if of_masks else boxes


def draw_worst(errors: ErrorResult, dataset: CocoDataset, *, upright: bool) -> list[tuple[str, np.ndarray]]:
    """Returns the images with the worst errors, each with a caption, as ``write_report`` takes them."""
    from cascade_tf.prediction.inference import read_image
    from cascade_tf.visualization import draw_errors

    examples = {example.image_id: example for example in dataset.examples}
    pictures = []
    for judged in errors.images:
        example = examples[judged.image_id]
        image = read_image(example.path, upright=upright, size=(example.height, example.width))
        counts = ", ".join(f"{count} {kind}" for kind, count in judged.errors().items())
        pictures.append((f"{Path(example.path).name}: {counts}", draw_errors(image, judged, errors.classes)))
    return pictures


def write_errors(
    errors: ErrorResult,
    dataset: CocoDataset,
    results: Mapping[str, Measurement],
    prefix: Path,
    *,
    upright: bool,
) -> None:
    """Writes the numbers, the confusion matrix and the page.

    Args:
        errors: of the last result.
        dataset: where they were made.
        results: what the page shows besides, by their names.
        prefix: path that the files' names begin with.
        upright: turns images as their EXIF orientation says.
    """
    from cascade_tf.report import write_report

    errors.to_json(f"{prefix}_errors.json")
    errors.confusion_csv(f"{prefix}_confusion.csv")
    with waiting("drawing the worst errors"):
        write_report(
            f"{prefix}.html",
            title=f"Evaluation on {prefix.name}",
            summary=f"{len(dataset.examples):,} images, {errors.objects.sum():,} objects.",
            results=results,
            errors=errors,
            error_pictures=draw_worst(errors, dataset, upright=upright),
        )
