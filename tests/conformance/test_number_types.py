"""Boxes and image sizes are pixels: whole numbers of them may come as integers, or in double precision."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.structures import ImageBatch
from tests.conformance.catalogue import DETECTORS, GRAPHS, LAYERS
from tests.conformance.compare import assert_equal
from tests.conformance.sample_inputs import SIZES, targets_of

WIDER = {np.dtype(np.float32): np.float64, np.dtype(np.int32): np.int64}


def is_boxes_or_sizes(value):
    """[B, 2], or [B, ..., 4] with corners beyond 1; no catalogued map has four channels."""
    shape = np.shape(value)
    if shape[-1:] == (2,):
        return len(shape) == 2
    return shape[-1:] == (4,) and len(shape) > 2 and np.max(value) > 1


def arguments(name, dtype):
    """The arguments of a catalogued layer with boxes and sizes in whole numbers of this type."""
    return tf.nest.map_structure(
        lambda value: np.round(value).astype(dtype) if is_boxes_or_sizes(value) else value,
        LAYERS[name].inputs(*SIZES[0]),
    )


TAKERS = [
    name
    for name, subject in LAYERS.items()
    if any(is_boxes_or_sizes(value) for value in tf.nest.flatten(subject.inputs(*SIZES[0])))
]


def test_layers_that_take_boxes_or_sizes_are_found():
    assert len(TAKERS) == 21
    assert {"ROIAlign", "CascadeHeads", "DetectionOutput", "RegionProposal", "PixelNormalization"} <= {
        *TAKERS
    }


@pytest.mark.parametrize("name", TAKERS)
def test_other_types_give_the_same(name):
    layer = LAYERS[name].shared()
    expected = layer(*arguments(name, np.float32))
    for dtype in (np.int32, np.float64):
        assert_equal(layer(*arguments(name, dtype)), expected)


def widened(nest):
    """The same numbers as float64 and int64, and image sizes as int64 too."""

    def change(value):
        if np.shape(value)[1:] == (2,) and value.dtype == np.float32:
            return value.astype(np.int64)
        return value.astype(WIDER.get(value.dtype, value.dtype))

    return tf.nest.map_structure(change, nest)


@pytest.mark.parametrize("name", [name for name in DETECTORS if name in GRAPHS])
def test_batches_and_ground_truth_of_other_types_give_the_same(name):
    detector = DETECTORS[name].construct()
    [batch], truth = DETECTORS[name].inputs(*SIZES[0]), targets_of(detector, *SIZES[0])
    other = ImageBatch(batch.images, *widened(tuple(batch[1:])))
    assert_equal(detector(other), detector(batch))
    assert_equal(detector.compute_losses(other, widened(truth)), detector.compute_losses(batch, truth))
