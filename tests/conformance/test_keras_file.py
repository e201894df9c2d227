"""Saved in Keras's own format and loaded without custom_objects, a functional model computes the same."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.conformance.catalogue import DETECTORS, LAYERS
from tests.conformance.compare import assert_equal, leaves
from tests.conformance.sample_inputs import SIZES


@pytest.mark.parametrize("name", LAYERS)
def test_layer_in_a_functional_model(name, tmp_path):
    subject = LAYERS[name]
    arguments = subject.inputs(*SIZES[0])
    symbols = tf.nest.map_structure(_symbol, arguments)
    model = keras.Model(tf.nest.flatten(symbols), _as_list(subject.construct()(*symbols)))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    values = [np.asarray(value) for value in tf.nest.flatten(arguments)]
    assert_equal(again(values), model(values))


@pytest.mark.parametrize("name", DETECTORS)
def test_detector(name, tmp_path):
    detector = DETECTORS[name].shared()
    batch = DETECTORS[name].inputs(*SIZES[0])[0]
    detector.save(tmp_path / "detector.keras")
    again = keras.saving.load_model(tmp_path / "detector.keras")
    assert again.class_names == detector.class_names
    assert again.category_ids == detector.category_ids
    assert len(leaves(again(batch))) == (5 if detector.has_masks else 4)
    assert_equal(again(batch), detector(batch))


@pytest.mark.parametrize("name", DETECTORS)
def test_weights_file(name, tmp_path):
    detector, other = DETECTORS[name].shared(), DETECTORS[name].construct()
    detector.save_weights(tmp_path / "detector.weights.h5")
    other.load_weights(tmp_path / "detector.weights.h5")
    assert_equal(other.get_weights(), detector.get_weights())


def _symbol(value):
    free = [None if axis in (1, 2) and value.ndim == 4 else size for axis, size in enumerate(value.shape)]
    return keras.Input(free[1:], dtype=value.dtype.name)


def _as_list(outputs):
    return tf.nest.flatten(outputs)
