"""Pictures of errors: what there is beside what was found, each error under its name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cascade_tf.metrics.error_kinds import Verdict
from cascade_tf.metrics.worst_images import STATES, JudgedImage
from cascade_tf.visualization.detections import draw_detections
from cascade_tf.visualization.sheet import contact_sheet

# Numbers of the colours of ``class_color``: what is right is green, what is missed red.
_OF_VERDICT = {
    Verdict.RIGHT: 4,
    Verdict.CLASS: 5,
    Verdict.LOCALIZATION: 1,
    Verdict.BOTH: 8,
    Verdict.DUPLICATE: 2,
    Verdict.BACKGROUND: 6,
}
_OF_STATE = {"found": 4, "nearly found": 7, "missed": 3}
_UNCOUNTED = STATES.index("does not count")


def draw_errors(
    image: np.ndarray, judged: JudgedImage, classes: Sequence[str], *, width: int = 1280
) -> np.ndarray:
    """Draws the objects of an image on one copy of it and the detections on another, side by side.

    Objects that were missed and detections that are wrong are labelled with what is wrong and their class,
    objects that were found with their class alone; right detections are frames without a label. What does not
    count, and what was detected there, has a dashed white frame.

    Args:
        image: [H, W, 3] or [H, W] uint8.
        judged: its objects and detections.
        classes: names of the classes.
        width: of the result in pixels.

    Returns:
        [height, width, 3] uint8.
    """
    truth, found = _draw_objects(image, judged, classes), _draw_detections(image, judged, classes)
    captions = ("ground truth", "detections")
    return contact_sheet([truth, found], captions, columns=2, width=width)


def _draw_objects(image: np.ndarray, judged: JudgedImage, classes: Sequence[str]) -> np.ndarray:
    counting = np.flatnonzero(judged.states != _UNCOUNTED)
    # Missed ones first: they lie on top and choose the places of their labels.
    order = counting[np.argsort(judged.states[counting] != STATES.index("missed"), kind="stable")]
    states = [STATES[state] for state in judged.states[order]]
    names = [classes[k] for k in judged.object_classes[order]]
    return draw_detections(
        image,
        judged.object_boxes[order],
        names=[
            name if state == "found" else f"{state}: {name}"
            for name, state in zip(names, states, strict=True)
        ],
        classes=np.array([_OF_STATE[state] for state in states]),
        ground_truth=judged.object_boxes[judged.states == _UNCOUNTED],
    )


def _draw_detections(image: np.ndarray, judged: JudgedImage, classes: Sequence[str]) -> np.ndarray:
    counting = np.flatnonzero(judged.verdicts != Verdict.NEUTRAL)
    order = counting[np.argsort(judged.verdicts[counting] == Verdict.RIGHT, kind="stable")]
    return draw_detections(
        image,
        judged.boxes[order],
        names=[_label(judged, i, classes) for i in order],
        classes=np.array([_OF_VERDICT[Verdict(verdict)] for verdict in judged.verdicts[order]]),
        ground_truth=judged.boxes[judged.verdicts == Verdict.NEUTRAL],
    )


def _label(judged: JudgedImage, i: int, classes: Sequence[str]) -> str:
    verdict = Verdict(judged.verdicts[i])
    if verdict == Verdict.RIGHT:
        return ""
    return f"{verdict.name.lower()}: {classes[judged.classes[i]]} {judged.scores[i]:.2f}"
