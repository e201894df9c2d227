"""Overlaps by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cascade_tf.metrics.overlaps import pairwise_cover, pairwise_iou

BOXES = np.float32([[0, 0, 4, 4], [2, 2, 6, 6], [4, 0, 8, 4]])


def test_by_hand():
    np.testing.assert_allclose(pairwise_iou(BOXES, BOXES[:2]), [[1, 4 / 28], [4 / 28, 1], [0, 4 / 28]])
    region = np.float32([[2, 0, 8, 4]])
    np.testing.assert_allclose(pairwise_cover(BOXES, region), [[0.5], [0.5], [1]])


def test_empty_boxes_overlap_nothing():
    boxes = np.float32([[0, 0, 0, 5], [0, 0, 4, 4], [2, 2, 1, 1]])
    expected = np.zeros((3, 3))
    expected[1, 1] = 1.0
    np.testing.assert_array_equal(pairwise_iou(boxes, boxes), expected)
    np.testing.assert_array_equal(pairwise_cover(boxes, boxes), expected)


@pytest.mark.parametrize("function", [pairwise_iou, pairwise_cover])
def test_no_boxes(function):
    assert function(BOXES[:0], BOXES).shape == (0, 3)
    assert function(BOXES, BOXES[:0]).shape == (3, 0)
