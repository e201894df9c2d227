"""RoIPool and position-sensitive pooling by the kernels for GPUs = the NumPy references."""

from __future__ import annotations

import numpy as np
import pytest

from scripts.benchmarks.kernel_calls import MapPooling
from scripts.benchmarks.launchers import from_bits, to_bits
from tests.reference import ps_roi_pool as by_position
from tests.reference import roi_pool as largest

# Of sums of float32 numbers in another order, rounded at the end.
TOLERANCE = {"float32": 1e-5, "float16": 1e-2, "bfloat16": 6e-2}
ELEMENTS = list(TOLERANCE)


def random_boxes(rng, count, batch=2):
    corner = rng.uniform(-20, 70, (batch, count, 2))
    boxes = np.concatenate([corner, corner + np.exp(rng.uniform(0, 4, (batch, count, 2)))], -1)
    boxes[:, 0] = [40, 50, 10, 20]  # flipped
    boxes[:, 1] = [0, np.nan, 10, 20]
    boxes[:, 2] = [-1e30, 0, 1e30, 20]
    boxes[:, 3] = [500, 500, 600, 600]  # beside the map
    return boxes.astype(np.float32)


def rounded(values, element):
    return from_bits(to_bits(values, element), element)


def close(result, expected, element):
    scale = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(result, expected, rtol=TOLERANCE[element], atol=TOLERANCE[element] * scale)


@pytest.mark.parametrize("element", ELEMENTS)
@pytest.mark.parametrize("channels", [8, 5])
@pytest.mark.parametrize("settings", [{}, {"pad_ratio": 0.25, "inclusive_boxes": True}])
def test_largest_values_and_their_gradient(launchers, rng, channels, element, settings):
    features = rounded(rng.standard_normal((2, 19, 13, channels)), element)
    features[0, 4:9, 4:9] = 1.0  # equal values: the first one gets the gradient
    boxes = random_boxes(rng, 20)
    settings = {"stride": 4.0, "output_size": (3, 5), **settings}
    upstream = rounded(rng.standard_normal((2, 20, 3, 5, channels)), element)
    pooling = MapPooling(launchers, "roi_pool", features, boxes, element=element, **settings)
    np.testing.assert_array_equal(pooling.pooled(channels), largest.roi_pool(features, boxes, **settings))
    expected = largest.roi_pool_gradient(upstream, features, boxes, **settings)
    close(pooling.gradient(upstream), expected, element)


def test_a_nan_is_the_largest(launchers, rng):
    features = rng.standard_normal((1, 6, 6, 4)).astype(np.float32)
    features[0, 2, 3, 1] = features[0, 4, 4, 1] = np.nan
    boxes = np.float32([[[0, 0, 23, 23]]])
    pooling = MapPooling(launchers, "roi_pool", features, boxes, stride=4.0, output_size=(1, 1))
    assert np.isnan(pooling.pooled(4)[..., 1]).all()
    gradient = pooling.gradient(np.ones((1, 1, 1, 1, 4), np.float32))
    assert gradient[0, 2, 3, 1] == 1
    assert gradient[..., 1].sum() == 1


@pytest.mark.parametrize("element", ELEMENTS)
@pytest.mark.parametrize("inclusive_boxes", [False, True])
def test_means_by_position_and_their_gradient(launchers, rng, element, inclusive_boxes):
    features = rounded(rng.standard_normal((2, 19, 13, 3 * 6)), element)
    boxes = random_boxes(rng, 20)
    settings = {"stride": 4.0, "output_size": (2, 3), "inclusive_boxes": inclusive_boxes}
    upstream = rounded(rng.standard_normal((2, 20, 2, 3, 3)), element)
    pooling = MapPooling(launchers, "ps_roi_pool", features, boxes, element=element, **settings)
    close(pooling.pooled(3), by_position.ps_roi_pool(features, boxes, **settings), element)
    expected = by_position.ps_roi_pool_gradient(upstream, features, boxes, **settings)
    close(pooling.gradient(upstream), expected, element)


@pytest.mark.parametrize(("name", "depth"), [("roi_pool", 24), ("ps_roi_pool", 6)])
def test_no_step_depends_on_the_order_of_its_threads(host_launchers, rng, both_orders, name, depth):
    features = rng.standard_normal((2, 19, 13, 24)).astype(np.float32)
    upstream = rng.standard_normal((2, 70, 2, 2, depth)).astype(np.float32)
    settings = {"stride": 4.0, "output_size": (2, 2)}
    pooling = MapPooling(host_launchers, name, features, random_boxes(rng, 70), **settings)
    both_orders(lambda: [pooling.pooled(depth), pooling.gradient(upstream)])
