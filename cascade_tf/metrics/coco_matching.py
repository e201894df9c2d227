"""Which detections are right by the COCO protocol, at all thresholds and for all sizes of objects.

Objects and detections meet where they share image and class.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from cascade_tf.metrics.matching import match_to_free
from cascade_tf.metrics.meetings import Groups, meetings

# The published code's: three of the ten differ from 0.05 * i in the last digit.
THRESHOLDS = np.linspace(0.5, 0.95, 10)

SIZES = ((0.0, 1e10), (0.0, 32.0**2), (32.0**2, 96.0**2), (96.0**2, 1e10))
"""Least and largest area of the objects that count, square pixels: all, small, medium, large."""

MOST = 100
"""How many of the best detections of an image and a class are looked at."""

# Overlaps in one batch, for the sake of memory: all thresholds and sizes take forty times as many flags.
_BATCH = 1 << 17


class CocoObjects(NamedTuple):
    """The ground truth, n objects.

    Attributes:
        images: [n] int, from 0 on.
        classes: [n] int, from 0 on.
        areas: [n] square pixels.
        crowds: [n] bool, objects that stand for many. They do not count.
        ignored: [n] bool, others that do not count.
    """

    images: np.ndarray
    classes: np.ndarray
    areas: np.ndarray
    crowds: np.ndarray
    ignored: np.ndarray

    def counting(self) -> np.ndarray:
        """[4, n] bool, the objects that count, for each of ``SIZES``."""
        return ~(self.crowds | self.ignored) & _of_size(self.areas)


class CocoDetections(NamedTuple):
    """What was detected, n objects; of equal scores in an image the first comes first.

    Attributes:
        images: [n] int, as in ``CocoObjects``.
        classes: [n] int, likewise.
        scores: [n].
        areas: [n] square pixels.
    """

    images: np.ndarray
    classes: np.ndarray
    scores: np.ndarray
    areas: np.ndarray


Overlaps = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Takes rows of detections [N, D] and of objects [N, G], -1 as padding; returns their overlaps [N, D, G].

An overlap is the IoU, or where the object is a crowd the share of the detection in it; of padding, anything.
"""


class Matched(NamedTuple):
    """What became of the n detections that are looked at, at 10 thresholds and for 4 sizes.

    Attributes:
        rows: [n] which they are, sorted by class, image and score.
        ranks: [n] place among those of their image and class, from 0 on.
        right: [10, 4, n] bool.
        wrong: [10, 4, n] bool; what is neither does not count.
    """

    rows: np.ndarray
    ranks: np.ndarray
    right: np.ndarray
    wrong: np.ndarray


def match_all(objects: CocoObjects, detections: CocoDetections, overlaps: Overlaps) -> Matched:
    """Matches the best detections of each image and class with its objects."""
    rows, ranks = best_of_each(detections)
    num_images = 1 + max(objects.images.max(initial=-1), detections.images.max(initial=-1))
    found = Groups.of(detections.classes * num_images + detections.images, rows)
    keys = objects.classes * num_images + objects.images
    present = Groups.of(keys, np.argsort(keys, kind="stable"))
    right = np.zeros((len(THRESHOLDS), len(SIZES), len(rows)), bool)
    wrong = np.broadcast_to(_of_size(detections.areas[rows]), right.shape).copy()
    ignored = ~objects.counting()
    for places, members in meetings(found, present, _BATCH):
        padding = (places < 0)[:, :, None] | (members < 0)[:, None]
        some = np.where(padding, -1.0, overlaps(np.where(places < 0, -1, rows[places]), members))
        matches = match_to_free(some, THRESHOLDS[:, None, None], ignored[:, members], objects.crowds[members])
        real = places >= 0
        hits, neutral = matches.objects[..., real] >= 0, matches.neutral[..., real]
        right[..., places[real]] = hits & ~neutral
        wrong[..., places[real]] &= ~hits
    return Matched(rows, ranks, right, wrong)


def best_of_each(detections: CocoDetections) -> tuple[np.ndarray, np.ndarray]:
    """Returns the ``MOST`` best detections of each image and class, sorted by class, image and score.

    Returns:
        [n] which they are, and [n] the place of each among those of its image and class, from 0 on.
    """
    by_score = np.lexsort((-detections.scores, detections.images, detections.classes))
    num_images = 1 + detections.images.max(initial=-1)
    groups = Groups.of(detections.classes * num_images + detections.images, by_score)
    ranks = np.arange(len(by_score)) - np.repeat(groups.starts, groups.counts)
    looked_at = ranks < MOST
    return by_score[looked_at], ranks[looked_at]


def _of_size(areas: np.ndarray) -> np.ndarray:
    """[4, n] bool, whether areas [n] are within each of ``SIZES``."""
    least, most = np.array(SIZES).T[..., None]
    return (areas >= least) & (areas <= most)
