"""Detections in COCO's result format as the arrays that protocols take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from cascade_tf.data.examples import Category


class Found(NamedTuple):
    """What was detected in an image, n boxes.

    Attributes:
        names: [n] of their classes.
        boxes: [n, 4] float64 (x, y, width, height), pixels.
        scores: [n] float64.
    """

    names: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray

    def of(self, *names: str) -> Found:
        """Those of some classes."""
        own = np.isin(self.names, names)
        return Found(self.names[own], self.boxes[own], self.scores[own])

    def best_first(self) -> Found:
        """All of them by their scores; of equal ones the order stays."""
        order = np.argsort(-self.scores, kind="stable")
        return Found(self.names[order], self.boxes[order], self.scores[order])

    def corners(self) -> np.ndarray:
        """[n, 4] (x1, y1, x2, y2)."""
        return np.concatenate([self.boxes[:, :2], self.boxes[:, :2] + self.boxes[:, 2:]], axis=1)


def by_image(
    detections: Sequence[Mapping[str, Any]], image_ids: Sequence[int], categories: Sequence[Category]
) -> dict[int, Found]:
    """Groups detections by their images, in the order of both.

    Args:
        detections: in COCO's result format; those in other images are left out.
        image_ids: whose detections are wanted; an image without any has none in its arrays.
        categories: name the classes.
    """
    names = {category.id: category.name for category in categories}
    rows: dict[int, list[Mapping[str, Any]]] = {image_id: [] for image_id in image_ids}
    for record in detections:
        if record["image_id"] in rows:
            rows[record["image_id"]].append(record)
    return {
        image_id: Found(
            np.array([names[record["category_id"]] for record in some], dtype=str),
            np.array([record["bbox"] for record in some], np.float64).reshape(-1, 4),
            np.array([record["score"] for record in some], np.float64),
        )
        for image_id, some in rows.items()
    }
