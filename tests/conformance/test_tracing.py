"""A traced layer computes what it computes eagerly, and one trace serves images of every size."""

from __future__ import annotations

import pytest
import tensorflow as tf

from tests.conformance.catalogue import GRAPHS
from tests.conformance.compare import assert_equal
from tests.conformance.sample_inputs import SIZES

# Fused kernels of a graph round differently from one op after another.
TOLERANCE = 2e-5


@pytest.mark.parametrize("name", GRAPHS)
def test_one_trace_for_all_sizes_equals_eager(name):
    subject = GRAPHS[name]
    layer = subject.shared()
    signature = tf.nest.map_structure(_any_size, subject.inputs(*SIZES[0]))
    traced = tf.function(lambda *inputs: layer(*inputs), input_signature=signature, autograph=False)
    for size in SIZES:
        inputs = subject.inputs(*size)
        assert_equal(traced(*tf.nest.map_structure(tf.convert_to_tensor, inputs)), layer(*inputs), TOLERANCE)
    assert traced.experimental_get_tracing_count() == 1


def _any_size(value):
    channels_last = value.ndim >= 3
    shape = [
        size if axis == 0 or (channels_last and axis == value.ndim - 1) or value.ndim == 2 else None
        for axis, size in enumerate(value.shape)
    ]
    if value.ndim == 5 or (value.ndim == 4 and value.shape[2] == 1):
        shape = [value.shape[0], None, *value.shape[2:]]
    return tf.TensorSpec(shape, value.dtype)
