"""Inside of ``core_ops`` no layer calls an op of the library, whatever it was told."""

from __future__ import annotations

import pytest
import tensorflow as tf

from cascade_tf import core_ops
from cascade_tf.layers.base import set_implementation
from tests.conformance.catalogue import GRAPHS
from tests.conformance.sample_inputs import SIZES
from tests.serving.graphs import nodes_of, own_ops


def calls_ops(layer):
    return any(hasattr(one, "implementation") for one in layer._flatten_layers())


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs_hold_core_ops(name):
    layer = GRAPHS[name].make()
    inputs = tf.nest.map_structure(tf.convert_to_tensor, GRAPHS[name].inputs(*SIZES[0]))

    def nodes():
        traced = tf.function(lambda *values: layer(*values), autograph=False)
        return nodes_of(traced.get_concrete_function(*inputs).graph.as_graph_def())

    set_implementation(layer, "custom")
    if not own_ops(nodes()):
        assert not calls_ops(layer)
        return
    with core_ops(layer):
        assert own_ops(nodes()) == set()
