"""Normalisation layers."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.layers import FrozenBatchNormalization, GroupNormalization
from cascade_tf.layers.normalization import normalization

X = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)


def frozen():
    layer = FrozenBatchNormalization(epsilon=1e-5)
    layer.build(X.shape)
    generator = np.random.default_rng(1)
    layer.set_weights([generator.uniform(0.5, 2, 5).astype(np.float32) for _ in range(4)])
    return layer


@pytest.mark.parametrize("training", [False, True])
def test_frozen_uses_the_stored_statistics(training):
    layer = frozen()
    gamma, beta, mean, variance = layer.get_weights()
    expected = gamma * (X - mean) / np.sqrt(variance + 1e-5) + beta
    before = layer.get_weights()
    outputs = keras.Sequential([layer])(X, training=training)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_frozen_stays_frozen():
    layer = frozen()
    layer.trainable = True
    assert layer.trainable_variables == []
    x = tf.constant(X)
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(layer(x))
    gamma, _, _, variance = layer.get_weights()
    slope = gamma / np.sqrt(variance + 1e-5)
    np.testing.assert_allclose(tape.gradient(total, x), np.broadcast_to(slope, X.shape), rtol=1e-5)


def test_kinds():
    sync = normalization("sync", "norm")
    assert isinstance(sync, keras.layers.BatchNormalization)
    assert sync.synchronized
    group = normalization("group", "norm", groups=5)
    group.build(X.shape)
    channel = (X - X.mean(axis=(1, 2), keepdims=True)) / np.sqrt(X.var(axis=(1, 2), keepdims=True) + 1e-5)
    np.testing.assert_allclose(group(X), channel, atol=1e-4)
    np.testing.assert_array_equal(normalization("none", "norm")(X), X)


def test_groups_keep_their_digits_on_large_maps():
    generator = np.random.default_rng(0)
    # Positive and far from zero, as behind a ReLU: sums of a whole map grow large beside each value.
    x = generator.uniform(4.0, 5.0, (1, 160, 240, 8)).astype(np.float32)
    layer = GroupNormalization(groups=4, epsilon=1e-5)
    layer.build(x.shape)
    gamma, beta = generator.uniform(0.5, 2, 8), generator.normal(size=8)
    layer.set_weights([gamma, beta])
    grouped = x.astype(np.float64).reshape(-1, 4, 2)
    centred = grouped - grouped.mean(axis=(0, 2), keepdims=True)
    exact = centred / np.sqrt((centred**2).mean(axis=(0, 2), keepdims=True) + 1e-5)
    exact = exact.reshape(x.shape) * np.float32(gamma) + np.float32(beta)
    # A few units in the last place; Keras's own layer is off by 7e-3.
    np.testing.assert_allclose(layer(x), exact, atol=2e-5)


def test_unknown_kind():
    with pytest.raises(ValueError, match="norm must be one of frozen, sync, group, none, got 'batch'"):
        normalization("batch", "norm")
