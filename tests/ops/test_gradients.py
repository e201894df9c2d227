from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.ops import clip_values, scale_gradient


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("scale", [1.0, 0.5, 0.0, 1 / 3])
def test_scales_the_gradient_only(scale, dtype):
    x = tf.constant([1.0, -2.0, 3.0], dtype)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = scale_gradient(x, scale)
        loss = tf.reduce_sum(y * y)
    np.testing.assert_array_equal(y, x)
    gradient = tape.gradient(loss, x)
    assert gradient.dtype == x.dtype
    np.testing.assert_allclose(tf.cast(gradient, tf.float32), [2 * scale, -4 * scale, 6 * scale], rtol=1e-2)


def test_inside_a_graph_with_unknown_shape():
    @tf.function(input_signature=[tf.TensorSpec([None, 2])])
    def gradient_of(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = scale_gradient(x, 0.25)
            assert y.shape.as_list() == [None, 2]
        return tape.gradient(y, x)

    np.testing.assert_array_equal(gradient_of(tf.ones([3, 2])), np.full((3, 2), 0.25))


def test_clipped_values_learn_as_if_they_were_not():
    x = tf.constant([[1.0, -2.0], [-3.0, 0.5]])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = clip_values(x, [-1.0, -1.5], [0.5, 1.0])
        loss = tf.reduce_sum(y * y)
    np.testing.assert_array_equal(y, [[0.5, -1.5], [-1.0, 0.5]])
    np.testing.assert_array_equal(tape.gradient(loss, x), [[1.0, -3.0], [-2.0, 1.0]])
