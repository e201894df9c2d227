"""Who found what: the detections of an image matched with its objects, by the two rules that protocols share.

Both take the overlaps of all pairs, detections in the order of their scores, best first, and serve each
detection in turn. They differ in what a detection may have: ``match_to_free`` gives it the best object that
nobody has yet (COCO, CityPersons), ``match_to_nearest`` knows one object for it and counts it as false if
another was there before (PASCAL VOC, WIDER FACE). KITTI lets the objects choose, see ``kitti``.

Protocols say by the overlaps what overlap means: of pixels counted as points or as squares, relative to the
union, or for a region that stands for many objects to the detection alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Matches(NamedTuple):
    """What became of each detection.

    Attributes:
        objects: [..., D] int64, the object that it found; -1 for none, which makes it a false positive.
        neutral: [..., D] bool, whether that object is an ignored one: it is neither right nor wrong.
    """

    objects: np.ndarray
    neutral: np.ndarray


def match_to_free(
    overlaps: np.ndarray, thresholds: np.ndarray, ignored: np.ndarray, reusable: np.ndarray
) -> Matches:
    """Gives each detection the object that it overlaps most, of those that are left.

    An ignored object is taken only where no other one is left that overlaps enough. Of equal overlaps the
    last object wins. Leading axes are broadcast: thresholds, ranges of size or images of equal numbers are
    matched at once.

    Args:
        overlaps: [..., D, G] of D detections, best first, with G objects. Pairs that are padding have -1.
        thresholds: [...] > 0, the least overlap of a match; reaching it is enough.
        ignored: [..., G] bool, objects that do not count.
        reusable: [..., G] bool, objects that any number of detections may take.
    """
    num_detections, num_objects = overlaps.shape[-2:]
    leading = np.broadcast_shapes(
        overlaps.shape[:-2], thresholds.shape, ignored.shape[:-1], reusable.shape[:-1]
    )
    objects = np.full((num_detections, *leading), -1)
    neutral = np.zeros(objects.shape, bool)
    # Objects go first: NumPy is slow along a short last axis.
    missing_axes = (1,) * (len(leading) + 2 - overlaps.ndim)
    overlaps = np.moveaxis(overlaps.reshape(missing_axes + overlaps.shape), (-2, -1), (0, 1)).copy()
    ignored = np.moveaxis(np.broadcast_to(ignored, (*leading, num_objects)), -1, 0)
    reusable = np.moveaxis(np.broadcast_to(reusable, (*leading, num_objects)), -1, 0)
    free = np.ones(ignored.shape, bool)
    others = tuple(range(1, overlaps.ndim))
    numbers = np.arange(num_objects).reshape(-1, *(1 for _ in leading))
    for d in np.flatnonzero(np.any(overlaps >= thresholds.min(), axis=others)):
        possible = (overlaps[d] >= thresholds) & (free | reusable)
        counting = possible & ~ignored
        possible &= counting | ~counting.any(axis=0)
        value = np.where(possible, overlaps[d], -1.0)
        possible &= value == value.max(axis=0)
        objects[d] = np.where(possible, numbers, -1).max(axis=0)
        chosen = numbers == objects[d]
        neutral[d] = (chosen & ignored).any(axis=0)
        free &= ~chosen
    return Matches(np.moveaxis(objects, 0, -1), np.moveaxis(neutral, 0, -1))


def match_to_nearest(overlaps: np.ndarray, threshold: float, ignored: np.ndarray, *, strict: bool) -> Matches:
    """Gives each detection the object that it overlaps most, unless a better detection has it already.

    A detection whose object is taken is a false positive, even where it overlaps another one enough. An
    ignored object is never taken. Of equal overlaps the first object wins.

    Args:
        overlaps: [D, G] of D detections, best first, with G objects.
        threshold: the least overlap of a match.
        ignored: [G] bool, objects that do not count.
        strict: whether a match has to exceed the threshold, or may equal it.
    """
    if overlaps.shape[1] == 0:
        return Matches(np.full(len(overlaps), -1), np.zeros(len(overlaps), bool))
    nearest = overlaps.argmax(axis=1)
    most = overlaps[np.arange(len(overlaps)), nearest]
    close = most > threshold if strict else most >= threshold
    neutral = close & ignored[nearest]
    hits = np.flatnonzero(close & ~neutral)
    first = hits[np.unique(nearest[hits], return_index=True)[1]]
    objects = np.where(neutral, nearest, -1)
    objects[first] = nearest[first]
    return Matches(objects, neutral)
