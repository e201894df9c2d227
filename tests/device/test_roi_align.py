"""RoIAlign's kernels for GPUs = the NumPy reference."""

from __future__ import annotations

import numpy as np
import pytest

from scripts.benchmarks.kernel_calls import RoiAlign
from scripts.benchmarks.launchers import from_bits, to_bits
from tests.reference import roi_align as reference

STRIDES = (4, 8, 16)
SIZE = (68, 92)
# Of sums of float32 products, in another order than the reference's.
TOLERANCE = {"float32": 1e-5, "float16": 1e-2, "bfloat16": 6e-2}


def pyramid(rng, channels, batch=2):
    shapes = [(batch, -(-SIZE[0] // s), -(-SIZE[1] // s), channels) for s in STRIDES]
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


def random_boxes(rng, count, batch=2):
    corner = rng.uniform(-20, 90, (batch, count, 2))
    boxes = np.concatenate([corner, corner + np.exp(rng.uniform(0, 4.5, (batch, count, 2)))], -1)
    boxes[:, 0] = [40, 50, 10, 20]  # flipped
    boxes[:, 1] = [0, np.nan, 10, 20]
    boxes[:, 2] = [-1e30, 0, 1e30, 20]
    boxes[:, 3] = [500, 500, 600, 600]  # beside the map
    boxes[:, 4] = [0, 0, 0, 0]
    return boxes.astype(np.float32)


class Case:
    """Inputs of both directions, with numbers that the element type has."""

    def __init__(self, launchers, rng, channels, count=20, element="float32", **settings):
        self.launchers, self.element = launchers, element
        self.settings = {"output_size": (7, 7), "sampling_ratio": 2, "aligned": True, **settings}
        self.features = [self.rounded(one) for one in pyramid(rng, channels)]
        self.boxes = random_boxes(rng, count)
        self.levels = rng.integers(-1, len(STRIDES) + 1, (2, count), dtype=np.int32)  # clamped
        shape = (2, count, *self.settings["output_size"], channels)
        self.upstream = self.rounded(rng.standard_normal(shape))

    def rounded(self, values):
        return from_bits(to_bits(values, self.element), self.element)

    def call(self, map_sizes=None):
        shapes = [one.shape for one in self.features]
        settings = {"strides": STRIDES, "element": self.element, "map_sizes": map_sizes, **self.settings}
        return RoiAlign(self.launchers, shapes, self.boxes, self.levels, **settings)

    def pooled(self, **arguments):
        call = self.call(**arguments)
        call.pool([call.send(one) for one in self.features])
        return call.fetch(call.output)

    def gradients(self, others=(), **arguments):
        call = self.call(**arguments)
        call.spread(call.send(self.upstream), [call.send(one) for one in others])
        return [call.fetch(one) for one in call.gradients]

    def expected(self):
        levels = np.clip(self.levels, 0, len(STRIDES) - 1)
        return reference.roi_align(self.features, self.boxes, levels, strides=STRIDES, **self.settings)

    def expected_gradients(self):
        levels = np.clip(self.levels, 0, len(STRIDES) - 1)
        return reference.roi_align_gradient(
            self.upstream, self.features, self.boxes, levels, strides=STRIDES, **self.settings
        )

    def check(self):
        tolerance = TOLERANCE[self.element]
        np.testing.assert_allclose(self.pooled(), self.expected(), rtol=tolerance, atol=tolerance)
        for gradient, expected in zip(self.gradients(), self.expected_gradients(), strict=True):
            scale = max(1.0, float(np.abs(expected).max()))
            np.testing.assert_allclose(gradient, expected, rtol=tolerance, atol=tolerance * scale)


# Channels of whole packs, one more, and more than a block's slice.
@pytest.mark.parametrize("element", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("channels", [8, 9, 136])
def test_pooled_and_gradients(launchers, rng, channels, element):
    Case(launchers, rng, channels, element=element).check()


@pytest.mark.parametrize(
    "settings",
    [
        {"sampling_ratio": 0},
        {"sampling_ratio": 0, "aligned": False, "output_size": (2, 3)},
        {"sampling_ratio": 1, "output_size": (14, 9)},  # more bins than are prepared at once
        {"sampling_ratio": 9, "output_size": (9, 14)},  # more samples than are kept
        {"aligned": False},
    ],
)
def test_settings(launchers, rng, settings):
    Case(launchers, rng, 4, **settings).check()


def test_more_rois_than_a_block_lists_at_once(launchers, rng):
    case = Case(launchers, rng, 1, count=2200, output_size=(1, 2), sampling_ratio=1)
    case.boxes[..., 2:] = case.boxes[..., :2] + 30
    case.check()


def test_gradients_are_added_to_others(launchers, rng):
    case = Case(launchers, rng, 8)
    others = [rng.standard_normal(one.shape).astype(np.float32) for one in case.features]
    alone = case.gradients()
    for both, one, other in zip(case.gradients(others), alone, others, strict=True):
        np.testing.assert_allclose(both, one + other, rtol=1e-5, atol=1e-5)


def test_maps_end_where_an_image_does(launchers, rng):
    """As for maps that are cut there."""
    case = Case(launchers, rng, 4)
    sizes = np.array([[[9, 11], [5, 7], [3, 2]]] * 2, np.int32)
    pooled = case.pooled(map_sizes=sizes)
    gradients = case.gradients(map_sizes=sizes)
    cut = Case(launchers, np.random.default_rng(0), 4)
    cut.boxes, cut.levels, cut.upstream = case.boxes, case.levels, case.upstream
    cut.features = [one[:, :h, :w] for one, (h, w) in zip(case.features, sizes[0], strict=True)]
    np.testing.assert_array_equal(pooled, cut.pooled())
    for whole, part, (h, w) in zip(gradients, cut.gradients(), sizes[0], strict=True):
        np.testing.assert_array_equal(whole[:, :h, :w], part)
        assert not whole[:, h:].any()
        assert not whole[:, :, w:].any()


def test_no_step_depends_on_the_order_of_its_threads(host_launchers, rng, both_orders):
    case = Case(host_launchers, rng, 136)
    both_orders(lambda: [case.pooled(), *case.gradients()])


def test_two_runs_give_the_same_bits(launchers, rng):
    case = Case(launchers, rng, 8, count=300)
    for one, other in zip(case.gradients(), case.gradients(), strict=True):
        np.testing.assert_array_equal(one, other)
