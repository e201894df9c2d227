"""What all poolings promise of their gradients, in their behaviour and in their documentation."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf import ops, pooling
from cascade_tf.parts import constructors

LAYERS = {
    "ROIAlign": pooling.ROIAlign(3, strides=(8,)),
    "GridROIAlign": pooling.GridROIAlign(3, strides=(8,)),
    "ROIPool": pooling.ROIPool(3, stride=8),
    "PSROIPool": pooling.PSROIPool(2, stride=8),
}
PROMISE = "boxes get no gradient"


def test_every_pooling_is_here():
    assert set(LAYERS) == {one.__name__ for one in constructors("pooling").values()}


@pytest.mark.parametrize("name", LAYERS)
def test_features_get_a_gradient_and_boxes_none(name):
    features = tf.constant(np.random.default_rng(0).standard_normal((1, 6, 7, 4)), tf.float32)
    boxes = tf.constant([[[3.0, 5, 40, 33], [9, 9, 30, 41]]])
    with tf.GradientTape() as tape:
        tape.watch([features, boxes])
        loss = tf.reduce_sum(LAYERS[name]({"P3": features}, boxes) ** 2)
    of_features, of_boxes = tape.gradient(loss, [features, boxes])
    assert np.abs(of_features).max() > 0
    assert of_boxes is None


@pytest.mark.parametrize(
    "described",
    [*map(type, LAYERS.values()), ops.roi_align, ops.grid_roi_align, ops.roi_pool, ops.ps_roi_pool],
    ids=lambda one: one.__name__,
)
def test_the_documentation_says_so(described):
    assert PROMISE in " ".join(inspect.getdoc(described).split())
