"""Average precision by KITTI's protocol for boxes in the image, in either version of its rule on height.

Here the objects choose: in the order of the label file each takes one of the detections that are left and
overlap it enough. This happens twice. In the first pass an object takes the detection of the highest score;
the scores of what was found give up to 41 thresholds, at steps of 1/40 of recall. In the second pass, for
each threshold with the detections above it, an object takes the one that overlaps most.

What is no error: to miss an object that is too small, hidden or cut off for the level of difficulty, or one
of a similar class (a van for a car, somebody who sits for a pedestrian), or to find it; and a detection that
lies in a region marked DontCare.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from cascade_tf.formats.kitti import KittiDetections, KittiObjects
from cascade_tf.metrics.overlaps import pairwise_cover, pairwise_iou

RULES = (2016, 2017)
"""Versions of the benchmark: until April 2017 the height of a detection did not matter, since then one that
is lower than the level's objects is ignored."""

POINTS = 41
"""Steps of recall at which precision is measured, 0 and 1 included."""


class Measured(NamedTuple):
    """A class that is measured.

    Attributes:
        similar: lower-case name of the class whose objects may be found or missed.
        overlap: what the IoU has to exceed.
    """

    similar: str
    overlap: float


class Level(NamedTuple):
    """A level of difficulty: the objects that have to be found.

    Attributes:
        height: the least, pixels.
        occluded: the most.
        truncated: the most.
    """

    height: float
    occluded: int
    truncated: float


CLASSES = {
    "car": Measured("van", 0.7),
    "pedestrian": Measured("person_sitting", 0.5),
    "cyclist": Measured("", 0.5),
}

LEVELS = {"easy": Level(40, 0, 0.15), "moderate": Level(25, 1, 0.3), "hard": Level(25, 2, 0.5)}


class _Scene(NamedTuple):
    """What of a frame matters to one class at one level: G objects that may be taken, D detections that may.

    Attributes:
        overlaps: [D, G] IoU.
        scores: [D].
        small: [D] bool, detections that do not count for their height.
        excused: [D] bool, detections in a region that nobody cares for.
        ignored: [G] bool, objects that do not count.
    """

    overlaps: np.ndarray
    scores: np.ndarray
    small: np.ndarray
    excused: np.ndarray
    ignored: np.ndarray


def evaluate_kitti(
    frames: Iterable[tuple[KittiObjects, KittiDetections]], *, rule: int = 2017
) -> dict[str, float]:
    """Measures detections by KITTI's protocol.

    Args:
        frames: labels and detections of every frame that is to count.
        rule: version of the benchmark. In that of 2017 the test of a detection's height comes before the one
            of its class, as in the official program: a low box of any class can be taken by an object, which
            is then neither found nor missed.

    Returns:
        In percent: ``"car/AP11/easy"``, the mean precision at recalls of 0, 0.1, ..., 1, and
        ``"car/AP40/easy"``, that at 1/40, 2/40, ..., 1, for car, pedestrian and cyclist at easy, moderate and
        hard. NaN where there is no object to find.

    Raises:
        ValueError: there is no such rule.
    """
    if rule not in RULES:
        raise ValueError(f"rule must be 2016 or 2017, got {rule}")
    frames = list(frames)
    numbers: dict[str, float] = {}
    for name in CLASSES:
        curves = {level: precision_curve(frames, name, level, rule=rule) for level in LEVELS}
        numbers |= {f"{name}/AP11/{level}": 100 * float(np.mean(c[::4])) for level, c in curves.items()}
        numbers |= {f"{name}/AP40/{level}": 100 * float(np.mean(c[1:])) for level, c in curves.items()}
    return numbers


def precision_curve(
    frames: Iterable[tuple[KittiObjects, KittiDetections]], name: str, level: str, *, rule: int = 2017
) -> np.ndarray:
    """Returns [41] the best precision, as a fraction, at each step of recall or above; NaN without objects.

    Args:
        frames: as in ``evaluate_kitti``.
        name: of the class, a key of ``CLASSES``.
        level: of difficulty, a key of ``LEVELS``.
        rule: as in ``evaluate_kitti``.
    """
    scenes = [_scene(*frame, name, LEVELS[level], rule) for frame in frames]
    num_objects = sum(int(np.sum(~scene.ignored)) for scene in scenes)
    if not num_objects:
        return np.full(POINTS, np.nan)
    minimum = CLASSES[name].overlap
    scores = np.concatenate([np.zeros(0), *(_scores_of_found(scene, minimum) for scene in scenes)])
    thresholds = _thresholds(scores, num_objects)
    found, false = np.zeros(len(thresholds), int), np.zeros(len(thresholds), int)
    for scene in scenes:
        counts = _found_and_false(scene, minimum, thresholds)
        found += counts[0]
        false += counts[1]
    curve = np.zeros(POINTS)
    curve[: len(thresholds)] = found / np.maximum(found + false, 1)
    return np.maximum.accumulate(curve[::-1])[::-1]


def _scene(objects: KittiObjects, detections: KittiDetections, name: str, level: Level, rule: int) -> _Scene:
    types = _lower_case(objects.types)
    of_class = types == name
    takes_part = of_class | (types == CLASSES[name].similar)
    beyond = (
        (objects.boxes[:, 3] - objects.boxes[:, 1] < level.height)
        | (objects.occluded > level.occluded)
        | (objects.truncated > level.truncated)
    )
    heights = np.abs(detections.boxes[:, 3] - detections.boxes[:, 1])
    small = (heights < level.height) & (rule >= 2017)
    kept = small | (_lower_case(detections.types) == name)
    boxes = detections.boxes[kept]
    cover = pairwise_cover(boxes, objects.boxes[types == "dontcare"])
    return _Scene(
        overlaps=pairwise_iou(boxes, objects.boxes[takes_part]),
        scores=detections.scores[kept],
        small=small[kept],
        excused=np.any(cover > CLASSES[name].overlap, axis=1),
        ignored=(beyond | ~of_class)[takes_part],
    )


def _scores_of_found(scene: _Scene, minimum: float) -> np.ndarray:
    """First pass: the scores of the detections that objects took, where both count."""
    free = np.ones(len(scene.scores), bool)
    found = []
    for g in np.flatnonzero(np.any(scene.overlaps > minimum, axis=0)):
        candidates = np.where(free & (scene.overlaps[:, g] > minimum), scene.scores, -np.inf)
        best = int(np.argmax(candidates))
        if candidates[best] == -np.inf:
            continue
        free[best] = False
        if not scene.ignored[g] and not scene.small[best]:
            found.append(scene.scores[best])
    return np.array(found)


def _thresholds(scores: np.ndarray, num_objects: int) -> list[float]:
    """Of the scores of found objects those that come nearest to recalls of 0, 1/40, 2/40, ..."""
    thresholds: list[float] = []
    scores = np.sort(scores)[::-1]
    wanted = 0.0
    for i, score in enumerate(scores):
        last = i == len(scores) - 1
        # The next score is nearer: its recall is less above the wanted one than this one's is below.
        if not last and (i + 2) / num_objects - wanted < wanted - (i + 1) / num_objects:
            continue
        thresholds.append(float(score))
        wanted += 1 / (POINTS - 1)
    return thresholds


def _found_and_false(scene: _Scene, minimum: float, thresholds: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Second pass: how many objects are found and how many detections are false, at each threshold."""
    free = scene.scores >= np.array(thresholds)[:, None]  # [thresholds, detections]
    found = np.zeros(len(thresholds), int)
    rows = np.arange(len(thresholds))
    for g in np.flatnonzero(np.any(scene.overlaps > minimum, axis=0)):
        candidates = free & (scene.overlaps[:, g] > minimum)
        counting = candidates & ~scene.small
        # One that counts goes before those that are too small, of which the first in the file is taken.
        by_overlap = np.argmax(np.where(counting, scene.overlaps[:, g], -1.0), axis=1)
        hit = counting.any(axis=1)
        chosen = np.where(hit, by_overlap, np.argmax(candidates, axis=1))
        taken = candidates.any(axis=1)
        free[rows[taken], chosen[taken]] = False
        if not scene.ignored[g]:
            found += hit
    return found, np.sum(free & ~scene.small & ~scene.excused, axis=1)


def _lower_case(types: np.ndarray) -> np.ndarray:
    return np.char.lower(np.asarray(types, dtype=str))
