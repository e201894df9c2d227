"""The forms in which maps and boxes come to every pooling, and the forms of what is pooled."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.heads import BoxHead, MaskBranch, MaskHead
from cascade_tf.pooling import GridROIAlign, PSROIPool, ROIAlign, ROIPool
from tests.reference import grid_roi_align as grid_loop
from tests.reference import ps_roi_pool as ps_loop
from tests.reference import roi_align as align_loop
from tests.reference import roi_pool as pool_loop

# Whole pixels, so that integers say the same.
BOXES = np.float32([[[8, 8, 60, 40], [0, 16, 90, 47]], [[30, 10, 62, 50], [1, 1, 9, 9]]])
CELLS = (2, 3)
STRIDE = 16
POOLINGS = {
    "ROIAlign": lambda size: ROIAlign(size, strides=(STRIDE,)),
    "GridROIAlign": lambda size: GridROIAlign(size, strides=(STRIDE,)),
    "ROIPool": lambda size: ROIPool(size, stride=STRIDE),
    "PSROIPool": lambda size: PSROIPool(size, stride=STRIDE),
}
LEVELS = np.zeros((2, 2), np.int32)
LOOPS = {
    "ROIAlign": lambda x, size: align_loop.roi_align(
        [x], BOXES, LEVELS, strides=(STRIDE,), output_size=size, sampling_ratio=2
    ),
    "GridROIAlign": lambda x, size: grid_loop.grid_roi_align(
        [x], BOXES, LEVELS, strides=(STRIDE,), output_size=size
    ),
    "ROIPool": lambda x, size: pool_loop.roi_pool(x, BOXES, stride=STRIDE, output_size=size),
    "PSROIPool": lambda x, size: ps_loop.ps_roi_pool(x, BOXES, stride=STRIDE, output_size=size),
}


@pytest.fixture(scope="module")
def one_map():
    return np.random.default_rng(0).normal(size=(2, 4, 6, 12)).astype(np.float32)


@pytest.mark.parametrize("implementation", ["custom", "tensorflow"])
@pytest.mark.parametrize("size", [CELLS, (3, 2), [4, 1]])
@pytest.mark.parametrize("name", POOLINGS)
def test_a_single_map_and_any_cells(name, size, implementation, one_map):
    layer = POOLINGS[name](size)
    layer.implementation = implementation
    pooled = layer(one_map, BOXES)
    assert layer.cells == tuple(size)
    assert pooled.shape == (
        2,
        2,
        *size,
        1 if name == "PSROIPool" and np.prod(size) == 12 else pooled.shape[-1],
    )
    np.testing.assert_allclose(pooled, LOOPS[name](one_map, tuple(size)), atol=1e-5)
    assert layer.pooled_shape({"C4": one_map.shape})[2:] == pooled.shape[2:]


@pytest.mark.parametrize("name", POOLINGS)
def test_boxes_of_other_types(name, one_map):
    layer = POOLINGS[name](CELLS)
    expected = layer(one_map, BOXES)
    for dtype in (np.int32, np.int64, np.float64, np.float16):
        np.testing.assert_array_equal(layer(one_map, BOXES.astype(dtype)), expected, err_msg=str(dtype))


@pytest.mark.parametrize("in_graph", [False, True])
@pytest.mark.parametrize("name", POOLINGS)
def test_ragged_boxes_give_ragged_features(name, in_graph, one_map):
    layer = POOLINGS[name](CELLS)
    ragged = tf.RaggedTensor.from_tensor(BOXES, lengths=[2, 1])
    call = (
        tf.function(lambda boxes: layer(one_map, boxes)) if in_graph else lambda boxes: layer(one_map, boxes)
    )
    pooled, expected = call(ragged), layer(one_map, BOXES)
    assert pooled.row_lengths().numpy().tolist() == [2, 1]
    np.testing.assert_array_equal(pooled[0], expected[0])
    np.testing.assert_array_equal(pooled[1], expected[1, :1])
    none = call(tf.RaggedTensor.from_tensor(BOXES.astype(np.int32), lengths=[0, 0]))
    assert none.to_tensor().shape[:2] == (2, 0)


@pytest.mark.parametrize("name", POOLINGS)
def test_boxes_of_a_wrong_shape_are_named(name, one_map):
    for boxes in (BOXES[0], BOXES[..., :3], BOXES[..., [0, 1, 2, 3, 3]]):
        with pytest.raises(ValueError, match=r"boxes must be \[B, R, 4\], got \("):
            POOLINGS[name](CELLS)(one_map, boxes)


@pytest.mark.parametrize("size", [0, (7, 7, 7), 2.5, "7", (0, 2)])
@pytest.mark.parametrize("name", POOLINGS)
def test_cells_that_are_none(name, size):
    with pytest.raises(ValueError, match=f"{name}: output_size must be one or two positive integers, got"):
        POOLINGS[name](size)


def test_a_map_in_a_functional_model_learns_and_comes_back(tmp_path):
    """A network of one map and one pooling, as people start with."""
    images, boxes = keras.Input((64, 96, 3)), keras.Input((None, 4))
    features = keras.layers.Conv2D(4, 16, strides=16, name="patches")(images)
    pooled = ROIAlign(output_size=(7, 14), strides=(16,))(features, boxes)
    assert pooled.shape == (None, None, 7, 14, 4)
    model = keras.Model([images, boxes], pooled)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    pictures = np.random.default_rng(1).normal(size=(2, 64, 96, 3)).astype(np.float32)
    np.testing.assert_array_equal(again([pictures, BOXES]), model([pictures, BOXES]))


def test_a_head_on_cells_that_are_no_square(one_map):
    layer = ROIAlign((8, 4), strides=(16,))
    head = BoxHead(3, units=5)
    head.build_on({"C4": one_map.shape}, layer)
    logits, deltas = head(layer({"C4": one_map}, BOXES))
    assert (logits.shape, deltas.shape) == ((2, 2, 4), (2, 2, 4))
    assert next(head.named_layers()).cells == (8, 4)
    assert next(head.named_layers()).layer.kernel.shape[0] == 8 * 4 * 12


def test_masks_are_square():
    with pytest.raises(ValueError, match=r"pooling.output_size: got \(7, 14\), expected one number: masks"):
        MaskBranch([MaskHead(3)], (1,), ROIAlign((7, 14)))
    assert MaskBranch([MaskHead(3)], (1,), ROIAlign((7, 7))).mask_size == 14
