"""Average recall of proposals, as Detectron measures it for Table 8.

Classes are not told apart. In each image the pair of a proposal and an object that overlap most is taken
out, again and again, so that no proposal finds two objects. Recall at a threshold is the share of the objects
whose own pair overlaps at least so much, and average recall its mean over COCO's ten thresholds. Pycocotools
pairs them otherwise, in the order of the scores, and finds a little less.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cascade_tf.coco_format.fields import wrong
from cascade_tf.files import write_atomically
from cascade_tf.metrics import coco_input
from cascade_tf.metrics.coco_detections import BrokenDetectionError, read_detections
from cascade_tf.metrics.overlaps import pairwise_iou
from cascade_tf.metrics.results import IOU_THRESHOLDS

LIMITS = (100, 300, 1000)
"""How many of the best proposals of an image are looked at."""

SIZES: dict[str, tuple[float, float]] = {
    "": (0.0, math.inf),
    "s": (0.0, 32.0**2),
    "m": (32.0**2, 96.0**2),
    "l": (96.0**2, math.inf),
}
"""Least and largest area of the objects that count, square pixels, by the letter in the numbers' names."""

_TO_CORNERS = np.array([[1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 0], [0, 0, 0, 1]], np.float64)  # of x, y, w, h


@dataclasses.dataclass(frozen=True)
class RecallResult:
    """Average recall of proposals.

    Attributes:
        summary: ``"AR100"`` for all objects and the best 100 proposals of each image, ``"ARs1000"`` for small
            ones and the best 1000, and so on: fractions, NaN where there are no such objects.
        recall: limit -> IoU threshold -> recall of all objects.
        objects: how many there are of each size, by the letters of ``SIZES``.
    """

    summary: dict[str, float]
    recall: dict[int, dict[float, float]]
    objects: dict[str, int]

    def to_table(self) -> str:
        """Returns aligned text, in percent: a row for each number of proposals."""
        rows = [["proposals", "AR", "ARs", "ARm", "ARl", *(f"R{100 * iou:.0f}" for iou in (0.5, 0.75, 0.9))]]
        for limit, curve in self.recall.items():
            numbers = [self.summary[f"AR{letter}{limit}"] for letter in SIZES]
            numbers += [curve[iou] for iou in (0.5, 0.75, 0.9)]
            rows.append([str(limit), *("-" if math.isnan(n) else f"{100 * n:.1f}" for n in numbers)])
        return "\n".join(
            "  ".join(cell.rjust(9 if i == 0 else 5) for i, cell in enumerate(row)) for row in rows
        )

    def to_json(self, path: str | os.PathLike[str]) -> Path:
        """Writes all numbers (the whole file or none) and returns its path."""
        content = {
            "summary": {name: _or_null(value) for name, value in self.summary.items()},
            "recall": {
                str(limit): {f"{iou:.2f}": _or_null(value) for iou, value in curve.items()}
                for limit, curve in self.recall.items()
            },
            "objects": {letter or "all": count for letter, count in self.objects.items()},
        }
        return write_atomically(path, json.dumps(content, indent=1) + "\n")


def evaluate_proposals(
    annotations: str | os.PathLike[str] | Mapping[str, Any],
    proposals: Iterable[tuple[int, np.ndarray, np.ndarray]],
    *,
    limits: Sequence[int] = LIMITS,
) -> RecallResult:
    """Measures the recall of proposals.

    Args:
        annotations: COCO annotation file, or its content.
        proposals: image id, boxes [n, 4] (x1, y1, x2, y2) in pixels of the original image, and scores [n], of
            every image that counts.
        limits: numbers of proposals to measure with.

    Raises:
        FileNotFoundError: there is no such annotation file.
        ValueError: the annotations are broken.
        BrokenDetectionError: an image is not among them or comes twice.
    """
    content = coco_input.read(annotations)
    truth = _objects(coco_input.copy_annotations(content, "bbox"))
    known = {image["id"] for image in content["images"]}
    found: dict[tuple[int, str], list[np.ndarray]] = {(n, s): [] for n in limits for s in SIZES}
    seen: set[int] = set()
    for image_id, boxes, scores in proposals:
        if image_id not in known or image_id in seen:
            expected = "no image twice" if image_id in seen else f"an image of {content.source}"
            raise BrokenDetectionError(f"proposals: {wrong('image_id', image_id, expected)}")
        seen.add(image_id)
        objects, areas = truth.get(image_id, (np.zeros((0, 4)), np.zeros(0)))
        best = boxes[np.argsort(-scores, kind="stable")[: max(limits)]]
        overlaps = pairwise_iou(best, objects)
        for (limit, letter), values in found.items():
            least, most = SIZES[letter]
            chosen = (areas >= least) & (areas <= most)
            values.append(own_overlaps(overlaps[:limit, chosen]))
    joined = {key: np.concatenate([np.zeros(0), *values]) for key, values in found.items()}
    return RecallResult(
        summary={
            f"AR{letter}{n}": _recall(joined[n, letter], IOU_THRESHOLDS) for letter in SIZES for n in limits
        },
        recall={n: {iou: _recall(joined[n, ""], (iou,)) for iou in IOU_THRESHOLDS} for n in limits},
        objects={letter: len(joined[limits[0], letter]) for letter in SIZES},
    )


def without_classes(
    detections: Sequence[Mapping[str, Any]], content: Mapping[str, Any]
) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Detections as proposals: boxes [n, 4] (x1, y1, x2, y2) and scores [n] of each image that has some.

    Args:
        detections: in COCO's result format, of any category or none.
        content: of the annotation file.

    Raises:
        BrokenDetectionError: a detection names an unknown image, or has a missing or malformed field.
    """
    one_class = {**content, "categories": [{"id": 0}]}
    records = [{**record, "category_id": 0} for record in detections]
    found = read_detections(records, one_class, "bbox")
    rows_of: dict[int, list[int]] = {}
    for row, image_id in enumerate(found.image_ids):
        rows_of.setdefault(image_id, []).append(row)
    corners = found.shapes @ _TO_CORNERS
    return {image_id: (corners[rows], found.scores[rows]) for image_id, rows in rows_of.items()}


def own_overlaps(overlaps: np.ndarray) -> np.ndarray:
    """Pairs proposals and objects one to one, the largest overlaps first.

    Args:
        overlaps: [n, m] IoU of n proposals with m objects.

    Returns:
        [m] the overlap of each object with its proposal, 0 where none was left.
    """
    left = overlaps.copy()
    found = np.zeros(overlaps.shape[1])
    for _ in range(min(overlaps.shape)):
        best, which = np.unravel_index(np.argmax(left), left.shape)
        if left[best, which] <= 0:
            break
        found[which] = left[best, which]
        left[best], left[:, which] = -1, -1
    return found


def _objects(records: Sequence[Mapping[str, Any]]) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Boxes [m, 4] as corners and areas [m] of each image's objects, crowds aside."""
    grouped: dict[int, list[Mapping[str, Any]]] = {}
    for record in records:
        if not record["iscrowd"]:
            grouped.setdefault(record["image_id"], []).append(record)
    return {
        image_id: (
            np.array([record["bbox"] for record in some], np.float64) @ _TO_CORNERS,
            np.array([record["area"] for record in some], np.float64),
        )
        for image_id, some in grouped.items()
    }


def _recall(overlaps: np.ndarray, thresholds: Sequence[float]) -> float:
    if not len(overlaps):
        return math.nan
    return float(np.mean([np.mean(overlaps >= threshold) for threshold in thresholds]))


def _or_null(value: float) -> float | None:
    return None if math.isnan(value) else value
