"""Numbers of wider types than the structures promise, as NumPy makes them, change nothing."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.structures import ImageBatch
from tests.conformance.catalogue import DETECTORS, LAYERS
from tests.conformance.compare import assert_equal
from tests.conformance.sample_inputs import SIZES, targets_of

WIDER = {np.dtype(np.float32): np.float64, np.dtype(np.int32): np.int64}
# Layers on boxes: others take images and features alone, which Keras itself casts to their policy.
ON_BOXES = [
    name
    for name, subject in LAYERS.items()
    if any(np.ndim(value) <= 3 for value in tf.nest.flatten(subject.inputs(*SIZES[0])))
]


def widened(nest):
    """The same numbers as float64 and int64, and image sizes, [B, 2] whole numbers, as int64 too."""

    def change(value):
        if value.shape[1:] == (2,) and value.dtype == np.float32:
            return value.astype(np.int64)
        return value.astype(WIDER.get(value.dtype, value.dtype))

    return tf.nest.map_structure(change, nest)


@pytest.mark.parametrize("name", ON_BOXES)
def test_layers_on_boxes(name):
    layer, inputs = LAYERS[name].make(), LAYERS[name].inputs(*SIZES[0])
    others = tuple(value if isinstance(value, dict) else widened(value) for value in inputs)
    assert_equal(layer(*others), layer(*inputs))


@pytest.mark.parametrize("name", DETECTORS)
def test_detectors(name):
    detector = DETECTORS[name].construct()
    [batch], truth = DETECTORS[name].inputs(*SIZES[0]), targets_of(detector, *SIZES[0])
    other = ImageBatch(batch.images, *widened(tuple(batch[1:])))
    assert_equal(detector(other), detector(batch))
    assert_equal(detector.compute_losses(other, widened(truth)), detector.compute_losses(batch, truth))
