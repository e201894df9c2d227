"""Which class is taken for which, what is found where nothing is, and what is missed."""

from __future__ import annotations

import numpy as np

from cascade_tf.metrics.coco_matching import CocoDetections, CocoObjects, Overlaps
from cascade_tf.metrics.error_kinds import FOREGROUND, Judged, Verdict
from cascade_tf.metrics.matching import match_to_free
from cascade_tf.metrics.meetings import Groups, meetings

# Pairs in one batch, for the sake of memory.
_BATCH = 1 << 18


def confusion_matrix(
    judged: Judged,
    objects: CocoObjects,
    detections: CocoDetections,
    overlaps: Overlaps,
    num_classes: int,
    *,
    iou: float = FOREGROUND,
) -> np.ndarray:
    """Counts pairs of an object's class and a detection's.

    Detections find objects of their own class first, as COCO matches them: the diagonal counts what the
    protocol calls right. What is left of detections and objects is matched in the same way whatever their
    classes are, which fills the other cells. The last row counts detections that are left even then, a second
    one of an object among them; the last column counts objects that are. What found an object that does not
    count is not in the matrix.

    Other matrices match all classes at once, so that a bicycle that overlaps a person's box well may be
    counted as a person that was taken for a bicycle, though both were found.

    Args:
        judged: what became of the detections that score enough, at the same IoU.
        objects: the ground truth.
        detections: as given to ``judge``.
        overlaps: likewise.
        num_classes: K.
        iou: the least overlap of a match.

    Returns:
        [K + 1, K + 1] int64, rows are objects, columns detections.
    """
    taken = np.full(len(judged.rows), num_classes)
    right = judged.verdicts == Verdict.RIGHT
    taken[right] = objects.classes[judged.targets[right]]
    left = np.flatnonzero(~right & (judged.verdicts != Verdict.NEUTRAL))
    free = np.flatnonzero(judged.counting & ~judged.found)
    lost = np.zeros(len(objects.classes), bool)
    lost[free] = True
    rows = judged.rows[left]
    by_image = (
        Groups.of(detections.images, rows),
        Groups.of(objects.images, free[np.argsort(objects.images[free], kind="stable")]),
    )
    for places, members in meetings(*by_image, _BATCH):
        padding = (places < 0)[:, :, None] | (members < 0)[:, None]
        some = np.where(padding, -1.0, overlaps(np.where(places < 0, -1, rows[places]), members))
        none = np.zeros(members.shape, bool)
        found = match_to_free(some, np.array(iou), none, none).objects
        hit = found >= 0
        objects_found = np.take_along_axis(members, np.maximum(found, 0), axis=1)[hit]
        taken[left[places[hit]]] = objects.classes[objects_found]
        lost[objects_found] = False
    counted = judged.verdicts != Verdict.NEUTRAL
    truth = np.concatenate([taken[counted], objects.classes[lost]])
    named = np.concatenate([detections.classes[judged.rows[counted]], np.full(int(lost.sum()), num_classes)])
    matrix = np.zeros((num_classes + 1, num_classes + 1), np.int64)
    np.add.at(matrix, (truth, named), 1)
    return matrix
