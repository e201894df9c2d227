"""Suppression by the kernels for GPUs = the NumPy reference: the same boxes, in the same order."""

from __future__ import annotations

import numpy as np
import pytest

from scripts.benchmarks.kernel_calls import Suppression
from tests.reference import nms as reference


def candidates(rng, batch=2, num_boxes=60, num_classes=3, box_sets=1, spread=60):
    """Boxes that overlap a lot, with some of every kind that is no candidate, and equal scores."""
    corner = rng.uniform(0, spread, (batch, num_boxes, box_sets, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(5, 40, corner.shape)], -1).astype(np.float32)
    scores = rng.uniform(0, 1, (batch, num_boxes, num_classes)).astype(np.float32).round(2)
    boxes[:, 0, 0] = [0, np.inf, 1, 1]
    boxes[:, 1, 0] = [20, 20, 10, 10]
    scores[:, 2] = np.nan
    scores[:, 3] = -np.inf
    scores[:, 4] = [[-0.0], [0.0]] if batch == 2 else 0.0
    return boxes, scores


def suppress(launchers, boxes, scores, **settings):
    call = Suppression(launchers, boxes, scores, **settings)
    call.launch()
    return call.results()


def check(launchers, boxes, scores, **settings):
    box_index, class_index, selected, count = suppress(launchers, boxes, scores, **settings)
    if settings.get("method") is None:
        expected = reference.batched_nms(boxes, scores, **settings)
    else:
        expected = reference.batched_soft_nms(boxes, scores, **{"sigma": 0.5, **settings})
    assert count.tolist() == [len(one) for one in expected]
    for image, results in enumerate(expected):
        n = len(results)
        assert list(zip(box_index[image, :n], class_index[image, :n], strict=True)) == [
            (box, label) for box, label, _ in results
        ]
        np.testing.assert_allclose(selected[image, :n], [score for *_, score in results], rtol=1e-6)
        for padding in (box_index, class_index, selected):
            assert not padding[image, n:].any()


@pytest.mark.parametrize("method", [None, "linear", "gaussian"])
@pytest.mark.parametrize("box_sets", [1, 3])
@pytest.mark.parametrize("max_outputs", [7, 200])
def test_the_same_boxes(launchers, rng, method, box_sets, max_outputs):
    settings = {} if method is None else {"method": method}
    thresholds = {"iou_threshold": 0.5, "score_threshold": 0.1, "max_outputs": max_outputs}
    check(launchers, *candidates(rng, box_sets=box_sets), **thresholds, **settings)


@pytest.mark.parametrize("thresholds", [(0.0, -1.0), (1.0, 0.0), (0.3, 2.0)])
def test_thresholds(launchers, rng, thresholds):
    iou_threshold, score_threshold = thresholds
    settings = {"iou_threshold": iou_threshold, "score_threshold": score_threshold, "max_outputs": 30}
    check(launchers, *candidates(rng), **settings)


# Around a word and a chunk, and two chunks more; few results, and room for all.
@pytest.mark.parametrize("count", [64, 65, 2048, 2049, 4500])
@pytest.mark.parametrize("max_outputs", [50, 5000])
def test_words_and_chunks_of_candidates(launchers, rng, count, max_outputs):
    """Boxes on a grid, of which one in two is kept, and those that are decided in later chunks."""
    place = rng.permutation(count)
    corner = np.stack([place % 90, place // 90], -1) * 10.0
    boxes = np.concatenate([corner, corner + np.array([15, 9])], -1).astype(np.float32)
    scores = rng.uniform(0, 1, (1, count, 1)).astype(np.float32)
    settings = {"iou_threshold": 0.1, "score_threshold": 0.0, "max_outputs": max_outputs}
    kept, _, selected, number = suppress(launchers, boxes[None, :, None], scores, **settings)
    expected = neighbours_kept(place, scores[0, :, 0])[:max_outputs]
    assert number.tolist() == [len(expected)]
    assert kept[0, : len(expected)].tolist() == expected
    np.testing.assert_array_equal(selected[0, : len(expected)], scores[0, expected, 0])


def neighbours_kept(place, scores):
    """Greedy suppression where each box overlaps its left and right neighbour alone."""
    kept, taken = [], set()
    for n in np.argsort(-scores, kind="stable"):
        column, row = place[n] % 90, place[n] // 90
        if not {(column - 1, row), (column + 1, row)} & taken:
            kept.append(int(n))
            taken.add((column, row))
    return kept


@pytest.mark.parametrize("method", [None, "gaussian"])
def test_nothing_to_select_from(launchers, method):
    settings = {"iou_threshold": 0.5, "score_threshold": 0.0, "max_outputs": 3, "method": method}
    none = np.zeros((2, 0, 1, 4), np.float32), np.zeros((2, 0, 4), np.float32)
    hopeless = np.ones((2, 5, 1, 4), np.float32), np.zeros((2, 5, 4), np.float32)
    for boxes, scores in (none, hopeless):
        for result in suppress(launchers, boxes, scores, **settings):
            assert not result.any()


@pytest.mark.parametrize("method", [None, "linear"])
def test_no_step_depends_on_the_order_of_its_threads(host_launchers, rng, both_orders, method):
    boxes, scores = candidates(rng, num_boxes=900, spread=300)
    settings = {"iou_threshold": 0.4, "score_threshold": 0.1, "max_outputs": 300, "method": method}
    both_orders(lambda: suppress(host_launchers, boxes, scores, **settings))
