"""Grouped convolution against one convolution per group."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.layers import GroupedConv2D

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(2, 9, 8, 12)).astype(np.float32)
# Sums of 27 products in another order.
TOLERANCE = 1e-5


def one_by_one(x, kernel, groups, stride, padding):
    parts = zip(tf.split(x, groups, axis=-1), tf.split(kernel, groups, axis=-1), strict=True)
    return tf.concat([tf.nn.conv2d(a, b, stride, padding) for a, b in parts], axis=-1)


@pytest.mark.parametrize(("groups", "stride", "padding"), [(4, 1, "same"), (4, 2, "valid"), (12, 2, "same")])
def test_values_and_gradients(groups, stride, padding):
    layer = GroupedConv2D(24, 3, strides=stride, padding=padding, groups=groups, use_bias=False)
    x = tf.constant(X)
    layer(x)
    kernel = tf.constant(layer.kernel.numpy())
    results = []
    for run in (lambda: layer(x), lambda: one_by_one(x, kernel, groups, stride, padding.upper())):
        with tf.GradientTape() as tape:
            tape.watch([x, kernel])
            outputs = run()
            total = tf.reduce_sum(outputs**2)
        sources = [x, layer.kernel.value] if not results else [x, kernel]
        results.append([outputs, *tape.gradient(total, sources)])
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE * np.abs(other).max())


def test_the_graph_needs_no_compiler():
    layer = GroupedConv2D(24, 3, groups=4)
    graph = tf.function(layer, autograph=False).get_concrete_function(tf.TensorSpec([1, 9, 8, 12])).graph
    kinds = {operation.type for operation in graph.get_operations()}
    assert "Conv2D" in kinds
    assert not any("Call" in kind for kind in kinds)
