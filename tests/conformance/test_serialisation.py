"""A layer is its constructor's arguments: they survive JSON, and the copy computes the same."""

from __future__ import annotations

import json

import keras
import pytest

from cascade_tf.layers.configured import constructor_arguments
from tests.conformance.catalogue import EVERYTHING
from tests.conformance.compare import assert_equal
from tests.conformance.sample_inputs import SIZES


@pytest.mark.parametrize("name", EVERYTHING)
def test_copy_from_config_computes_the_same(name):
    subject = EVERYTHING[name]
    layer = subject.shared()
    described = json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
    copy = keras.saving.deserialize_keras_object(described)
    inputs = subject.inputs(*SIZES[0])
    copy(*inputs)
    copy.set_weights(layer.get_weights())
    assert type(copy) is type(layer)
    assert json.loads(json.dumps(keras.saving.serialize_keras_object(copy))) == described
    assert_equal(copy(*inputs), layer(*inputs))


@pytest.mark.parametrize("name", EVERYTHING)
def test_constructor_arguments_are_attributes(name):
    layer = EVERYTHING[name].construct()
    assert [name for name in constructor_arguments(type(layer))[0] if not hasattr(layer, name)] == []


@pytest.mark.parametrize("name", EVERYTHING)
def test_registered_under_the_package_name(name):
    layer = EVERYTHING[name].construct()
    assert keras.saving.get_registered_name(type(layer)) == f"cascade_tf>{type(layer).__name__}"
