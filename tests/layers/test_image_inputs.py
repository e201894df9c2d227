"""Pixel normalisation: colour order, scale and clean padding."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.layers import PixelNormalization
from cascade_tf.structures import ImageBatch

MEAN, STD = (10.0, 20.0, 30.0), (1.0, 2.0, 4.0)


@pytest.mark.parametrize(("order", "expected"), [("RGB", (90.0, 65.0, 55.0)), ("BGR", (240.0, 65.0, 17.5))])
@pytest.mark.parametrize("dtype", [tf.uint8, tf.float32])
def test_by_hand(order, expected, dtype):
    images = tf.cast(tf.tile(tf.constant([[[[100, 150, 250]]]]), [1, 2, 3, 1]), dtype)
    layer = PixelNormalization(order, MEAN, STD)
    pixels = layer(images, tf.constant([[2.0, 3.0]]))
    np.testing.assert_allclose(pixels, np.tile(expected, (1, 2, 3, 1)))
    assert pixels.dtype == tf.float32


def test_default_is_the_original_resnet():
    pixels = PixelNormalization()(tf.constant([[[[1, 2, 3]]]], tf.uint8), tf.constant([[1.0, 1.0]]))
    np.testing.assert_allclose(pixels[0, 0, 0], [3 - 103.53, 2 - 116.28, 1 - 123.675], rtol=1e-6)


def test_padding_is_zero_whatever_it_holds():
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 10, 3), dtype=np.uint8)
    size = tf.constant([[8.0, 10.0], [5.0, 3.0]])
    layer = PixelNormalization("RGB", MEAN, STD)
    pixels = layer(tf.constant(images), size).numpy()
    inside = (images[1, :5, :3] - np.array(MEAN)) / STD
    np.testing.assert_allclose(pixels[1, :5, :3], inside, rtol=1e-6)
    assert not pixels[1, 5:].any()
    assert not pixels[1, :, 3:].any()
    other = images.copy()
    other[1, 5:] = 255
    other[1, :, 3:] = 1
    np.testing.assert_array_equal(layer(tf.constant(other), size), pixels)


def test_nan_in_the_padding_does_not_spread():
    images = np.full([1, 4, 4, 3], np.nan, np.float32)
    images[:, :2, :2] = 7
    pixels = PixelNormalization("RGB", MEAN, STD)(tf.constant(images), tf.constant([[2.0, 2.0]]))
    assert np.all(np.isfinite(pixels))


def test_batch_and_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    layer = PixelNormalization("RGB", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    images = tf.constant([[[[255, 254, 253]]]], tf.uint8)
    size = tf.constant([[1.0, 1.0]])
    pixels = layer.normalize(ImageBatch(images, size, size, tf.constant([1], tf.int64)))
    # 253 has no bfloat16.
    np.testing.assert_array_equal(pixels[0, 0, 0], [255, 254, 253])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"order": "GBR"}, "order must be 'RGB' or 'BGR', got 'GBR'"),
        ({"mean": (1.0, 2.0)}, "three numbers each"),
        ({"std": (1.0, 0.0, 1.0)}, "std positive"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        PixelNormalization(**settings)
