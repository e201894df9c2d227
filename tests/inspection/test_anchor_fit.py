from __future__ import annotations

import numpy as np
import pytest

from cascade_tf.boxes.anchors import AnchorGrid, ShapeGrid
from cascade_tf.data.examples import Category, Example
from cascade_tf.experiment.config import load_config
from cascade_tf.inspection.anchor_fit import AnchorFit, fit_anchors
from cascade_tf.inspection.overview import NetworkInput, fit_network
from cascade_tf.inspection.statistics import measure_examples

GRIDS = [
    AnchorGrid(sizes=(16, 32), ratios=(0.5, 1.0, 2.0), strides=(8, 16)),
    ShapeGrid([[(20.0, 30.0)], [(40.0, 10.0), (25.0, 60.0)]], (8, 16), offset=0.5),
]


def iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """[n, m] in the plainest way."""
    least = np.maximum(boxes[:, None, :2], others[None, :, :2])
    most = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    common = np.clip(most - least, 0, None).prod(axis=2)
    areas = [np.prod(each[:, 2:] - each[:, :2], axis=1) for each in (boxes, others)]
    return common / (areas[0][:, None] + areas[1] - common)


@pytest.mark.parametrize("grid", GRIDS)
def test_the_best_of_all_anchors(grid):
    rng = np.random.default_rng(3)
    height, width = 72, 104
    corners = rng.uniform(0, [width, height], (300, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(1, 70, (300, 2))], axis=1)
    boxes = np.minimum(boxes, [width, height, width, height])
    cells = [(-(-height // stride), -(-width // stride)) for stride in grid.strides]
    anchors = np.concatenate([level.numpy() for level in grid(cells)])
    found = fit_anchors(grid, boxes, np.tile([height, width], (len(boxes), 1)))
    np.testing.assert_allclose(found.best, iou(boxes, anchors).max(axis=1), atol=1e-6)
    np.testing.assert_allclose(found.sides, boxes[:, 2:] - boxes[:, :2])
    assert len(found.shapes) == sum(grid.shapes_per_level)


def test_shares():
    fit = AnchorFit(np.zeros((4, 2)), np.array([0.2, 0.5, 0.7, 0.9]), np.zeros((0, 2)))
    assert [fit.share(level) for level in (0.5, 0.7, 0.95)] == [0.75, 0.5, 0.0]
    assert np.isnan(AnchorFit(np.zeros((0, 2)), np.zeros(0), np.zeros((0, 2))).share(0.5))


def statistics(*boxes, size=(100, 200)):
    table = np.array(boxes, np.float32).reshape(-1, 4)
    none = np.zeros(len(table), bool)
    example = Example(1, "", *size, table, np.ones(len(table), np.int32), none, none)
    return measure_examples([example], (Category(1, "thing"),))


@pytest.mark.parametrize(
    ("short_side", "max_side", "multiple", "factors"),
    [(200, 1000, None, (2, 2)), (200, 300, None, (1.5, 1.5)), (210, 1000, 32, (2.08, 2.24))],
)
def test_boxes_are_seen_at_the_networks_scale(short_side, max_side, multiple, factors):
    network = NetworkInput(short_side, max_side, multiple, GRIDS[0])
    found = fit_network(network, statistics((10, 20, 30, 80)))
    np.testing.assert_allclose(found.sides, [[20 * factors[0], 60 * factors[1]]])


def test_a_detector_without_anchors():
    found = fit_network(NetworkInput(200, 400, None, None), statistics((10, 20, 30, 80)))
    assert found.shapes.shape == (0, 2)
    np.testing.assert_allclose(found.sides, [[40, 120]])


def test_no_boxes():
    assert fit_network(NetworkInput(200, 400, None, GRIDS[0]), statistics()).best.shape == (0,)


@pytest.mark.parametrize(
    "name", ["custom/cascade", "bccd/cascade_vgg16", "bccd/cascade_fpn_plus", "bccd/rfcn"]
)
def test_proposal_networks_have_a_grid(name):
    grid = load_config(name).model.value("proposals")().grid
    # A box that is an anchor, in the middle of a picture.
    shape = fit_anchors(grid, np.zeros((0, 4)), np.zeros((0, 2))).shapes[0]
    center = np.array([(16 + grid.offset) * grid.strides[0]] * 2)
    box = np.concatenate([center - shape / 2, center + shape / 2])[None]
    assert fit_anchors(grid, box, np.array([[4000, 4000]])).best == pytest.approx(1.0)
