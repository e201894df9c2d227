"""The two rules of matching: by hand, and the first against one loop over detections and objects."""

from __future__ import annotations

import numpy as np
import pytest

from cascade_tf.metrics.matching import match_to_free, match_to_nearest


def free(overlaps, threshold=0.5, ignored=None, reusable=None):
    """Objects and neutral of ``match_to_free``, for lists; nothing is ignored unless it is said."""
    overlaps = np.array(overlaps, float)
    nothing = np.zeros(overlaps.shape[-1], bool)
    matches = match_to_free(
        overlaps,
        np.asarray(threshold, float),
        nothing if ignored is None else np.array(ignored, bool),
        nothing if reusable is None else np.array(reusable, bool),
    )
    return matches.objects.tolist(), matches.neutral.tolist()


def nearest(overlaps, threshold=0.5, ignored=None, strict=True):
    overlaps = np.array(overlaps, float)
    ignored = np.zeros(overlaps.shape[1], bool) if ignored is None else np.array(ignored, bool)
    matches = match_to_nearest(overlaps, threshold, ignored, strict=strict)
    return matches.objects.tolist(), matches.neutral.tolist()


def loop(overlaps, threshold, ignored, reusable):
    """One image, one threshold: objects that count first, each the better one or the later of equals."""
    order = sorted(range(len(ignored)), key=lambda g: bool(ignored[g]))
    taken: set[int] = set()
    objects = []
    for row in overlaps:
        best, most = -1, threshold
        for g in order:
            if g in taken and not reusable[g]:
                continue
            if best >= 0 and not ignored[best] and ignored[g]:
                break
            if row[g] >= most:
                best, most = g, row[g]
        objects.append(best)
        taken.add(best)
    return objects


def test_a_worse_detection_gets_what_is_left():
    overlaps = [[0.9, 0.6], [0.8, 0.7], [0.9, 0.9]]
    assert free(overlaps) == ([0, 1, -1], [False] * 3)
    # The second one's nearest object is taken: that the other is free does not help.
    assert nearest(overlaps) == ([0, -1, -1], [False] * 3)


def test_an_overlap_of_exactly_the_threshold():
    assert free([[0.5]])[0] == [0]
    assert nearest([[0.5]], strict=True)[0] == [-1]
    assert nearest([[0.5]], strict=False)[0] == [0]


def test_of_equal_overlaps_the_last_or_the_first():
    assert free([[0.8, 0.8, 0.7]])[0] == [1]
    assert nearest([[0.7, 0.8, 0.8]])[0] == [1]


def test_overlaps_that_differ_in_their_last_digit_are_not_equal():
    assert free([[np.nextafter(0.5, 1), 0.5]])[0] == [0]


def test_ignored_objects():
    overlaps = [[0.9, 0.6]] * 3
    # Those that count come first; an ignored one is taken once, unless it stands for many.
    assert free(overlaps, ignored=[1, 0]) == ([1, 0, -1], [False, True, False])
    assert free(overlaps, ignored=[1, 0], reusable=[1, 0]) == ([1, 0, 0], [False, True, True])
    # The nearest is the nearest, ignored or not, and is never taken.
    assert nearest(overlaps, ignored=[1, 0]) == ([0, 0, 0], [True] * 3)


def test_a_taken_object_stays_taken_for_those_that_follow():
    assert free([[0.9], [0.9], [0.2], [0.9]])[0] == [0, -1, -1, -1]
    assert nearest([[0.4], [0.9], [0.9]])[0] == [-1, 0, -1]


@pytest.mark.parametrize(("detections", "objects"), [(0, 0), (3, 0), (0, 3)])
def test_images_without_detections_or_objects(detections, objects):
    nothing = np.zeros((detections, objects))
    assert free(nothing) == nearest(nothing) == ([-1] * detections, [False] * detections)


def test_equals_the_loop_in_all_leading_axes():
    generator = np.random.default_rng(1)
    # Coarse values: many are equal, and many equal a threshold.
    overlaps = generator.integers(0, 11, (3, 1, 1, 12, 5)) / 10
    thresholds = np.array([[0.3], [0.5], [0.7]])
    ignored = generator.random((3, 1, 2, 5)) < 0.4
    reusable = ignored & (generator.random((3, 1, 2, 5)) < 0.5)
    matches = match_to_free(overlaps, thresholds, ignored, reusable)
    assert matches.objects.shape == matches.neutral.shape == (3, 3, 2, 12)
    for image, t, size in np.ndindex(3, 3, 2):
        flags = ignored[image, 0, size], reusable[image, 0, size]
        expected = loop(overlaps[image, 0, 0], thresholds[t, 0], *flags)
        found = matches.objects[image, t, size]
        assert found.tolist() == expected
        neutral = [g >= 0 and bool(flags[0][g]) for g in expected]
        assert matches.neutral[image, t, size].tolist() == neutral
    assert 0 < np.mean(matches.neutral) < np.mean(matches.objects >= 0) < 1


def test_padding_is_never_matched():
    overlaps = np.array([[0.9, -1.0], [-1.0, -1.0]])
    assert free(overlaps, ignored=[0, 1], reusable=[0, 1]) == ([0, -1], [False, False])
