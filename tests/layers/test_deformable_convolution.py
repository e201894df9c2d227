"""Deformable convolution as a layer: offsets from the input, ordinary at the start, float32 geometry."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.layers import DeformableConv2D
from tests.reference import deformable_convolution as reference

# Positions are rounded to 1e-6 cells on maps of this size, and several products of order one are summed.
TOLERANCE = 3e-5


def features(rng, height=7, width=10, channels=8, batch=2):
    return rng.standard_normal((batch, height, width, channels)).astype(np.float32)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def with_random_offsets(layer, inputs, rng, scale=0.2):
    """Builds the layer and lets its offsets depend on the input."""
    layer(inputs)
    layer.offset.kernel.assign(scale * rng.standard_normal(layer.offset.kernel.shape))
    layer.offset.bias.assign(rng.standard_normal(layer.offset.bias.shape))
    return layer


@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("size", [(8, 10), (7, 9)])
def test_a_new_layer_is_an_ordinary_convolution(rng, size, groups, strides):
    inputs = features(rng, *size)
    layer = DeformableConv2D(12, strides=strides, groups=groups)
    outputs = layer(inputs)
    layer.bias.assign(np.arange(12))
    padded = np.pad(inputs, ((0, 0), (1, 1), (1, 1), (0, 0)))
    expected = tf.nn.conv2d(padded, layer.kernel.numpy(), strides, "VALID")
    np.testing.assert_allclose(outputs, expected, atol=TOLERANCE)
    np.testing.assert_allclose(layer(inputs), expected + np.arange(12), atol=TOLERANCE)


@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("size", [(8, 10), (7, 9)])
def test_offsets_are_a_convolution_of_the_same_geometry(rng, size, strides):
    inputs = features(rng, *size)
    layer = DeformableConv2D(12, strides=strides, groups=2, use_bias=False)
    outputs = with_random_offsets(layer, inputs, rng)(inputs)
    assert isinstance(layer.offset, keras.layers.Conv2D)
    assert layer.kernel.shape == (3, 3, 4, 12)
    padded = np.pad(inputs, ((0, 0), (1, 1), (1, 1), (0, 0)))
    offsets = tf.nn.conv2d(padded, layer.offset.kernel.numpy(), strides, "VALID") + layer.offset.bias.numpy()
    expected = reference.deformable_conv2d(inputs, offsets.numpy(), layer.kernel.numpy(), stride=strides)
    # The outputs change by the slope of the map where float32 offsets differ in the last bits.
    np.testing.assert_allclose(layer(inputs), expected, atol=10 * TOLERANCE)
    np.testing.assert_array_equal(outputs, layer(inputs))


def test_larger_kernel(rng):
    inputs = features(rng)
    layer = with_random_offsets(DeformableConv2D(4, 5), inputs, rng, scale=0.05)
    assert layer.offset.kernel.shape == (5, 5, 8, 50)
    padded = np.pad(inputs, ((0, 0), (2, 2), (2, 2), (0, 0)))
    offsets = tf.nn.conv2d(padded, layer.offset.kernel.numpy(), 1, "VALID") + layer.offset.bias.numpy()
    expected = reference.deformable_conv2d(inputs, offsets.numpy(), layer.kernel.numpy())
    np.testing.assert_allclose(layer(inputs), expected, atol=10 * TOLERANCE)


def test_every_variable_and_the_input_get_a_gradient(rng):
    inputs = tf.constant(features(rng))
    layer = DeformableConv2D(4, groups=2)
    layer(inputs)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        loss = tf.reduce_sum(layer(inputs) ** 2)
    variables = [
        inputs,
        layer.kernel.value,
        layer.bias.value,
        layer.offset.kernel.value,
        layer.offset.bias.value,
    ]
    for gradient in tape.gradient(loss, variables):
        assert np.all(np.isfinite(gradient))
        assert np.abs(gradient).max() > 1e-2


def test_learns_to_look_aside():
    # The target is a wave moved by one and a half columns: only the offsets can reach it.
    columns = np.arange(24, dtype=np.float32)
    wave, target = (np.tile(np.sin((columns + shift) / 3), (1, 12, 1))[..., None] for shift in (0, 1.5))
    layer = DeformableConv2D(1, use_bias=False)
    layer(wave)
    kernel = np.zeros((3, 3, 1, 1), np.float32)
    kernel[1, 1] = 1
    layer.kernel.assign(kernel)
    optimizer = keras.optimizers.SGD(3.0)
    for _ in range(25):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((layer(wave)[:, :, 3:-3] - target[:, :, 3:-3]) ** 2)
        optimizer.apply(tape.gradient(loss, [layer.offset.bias.value]), [layer.offset.bias])
    # In the order (y, x), the middle point is the fifth.
    assert layer.offset.bias[9].numpy() == pytest.approx(1.5, abs=0.1)
    assert not np.any(layer.offset.bias[:8])


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_keeps_offsets_in_float32(rng, policy):
    keras.config.set_dtype_policy(policy)
    layer = DeformableConv2D(1, use_bias=False)
    spike = np.zeros((1, 1, 16, 1), np.float32)
    spike[0, 0, 8] = 1
    assert layer(spike).dtype.name == policy.removeprefix("mixed_")
    assert layer.kernel.dtype == "float32"
    kernel = np.zeros((3, 3, 1, 1), np.float32)
    kernel[1, 1] = 1
    layer.kernel.assign(kernel)
    # 7.3046875 is 7.3125 in bfloat16: the first output would be 0.3125.
    layer.offset.bias.assign(np.tile(np.float32([0, 7.3046875]), 9))
    assert layer.offset(tf.zeros([1, 3, 3, 1])).dtype == tf.float32
    assert float(layer(spike)[0, 0, 0, 0]) == pytest.approx(0.3046875, rel=2**-8)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"filters": 0}, "filters: got 0"),
        ({"filters": 6, "groups": 4}, "filters: got 6, expected a multiple of 4 groups"),
        ({"filters": 4, "kernel_size": 2}, "kernel_size: got 2, expected an odd number"),
        ({"filters": 4, "strides": 0}, "strides: got 0, expected 1 or more"),
        ({"filters": 4, "groups": 0}, "groups: got 0, expected 1 or more"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        DeformableConv2D(**settings)


def test_wrong_channels(rng):
    with pytest.raises(ValueError, match="channels of the input: got 8, expected a multiple of 3 groups"):
        DeformableConv2D(6, groups=3)(features(rng))
