"""The dilated convolution is one with zeros between the cells of its kernel."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.layers import DilatedConv2D

GENERATOR = np.random.default_rng(0)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("height", "width"), [(9, 8), (10, 13), (7, 7)])
@pytest.mark.parametrize(("dilation", "groups"), [(2, 1), (2, 3), (3, 1)])
def test_values_and_gradients(padding, height, width, dilation, groups):
    layer = DilatedConv2D(6, 3, padding=padding, dilation_rate=dilation, groups=groups, use_bias=False)
    x = tf.constant(GENERATOR.normal(size=(2, height, width, 12)).astype(np.float32))
    layer.build(x.shape)
    size = 2 * dilation + 1
    wide = np.zeros((size, size, 12 // groups, 6), np.float32)
    wide[::dilation, ::dilation] = layer.kernel
    wide = tf.constant(wide)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([x, wide])
        outputs, expected = layer(x), tf.nn.conv2d(x, wide, 1, padding.upper())
        total, expected_total = tf.reduce_sum(outputs**2), tf.reduce_sum(expected**2)
    found = outputs, *tape.gradient(total, [x, layer.kernel.value])
    of_x, of_wide = tape.gradient(expected_total, [x, wide])
    for one, other in zip(found, (expected, of_x, of_wide[::dilation, ::dilation]), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5 * np.abs(other).max())


def test_any_size_in_one_graph():
    layer = DilatedConv2D(4, 3, padding="same", dilation_rate=2)
    layer.build((None, None, None, 3))
    traced = tf.function(layer, input_signature=[tf.TensorSpec([None, None, None, 3])])
    for height, width in [(6, 8), (7, 5)]:
        x = GENERATOR.normal(size=(1, height, width, 3)).astype(np.float32)
        assert traced(x).shape == (1, height, width, 4)
        np.testing.assert_allclose(traced(x), layer(x), atol=1e-6)
