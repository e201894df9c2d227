"""Local response normalisation against its formula."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.layers import LocalResponseNormalization

X = 30 * np.random.default_rng(0).normal(size=(2, 3, 4, 7)).astype(np.float32)


def formula(x, size, alpha, beta, bias):
    squares = np.pad(x**2, [[0, 0]] * 3 + [[size // 2] * 2])
    means = sum(squares[..., i : i + x.shape[-1]] for i in range(size)) / size
    return x / (bias + alpha * means) ** beta


@pytest.mark.parametrize(
    "settings", [(5, 1e-4, 0.75, 1.0), (3, 0.5, 0.5, 2.0), (1, 0.1, 1.0, 1.0), (15, 1e-2, 0.75, 1.0)]
)
def test_equals_the_formula(settings):
    expected = formula(X.astype(np.float64), *settings)
    np.testing.assert_allclose(LocalResponseNormalization(*settings)(X), expected, rtol=1e-5)


def test_numerical_gradient():
    layer = LocalResponseNormalization(alpha=1.0)
    (theoretical,), (numerical,) = tf.test.compute_gradient(layer, [tf.constant(X[:1, :1, :2] / 30)])
    np.testing.assert_allclose(theoretical, numerical, atol=2e-3)
    assert np.count_nonzero(theoretical) > 14


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_squares_of_16_bits_do_not_overflow(dtype):
    layer = LocalResponseNormalization(dtype=dtype.name)
    x = tf.constant(X * 30, dtype)
    values = layer(x)
    assert values.dtype == dtype
    expected = formula(tf.cast(x, tf.float64).numpy(), 5, 1e-4, 0.75, 1.0)
    np.testing.assert_allclose(tf.cast(values, tf.float64), expected, rtol=1e-2)


def test_wrong_size():
    with pytest.raises(ValueError, match="size: got 4, expected an odd number of channels"):
        LocalResponseNormalization(4)
