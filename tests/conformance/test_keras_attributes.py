"""What Keras keeps of every layer comes through a configuration, of the layer and of those inside it."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.conformance.catalogue import DETECTORS, EVERYTHING, LAYERS
from tests.conformance.sample_inputs import SIZES, targets_of

# Detectors differ in their parts, and all of these are among the layers.
SOME = [*LAYERS, "cascade_mask_rcnn_fpn"]
FREEZINGS = {
    "the whole": lambda layers: _set(layers[:1], False),
    "every second inside": lambda layers: _set(layers[1::2], False),
    "all but the last": lambda layers: (_set(layers[:1], False), _set(layers[-1:], True)),
    "nothing": lambda layers: None,
}


def _set(layers, trainable):
    for layer in layers:
        layer.trainable = trainable


def _attributes(layer):
    """Of the layer and those inside; inputs have nothing to train and no policy of their own."""
    layers = [one for one in layer._flatten_layers() if not isinstance(one, keras.layers.InputLayer)]
    flags = [(type(one), one.trainable, one.dtype_policy.name) for one in layers]
    # A layer around asks the variables, and not the layers that have them.
    return flags, [(v.shape, v.trainable, v.dtype) for v in layer.variables]


def _copied(layer, apart=()):
    """A copy as ``clone_model`` makes it, which knows nothing of what was built, built then."""
    config = json.loads(json.dumps(layer.get_config()))
    copy = type(layer).from_config({name: value for name, value in config.items() if name not in apart})
    if not copy.built:
        copy.build_from_config(layer.get_build_config())
    return copy


@pytest.mark.parametrize("name", SOME)
def test_copies_train_the_same_variables(name):
    layer = EVERYTHING[name].make()
    for freezing, freeze in FREEZINGS.items():
        layer.trainable = True
        freeze(list(layer._flatten_layers()))
        assert _attributes(_copied(layer)) == _attributes(layer), freezing


@pytest.mark.parametrize("name", LAYERS)
def test_what_is_frozen_before_it_is_built_stays_so(name):
    layer = LAYERS[name].construct()
    layer.trainable = False
    layer(*LAYERS[name].inputs(*SIZES[0]))
    assert not any(variable.trainable for variable in layer.variables)
    assert not any(variable.trainable for variable in _copied(layer, apart=["inner_layers"]).variables)


@pytest.mark.parametrize("name", SOME)
def test_name_and_masking(name):
    layer = EVERYTHING[name].construct()
    layer.name, layer.supports_masking = "of_my_own", True
    copy = type(layer).from_config(layer.get_config())
    assert (copy.name, copy.supports_masking) == ("of_my_own", True)


@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize("policies", [("float32", "mixed_bfloat16"), ("mixed_bfloat16", "float32")])
def test_layers_inside_have_the_policy_of_their_layer(name, policies):
    keras.config.set_dtype_policy(policies[0])
    layer = EVERYTHING[name].make()
    keras.config.set_dtype_policy(policies[1])
    # Not told of those inside: they are to get it from their layer.
    assert _attributes(_copied(layer, apart=["inner_layers"])) == _attributes(layer)


@pytest.mark.parametrize("name", LAYERS)
def test_policies_inside_that_were_changed(name):
    layer = LAYERS[name].make()
    for inner in list(layer._flatten_layers(include_self=False))[::2]:
        inner.dtype_policy = keras.dtype_policies.get("mixed_float16")
    assert _attributes(_copied(layer)) == _attributes(layer)


def _model(name):
    """A functional model of a layer, and its inputs."""
    arguments = LAYERS[name].inputs(*SIZES[0])
    symbols = tf.nest.map_structure(
        lambda value: keras.Input(value.shape[1:], dtype=value.dtype.name), arguments
    )
    outputs = LAYERS[name].construct()(*symbols)
    return keras.Model(tf.nest.flatten(symbols), tf.nest.flatten(outputs)), tf.nest.flatten(arguments)


@pytest.mark.parametrize("name", LAYERS)
def test_a_saved_model_is_as_frozen_and_as_exact_under_another_policy(name, tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    model, values = _model(name)
    own = model.layers[-1]
    _set(list(own._flatten_layers())[1::2] or [own], False)
    model.save(tmp_path / "model.keras")
    keras.config.set_dtype_policy("float32")
    again, cloned = keras.saving.load_model(tmp_path / "model.keras"), keras.models.clone_model(model)
    assert _attributes(again.layers[-1]) == _attributes(cloned.layers[-1]) == _attributes(own)
    for one, other in zip(again(values), model(values), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(tf.cast(one, tf.float32), tf.cast(other, tf.float32))


def test_quantized_layers_inside_are_saved(tmp_path):
    model, values = _model("BoxHead")
    exact = model(values)
    for dense in (*model.layers[-1].dense, model.layers[-1].classifier):
        dense.quantize("int8")
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert {variable.dtype for variable in again.layers[-1].variables} == {"float32", "int8"}
    for one, other, unquantized in zip(again(values), model(values), exact, strict=True):
        np.testing.assert_array_equal(one, other)
        assert np.any(np.abs(one - unquantized) > 1e-6)


def test_a_saved_detector_trains_on_bit_by_bit(tmp_path):
    detector = DETECTORS["faster_rcnn_fpn"].make()
    frozen = (detector.backbone, detector.neck.outputs[0], detector.heads.stages[0].head.dense[1])
    _set(frozen, False)
    detector.compile(keras.optimizers.SGD(0.05, momentum=0.9))
    size = SIZES[0]
    data = DETECTORS["faster_rcnn_fpn"].inputs(*size)[0], targets_of(detector, *size)
    start = {variable.path: np.asarray(variable) for variable in detector.variables}
    detector.train_step(data)
    detector.save(tmp_path / "detector.keras")
    again = keras.saving.load_model(tmp_path / "detector.keras")
    for one in (detector, again):
        one.train_step(data)
        one.train_step(data)
    states = ((one.variables, one.optimizer.variables) for one in (again, detector))
    for one, other in zip(*states, strict=True):
        for mine, expected in zip(one, other, strict=True):
            np.testing.assert_array_equal(mine, expected, err_msg=expected.path)
    moved = {variable.path for variable in detector.variables if np.any(variable != start[variable.path])}
    assert moved == {variable.path for variable in detector.trainable_variables}
    assert not moved & {variable.path for layer in frozen for variable in layer.variables}
