"""The images with the worst errors, as what there is beside what was found."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cascade_tf.metrics.coco_case import CocoCase
from cascade_tf.metrics.error_kinds import Judged, Verdict

STATES = ("found", "nearly found", "missed", "does not count")
"""What became of an object; nearly found is one that a class or localization error has for its target."""


class JudgedImage(NamedTuple):
    """The g objects and d detections of an image, boxes as (x1, y1, x2, y2) in its pixels.

    Attributes:
        image_id: of the annotation file.
        weight: of its errors: the sum of the scores of all wrong detections, and 1 for each missed object.
        object_boxes: [g, 4] float64.
        object_classes: [g] from 0 on.
        states: [g] indices of ``STATES``.
        boxes: [d, 4] float64, best first.
        classes: [d] from 0 on.
        scores: [d].
        verdicts: [d] of ``Verdict``.
    """

    image_id: int
    weight: float
    object_boxes: np.ndarray
    object_classes: np.ndarray
    states: np.ndarray
    boxes: np.ndarray
    classes: np.ndarray
    scores: np.ndarray
    verdicts: np.ndarray

    def errors(self) -> dict[str, int]:
        """How many errors of each kind there are; kinds without any are left out."""
        names = [Verdict(verdict).name.lower() for verdict in self.verdicts]
        counts = {v.name.lower(): names.count(v.name.lower()) for v in Verdict}
        del counts["right"], counts["neutral"]
        counts["missed"] = int((self.states == STATES.index("missed")).sum())
        return {kind: count for kind, count in counts.items() if count}


def worst_images(case: CocoCase, judged: Judged, most: int) -> list[JudgedImage]:
    """Returns the images whose errors weigh most, the worst first; none without errors is among them.

    Args:
        case: what was measured, by boxes.
        judged: what became of the detections that are to be seen.
        most: how many images at most.
    """
    images = case.detections.images[judged.rows]
    wrong = (judged.verdicts != Verdict.RIGHT) & (judged.verdicts != Verdict.NEUTRAL)
    scores = case.detections.scores[judged.rows]
    weights = np.zeros(len(case.image_ids))
    np.add.at(weights, images[wrong], scores[wrong])
    np.add.at(weights, case.objects.images[judged.missed], 1.0)
    states = np.select(
        [judged.found, judged.missed, judged.counting],
        [STATES.index(state) for state in ("found", "missed", "nearly found")],
        STATES.index("does not count"),
    )
    result = []
    for image in np.argsort(-weights, kind="stable")[:most]:
        if weights[image] > 0:
            own, present = np.flatnonzero(images == image), np.flatnonzero(case.objects.images == image)
            rows = judged.rows[own]
            result.append(
                JudgedImage(
                    image_id=case.image_ids[image],
                    weight=float(weights[image]),
                    object_boxes=_corners(case.object_shapes[present]),
                    object_classes=case.objects.classes[present],
                    states=states[present],
                    boxes=_corners(case.detection_shapes[rows]),
                    classes=case.detections.classes[rows],
                    scores=case.detections.scores[rows],
                    verdicts=judged.verdicts[own],
                )
            )
    return result


def _corners(boxes: np.ndarray) -> np.ndarray:
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
