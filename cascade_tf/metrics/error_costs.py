"""How much AP each kind of error costs: what an oracle that mends all errors of the kind would gain.

By TIDE (see ``error_kinds``) the kinds are mended one at a time, from the same detections:

* class: the detection moves to its object's class, localization: it moves to its object, with its score, and
  is right from then on. Where several claim one object the best does; the others, and those whose object is
  found already, are removed;
* both, duplicate, background: the detection is removed;
* missed: the object need not be found any more.

Two more repairs overlap with these: with no false positives, all wrong detections come after all right ones;
with no false negatives, only the objects that were found need to be.

AP is COCO's at the foreground IoU, of the classes with objects. Where a repair leaves a class without any,
its AP is 1 if nothing was detected, which is right then, and else 0. The toolbox leaves the class out in the
first case, and counts classes that have detections only, with an AP of 0.
"""

from __future__ import annotations

import numpy as np

from cascade_tf.metrics.coco_curves import precision_at_recalls
from cascade_tf.metrics.coco_matching import CocoDetections, CocoObjects
from cascade_tf.metrics.error_kinds import Judged, Verdict

KINDS = ("class", "localization", "both", "duplicate", "background", "missed")
"""The kinds of error, in the order in which they are shown."""

REPAIRS = (*KINDS, "false positives", "false negatives")
"""What an oracle mends: one kind of error, or all of one side."""


def average_precisions(
    judged: Judged, objects: CocoObjects, detections: CocoDetections, num_classes: int
) -> dict[str, np.ndarray]:
    """Returns the AP [K] of each class, by what is mended; under ``""`` with nothing mended.

    The gain of a repair is never negative. A class without objects has an AP of NaN.

    Args:
        judged: the verdicts on the detections.
        objects: the ground truth.
        detections: as given to ``judge``.
        num_classes: K.
    """
    verdicts = judged.verdicts
    classes, scores = detections.classes[judged.rows], detections.scores[judged.rows]
    right, kept = verdicts == Verdict.RIGHT, verdicts != Verdict.NEUTRAL
    mended = np.zeros(len(verdicts), bool)
    mended[judged.claims[judged.claims >= 0]] = True
    target_classes = objects.classes[np.where(mended, judged.targets, 0)] if len(objects.classes) else classes
    totals = _count(objects.classes[judged.counting], num_classes)
    result = {"": _of_classes(classes[kept], scores[kept], right[kept], totals)}
    for kind in KINDS[:-1]:
        of_kind = verdicts == Verdict[kind.upper()]
        stays = kept & (~of_kind | mended)
        moved = np.where(of_kind & mended, target_classes, classes)
        result[kind] = _of_classes(moved[stays], scores[stays], (right | (of_kind & mended))[stays], totals)
    missed = _count(objects.classes[judged.missed], num_classes)
    result["missed"] = _of_classes(classes[kept], scores[kept], right[kept], totals - missed)
    result["false positives"] = _of_classes(classes[kept], right[kept], right[kept], totals)
    found = _count(objects.classes[judged.found], num_classes)
    result["false negatives"] = _of_classes(classes[kept], scores[kept], right[kept], found)
    return {mended: np.where(totals > 0, ap, np.nan) for mended, ap in result.items()}


def count_errors(
    judged: Judged, objects: CocoObjects, detections: CocoDetections, num_classes: int
) -> dict[str, np.ndarray]:
    """Returns how many errors [K] of each kind there are, by the class of the detection or missed object."""
    classes = detections.classes[judged.rows]
    counts = {
        kind: _count(classes[judged.verdicts == Verdict[kind.upper()]], num_classes) for kind in KINDS[:-1]
    }
    return counts | {"missed": _count(objects.classes[judged.missed], num_classes)}


def _of_classes(classes: np.ndarray, scores: np.ndarray, right: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """AP [K] of n detections, of which some are right. Without objects no detection is the best result."""
    order = np.lexsort((-scores.astype(np.float64), classes))
    right = right[order]
    bounds = np.searchsorted(classes[order], np.arange(len(totals) + 1))
    result = (np.diff(bounds) == 0).astype(np.float64)
    for k in np.flatnonzero(totals):
        own = right[None, bounds[k] : bounds[k + 1]]
        result[k] = precision_at_recalls(own, ~own, totals[k]).mean()
    return result


def _count(classes: np.ndarray, num_classes: int) -> np.ndarray:
    return np.bincount(classes, minlength=num_classes)
