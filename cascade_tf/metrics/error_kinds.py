"""What is wrong with each detection, and which objects are missed, as TIDE defines it.

TIDE is Bolya et al., "TIDE: A General Toolbox for Identifying Object Detection Errors", ECCV 2020. Detections
are matched with the objects of their class as COCO does, at the foreground IoU. What found no object is one
of five errors, the first of these that holds:

* localization: the IoU with an object of its class lies between the background and the foreground IoU;
* class: the IoU with an object of another class reaches the foreground IoU;
* duplicate: the IoU with an object of its class that a better detection found reaches the foreground IoU;
* background: the IoU with no object exceeds the background IoU;
* both: all others, whose class and place are wrong.

An object that no detection found is missed unless a localization or class error has it for its best object.

Objects that do not count, crowds and ignored ones, are matched as COCO does. Who finds one is neither right
nor wrong, and they are nobody's object in the list above. The toolbox (github.com/dbolya/tide) lets
detections in a crowd be errors all the same.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

import numpy as np

from cascade_tf.metrics.coco_matching import CocoDetections, CocoObjects, Overlaps, best_of_each
from cascade_tf.metrics.matching import match_to_free
from cascade_tf.metrics.meetings import Groups, meetings

FOREGROUND = 0.5
"""The IoU from which on a detection has found an object."""

BACKGROUND = 0.1
"""The IoU up to which a detection has nothing to do with an object."""

# Pairs in one batch, for the sake of memory.
_BATCH = 1 << 18


class Verdict(enum.IntEnum):
    """What is said of a detection; of ``NEUTRAL`` ones nothing, because what they found does not count."""

    RIGHT = 0
    CLASS = 1
    LOCALIZATION = 2
    BOTH = 3
    DUPLICATE = 4
    BACKGROUND = 5
    NEUTRAL = 6


class Judged(NamedTuple):
    """What became of n detections and m objects.

    Attributes:
        rows: [n] which detections they are, sorted by image and score.
        verdicts: [n] int8, of ``Verdict``.
        targets: [n] the object that it found, or that it would have found with another class or a better
            place, or that another one found better; else -1.
        counting: [m] bool, objects that count.
        found: [m] bool, those of them that a right detection found.
        claims: [m] place in ``rows`` of the best detection whose class or localization error has this object,
            which is not found, for its target; else -1.
    """

    rows: np.ndarray
    verdicts: np.ndarray
    targets: np.ndarray
    counting: np.ndarray
    found: np.ndarray
    claims: np.ndarray

    @property
    def missed(self) -> np.ndarray:
        """[m] bool, objects that neither a right detection found nor an error nearly did."""
        return self.counting & ~self.found & (self.claims < 0)


def judge(
    objects: CocoObjects,
    detections: CocoDetections,
    overlaps: Overlaps,
    *,
    foreground: float = FOREGROUND,
    background: float = BACKGROUND,
    least_score: float = -np.inf,
) -> Judged:
    """Says of each detection whether it is right, and if not, what is wrong with it.

    Args:
        objects: the ground truth.
        detections: of the same images. Of an image and a class the best 100 are looked at, as COCO does.
        overlaps: of some of the detections with some of the objects.
        foreground: see ``FOREGROUND``.
        background: see ``BACKGROUND``.
        least_score: detections that score lower are left out.

    Raises:
        ValueError: not ``0 < background < foreground <= 1``.
    """
    if not 0 < background < foreground <= 1:
        raise ValueError(
            f"the IoUs must be 0 < background < foreground <= 1, got background {background} and "
            f"foreground {foreground}"
        )
    rows = best_of_each(detections)[0]
    rows = np.sort(rows[detections.scores[rows] >= least_score])
    rows = rows[np.lexsort((-detections.scores[rows], detections.images[rows]))]
    counting = objects.counting()[0]
    verdicts = np.full(len(rows), Verdict.BACKGROUND, np.int8)
    targets = np.full(len(rows), -1)
    found = np.zeros(len(counting), bool)
    by_image = (
        Groups.of(detections.images, rows),
        Groups.of(objects.images, np.argsort(objects.images, kind="stable")),
    )
    for places, members in meetings(*by_image, _BATCH):
        padding = (places < 0)[:, :, None] | (members < 0)[:, None]
        own = np.where(places < 0, -1, rows[places])
        some = np.where(padding, -1.0, overlaps(own, members))
        same = detections.classes[own][:, :, None] == objects.classes[members][:, None]
        verdict, target = _judge_images(
            some, same, counting[members], objects.crowds[members], foreground, background
        )
        real = places >= 0
        verdicts[places[real]] = verdict[real]
        targets[places[real]] = np.take_along_axis(members, target, axis=1)[real]
    targets[(verdicts == Verdict.BOTH) | (verdicts == Verdict.BACKGROUND)] = -1
    found[targets[verdicts == Verdict.RIGHT]] = True
    claims = np.full(len(counting), -1)
    nearly = np.flatnonzero((verdicts == Verdict.CLASS) | (verdicts == Verdict.LOCALIZATION))
    nearly = nearly[~found[targets[nearly]]]
    # Rows are sorted by score within an image, so that the first is the best.
    claimed, first = np.unique(targets[nearly], return_index=True)
    claims[claimed] = nearly[first]
    return Judged(rows, verdicts, targets, counting, found, claims)


def _judge_images(
    overlaps: np.ndarray,
    same: np.ndarray,
    counting: np.ndarray,
    crowds: np.ndarray,
    foreground: float,
    background: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Verdicts [N, D] of the detections of N images, and which of the G objects each has for its target.

    Args:
        overlaps: [N, D, G], detections best first; -1 for padding.
        same: [N, D, G] bool, pairs of one class.
        counting: [N, G] bool.
        crowds: [N, G] bool.
        foreground: see ``FOREGROUND``.
        background: see ``BACKGROUND``.
    """
    matches = match_to_free(np.where(same, overlaps, -1.0), np.array(foreground), ~counting, crowds)
    right = (matches.objects >= 0) & ~matches.neutral
    numbers = np.arange(overlaps.shape[-1])
    found = ((matches.objects[..., None] == numbers) & right[..., None]).any(axis=1)
    overlaps = np.where(counting[:, None], overlaps, -1.0)
    own, own_iou = _nearest(overlaps, same)
    other, other_iou = _nearest(overlaps, ~same)
    taken, taken_iou = _nearest(overlaps, same & found[:, None])
    # The first that holds.
    cases = (
        (right, Verdict.RIGHT, matches.objects),
        (matches.neutral, Verdict.NEUTRAL, matches.objects),
        ((background <= own_iou) & (own_iou <= foreground), Verdict.LOCALIZATION, own),
        (other_iou >= foreground, Verdict.CLASS, other),
        (taken_iou >= foreground, Verdict.DUPLICATE, taken),
        (overlaps.max(axis=-1) <= background, Verdict.BACKGROUND, own),
    )
    holds, verdicts, targets = zip(*cases, strict=True)
    return np.select(holds, verdicts, Verdict.BOTH), np.select(holds, targets, 0)


def _nearest(overlaps: np.ndarray, allowed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[N, D] the allowed object that each detection overlaps most, and how much; -1 where none is."""
    overlaps = np.where(allowed, overlaps, -1.0)
    nearest = overlaps.argmax(axis=-1)
    return nearest, np.take_along_axis(overlaps, nearest[..., None], axis=-1)[..., 0]
