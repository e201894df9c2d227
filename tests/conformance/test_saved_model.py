"""A SavedModel of a layer computes what the layer computes."""

from __future__ import annotations

import pytest
import tensorflow as tf

from tests.conformance.catalogue import GRAPHS
from tests.conformance.compare import assert_equal, leaves
from tests.conformance.sample_inputs import SIZES

# Fused kernels of a graph round differently from one op after another.
TOLERANCE = 2e-5


@pytest.mark.parametrize("name", GRAPHS)
def test_saved_and_loaded(name, tmp_path):
    subject = GRAPHS[name]
    layer = subject.shared()
    inputs = tf.nest.map_structure(tf.convert_to_tensor, subject.inputs(*SIZES[0]))
    flat = tf.nest.flatten(inputs)

    def run(*values):
        return tuple(tf.nest.flatten(layer(*tf.nest.pack_sequence_as(inputs, values))))

    module = tf.Module()
    # The variables themselves, not the layer: a saved Keras object does not load in TensorFlow's C++ loader.
    module.variables_of_layer = [variable.value for variable in layer.variables]
    signature = [tf.TensorSpec(value.shape, value.dtype) for value in flat]
    module.run = tf.function(run, input_signature=signature, autograph=False)
    tf.saved_model.save(module, str(tmp_path / "saved"))
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    assert_equal(tuple(loaded.run(*flat)), tuple(leaves(layer(*inputs))), TOLERANCE)
