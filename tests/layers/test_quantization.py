"""Keras quantizes the Dense layers of a model, also those inside of our layers, and stores what it made."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import tensorflow as tf

from cascade_tf.heads import BoxHead
from cascade_tf.pooling import ROIAlign


def test_a_quantized_model_is_stored_and_loaded(tmp_path):
    rng = np.random.default_rng(0)
    images, boxes = keras.Input((32, 32, 3)), keras.Input((5, 4))
    features = keras.layers.Conv2D(8, 3, strides=4, padding="same")(images)
    logits, _ = BoxHead(3, units=16)(ROIAlign(3, strides=(4,))({"P2": features}, boxes))
    model = keras.Model([images, boxes], keras.layers.Dense(2)(logits))
    corner = rng.uniform(0, 16, (2, 5, 2))
    inputs = [
        tf.constant(rng.standard_normal((2, 32, 32, 3)), tf.float32),
        tf.constant(np.concatenate([corner, corner + 12], axis=-1), tf.float32),
    ]
    expected = model(inputs)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Layer .* does not have a `quantize` method")
        model.quantize("int8")
    quantized = model(inputs)
    # int8 has 127 steps, and four layers follow one another.
    assert 0 < np.abs(quantized - expected).max() < 0.05 * np.abs(expected).max()

    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(inputs), quantized)
    kinds = {weight.dtype for layer in loaded._flatten_layers() for weight in layer.weights}
    assert "int8" in kinds
