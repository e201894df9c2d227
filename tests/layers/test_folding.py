"""A frozen normalisation folded into its convolution, against one after the other."""

from __future__ import annotations

import concurrent.futures

import keras
import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.layers import FrozenBatchNormalization, GroupedConv2D
from cascade_tf.layers.folding import FoldedNormalization, PreparedWeights, foldings
from cascade_tf.training.precision import dtype_policy

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(2, 9, 8, 12)).astype(np.float32)
# Sums of 108 products in another order.
TOLERANCE = 1e-5


def normalized(groups=1, policy="float32"):
    """A frozen normalisation with proper statistics, and the convolution that it is folded into."""
    with dtype_policy(policy):
        norm = FrozenBatchNormalization()
        norm.build((None, None, None, 24))
        kind = keras.layers.Conv2D if groups == 1 else GroupedConv2D
        layer = kind(24, 3, strides=2, groups=groups, use_bias=False, autocast=False)
        layer.build(X.shape)
        FoldedNormalization(layer, norm)
    gamma, beta, mean = GENERATOR.normal(size=(3, 24))
    norm.set_weights([gamma, beta, mean, GENERATOR.uniform(0.1, 2.0, 24)])
    return layer, norm


def one_after_the_other(layer, norm, x, kernel):
    scale, shift = norm.affine()
    return tf.nn.conv2d(x, kernel, 2, "VALID") * scale + shift


@pytest.mark.parametrize("groups", [1, 4])
class TestFolded:
    def test_values_and_gradients(self, groups):
        layer, norm = normalized(groups)
        x = tf.constant(X)
        results = []
        for run in (lambda: norm(layer(x)), lambda: one_after_the_other(layer, norm, x, layer.kernel.value)):
            with tf.GradientTape() as tape:
                tape.watch(x)
                outputs = run()
                total = tf.reduce_sum(outputs**2)
            results.append([outputs, *tape.gradient(total, [x, layer.kernel.value])])
        for one, other in zip(*results, strict=True):
            np.testing.assert_allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE * np.abs(other).max())

    def test_has_no_variables_of_its_own_but_the_kernel(self, groups):
        layer, norm = normalized(groups)
        assert [v.name for v in layer.variables] == ["kernel"]
        assert len(norm.variables) == 4

    def test_follows_a_change_of_the_statistics(self, groups):
        layer, norm = normalized(groups)
        norm.moving_mean.assign(norm.moving_mean + 1.0)
        expected = one_after_the_other(layer, norm, tf.constant(X), layer.kernel.value)
        np.testing.assert_allclose(norm(layer(tf.constant(X))), expected, atol=TOLERANCE * 10)

    def test_prepared_weights_stay_until_their_update(self, groups):
        layer, norm = normalized(groups)
        before = layer(tf.constant(X))
        prepared = PreparedWeights([layer, norm])
        assert [tuple(v.shape) for v in prepared.variables] == [(3, 3, 12 // groups, 24), (24,)]
        with prepared.in_use():
            traced = tf.function(lambda x: layer(x)).get_concrete_function(tf.constant(X))
        norm.gamma.assign(norm.gamma * 2.0)
        np.testing.assert_array_equal(traced(tf.constant(X)), before)
        assert np.abs(layer(tf.constant(X)) - before).max() > 0.1
        prepared.update()
        np.testing.assert_allclose(traced(tf.constant(X)), layer(tf.constant(X)), atol=TOLERANCE)

    def test_other_layers_and_threads_do_not_read_prepared_weights(self, groups):
        (layer, norm), (other, _) = normalized(groups), normalized(groups)
        prepared = PreparedWeights([layer])
        before = other(tf.constant(X))
        with prepared.in_use(), concurrent.futures.ThreadPoolExecutor(1) as pool:
            np.testing.assert_array_equal(other(tf.constant(X)), before)
            norm.gamma.assign(norm.gamma * 2.0)
            elsewhere = pool.submit(layer, tf.constant(X)).result()
            assert np.abs(layer(tf.constant(X)) - elsewhere).max() > 0.1


def test_folded_in_bfloat16_rounds_the_product_once():
    layer, norm = normalized(policy="mixed_bfloat16")
    x = tf.cast(X, tf.bfloat16)
    # Keras casts the kernel of a layer that is called by itself, but not inside a model of this policy.
    with dtype_policy("mixed_bfloat16"):
        outputs = keras.Sequential([layer, norm])(x)
    assert outputs.dtype == tf.bfloat16
    kernel = tf.cast(layer.kernel.value * norm.affine()[0], tf.bfloat16)
    product = tf.nn.conv2d(tf.cast(x, tf.float32), tf.cast(kernel, tf.float32), 2, "VALID")
    shift = norm.affine()[1]
    exact = product + shift
    # Each is rounded to eight bits, and what the first two lose stays in their sum.
    rounded = 2**-8 * (tf.abs(product) + tf.abs(shift) + tf.abs(exact))
    assert (tf.abs(tf.cast(outputs, tf.float32) - exact) <= 1.01 * rounded).numpy().all()


@pytest.mark.parametrize("wrong", [{"use_bias": True}, {"autocast": True}])
def test_refuses_a_convolution_that_it_cannot_replace(wrong):
    layer = keras.layers.Conv2D(24, 3, **{"use_bias": False, "autocast": False, **wrong})
    with pytest.raises(ValueError, match="expected False for both"):
        FoldedNormalization(layer, FrozenBatchNormalization())


def test_finds_foldings_among_layers():
    layer, norm = normalized()
    other = keras.layers.Conv2D(24, 3)
    assert foldings([other, layer, norm]) == [layer.convolution_op]
