"""Layers that pool as Caffe does: which map, which box, and the recorded nets' features."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.ops import grid_roi_align, ps_roi_pool, roi_pool
from cascade_tf.pooling import GridROIAlign, PSROIPool, ROIPool
from tests.golden.caffe_layers import recorded
from tests.golden.caffe_nets import recorded_nets
from tests.heads.examples import pyramid

BOXES = tf.constant([[[4.0, 4, 20, 20], [0, 0, 90, 60]], [[30, 10, 60, 50], [1, 1, 9, 9]]])
# The nets' maps are around 1.
TOLERANCE = 1e-5


def test_roi_pool_takes_its_level():
    features = pyramid()
    pooled = ROIPool(output_size=(2, 3), level="P3", stride=8, pad_ratio=0.25)(features, BOXES)
    expected = roi_pool(features["P3"], BOXES, stride=8, output_size=(2, 3), pad_ratio=0.25)
    np.testing.assert_array_equal(pooled, expected)
    assert pooled.shape == (2, 2, 2, 3, 4)


def test_ps_roi_pool_takes_its_level():
    features = pyramid()
    pooled = PSROIPool(output_size=2, level="P4")(features, BOXES)
    expected = ps_roi_pool(features["P4"], BOXES, stride=16, output_size=2)
    np.testing.assert_array_equal(pooled, expected)
    assert pooled.shape == (2, 2, 2, 2, 1)


@pytest.mark.parametrize("pooling", [ROIPool, PSROIPool])
def test_the_only_map_needs_no_name(pooling):
    features = pyramid()
    named = pooling(output_size=2, level="P4")(features, BOXES)
    np.testing.assert_array_equal(pooling(output_size=2)({"P4": features["P4"]}, BOXES), named)
    with pytest.raises(ValueError, match=r"level=None is not one of the maps \['P2', 'P3', 'P4', 'P5', 'P6'"):
        pooling(output_size=2)(features, BOXES)
    with pytest.raises(ValueError, match="level='C5' is not one of the maps"):
        pooling(output_size=2, level="C5")(features, BOXES)


@pytest.mark.parametrize("pooling", [ROIPool, PSROIPool])
def test_the_far_edge_may_be_a_pixel_of_the_box(pooling):
    features = {"P3": pyramid()["P3"]}
    layer = pooling(output_size=2, stride=8, inclusive=False)
    same = pooling(output_size=2, stride=8)(features, BOXES + tf.constant([0.0, 0, 1, 1]))
    np.testing.assert_array_equal(layer(features, BOXES), same)


def test_grid_roi_align_chooses_levels_by_size():
    features = {name: tf.fill(value.shape, float(name[1])) for name, value in pyramid(600, 600).items()}
    sides = np.float32([20, 111.99, 112, 223.99, 224, 447.99, 448, 500])
    boxes = np.tile(np.stack([0 * sides + 60, 0 * sides + 60, sides + 60, sides + 60], -1), (2, 1, 1))
    pooled = GridROIAlign()(features, boxes).numpy()
    np.testing.assert_allclose(pooled[:, :, 3, 3, 0], [[2, 2, 3, 3, 4, 4, 5, 5]] * 2, rtol=1e-6)
    named = GridROIAlign(levels=("P4", "P3"), strides=(16, 8))(features, boxes).numpy()
    assert named[0, 0, 3, 3, 0] == 4


def test_grid_roi_align_settings_reach_the_op():
    features = pyramid()
    layer = GridROIAlign(output_size=(3, 2), levels=("P3",), strides=(8,), pad_ratio=0.5, inclusive=False)
    settings = {"strides": (8,), "output_size": (3, 2), "pad_ratio": 0.5, "inclusive_boxes": True}
    expected = grid_roi_align([features["P3"]], BOXES, **settings)
    np.testing.assert_array_equal(layer(features, BOXES), expected)


@pytest.mark.parametrize("pooling", [ROIPool(level="P2"), PSROIPool(2, level="P2"), GridROIAlign()])
def test_gradients_of_boxes_that_are_pooled_in_turn_add_up(pooling):
    features = pyramid()
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(features["P2"])
        first, passed_on = pooling.pool_in_turn(features, BOXES)
        second = pooling(passed_on, BOXES + 8.0)
        separate = pooling(features, BOXES), pooling(features, BOXES + 8.0)
        in_turn, sums = (
            tf.reduce_sum(first**2) + tf.reduce_sum(second),
            [
                tf.reduce_sum(separate[0] ** 2),
                tf.reduce_sum(separate[1]),
            ],
        )
    expected = tape.gradient(sums, features["P2"])
    np.testing.assert_allclose(tape.gradient(in_turn, features["P2"]), expected, atol=1e-5)
    assert passed_on.keys() == features.keys()


@pytest.mark.parametrize(
    ("construct", "message"),
    [
        (lambda: ROIPool(output_size=0), "one or two positive integers"),
        (lambda: PSROIPool(stride=0), "stride: got 0, expected a number of pixels above 0"),
        (lambda: ROIPool(pad_ratio=-1), "pad_ratio must be 0 or a positive share"),
        (lambda: GridROIAlign(levels=("P2",)), r"levels: got \('P2',\), expected 4 names"),
        (lambda: GridROIAlign(canonical_size=0), "canonical_size: got 0"),
    ],
)
def test_settings_out_of_range(construct, message):
    with pytest.raises(ValueError, match=message):
        construct()


def levels_of(boxes):
    """Which of P2 to P5 pools each of [1, R, 4] boxes: constant maps that are larger than any of them."""
    boxes = boxes - np.tile(boxes[..., :2], 2) + 100
    height, width = (boxes[0].max(0)[[3, 2]] + 100).astype(int)
    features = {name: tf.fill(m.shape, float(name[1])) for name, m in pyramid(height, width, 1).items()}
    return GridROIAlign(output_size=1)(features, boxes).numpy()[0, :, 0, 0, 0]


@pytest.mark.parametrize("net", recorded_nets("fpn"))
def test_boxes_go_to_the_levels_of_the_recorded_nets(net):
    for suffix in ("", "_2nd", "_3rd"):
        if f"out/proposals{suffix}" not in net.test:
            continue
        boxes = net.boxes(f"proposals{suffix}")
        levels = levels_of(boxes)
        for level in (2, 3, 4, 5):
            expected = net.boxes(f"proposals_to_fpn{level}{suffix}")[0]
            found = boxes[0, np.isclose(levels, level)]
            if not len(found):
                # The authors' stand-in for a level without boxes.
                assert len(expected) == 1
                continue
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("net", recorded_nets("vgg", "alex"))
def test_roi_pool_equals_the_recorded_nets(net):
    expected = net.map("roi_pool")
    features = net.map("conv5_3" if "out/conv5_3" in net.test else "conv5")
    boxes = net.boxes("proposals")[:, : len(expected)]
    pooled = ROIPool(output_size=expected.shape[1])({"C5": features}, boxes)
    np.testing.assert_array_equal(pooled[0], expected)


@pytest.mark.parametrize("net", recorded_nets("fpn"))
@pytest.mark.parametrize("level", [4, 5])
def test_grid_roi_align_equals_the_recorded_nets(net, level):
    boxes = net.boxes(f"proposals_to_fpn{level}")
    layer = GridROIAlign(levels=(f"P{level}",), strides=(2**level,))
    pooled = layer({f"P{level}": net.map(f"fpn{level}")}, boxes)
    np.testing.assert_allclose(pooled[0], net.map(f"roi_pool_fpn{level}"), atol=TOLERANCE)


@pytest.mark.parametrize("case", recorded("PSROIPooling"))
def test_ps_roi_pool_equals_caffe_on_continuous_boxes(case):
    boxes, place = case.boxes()
    layer = PSROIPool(int(case.number("group_size")), stride=1 / case.number("spatial_scale"))
    pooled = layer({"C5": case.maps("in/x")}, boxes + np.float32([0, 0, 1, 1])).numpy()[place]
    np.testing.assert_allclose(pooled, case.maps("out/y"), atol=TOLERANCE)


@pytest.mark.parametrize("pooling", [ROIPool, GridROIAlign])
def test_context_is_pooled_beside_the_box(pooling):
    features = {"P3": pyramid()["P3"]}
    where = {"stride": 8} if pooling is ROIPool else {"levels": ("P3",), "strides": (8,)}
    own, wide = (pooling(output_size=(3, 2), pad_ratio=ratio, **where) for ratio in (0.0, 0.25))
    both = pooling(output_size=(3, 2), context_ratio=0.25, **where)
    expected = tf.concat([own(features, BOXES), wide(features, BOXES)], axis=-1)
    np.testing.assert_array_equal(both(features, BOXES), expected)
    assert np.any(expected[..., :4] != expected[..., 4:])
    shapes = {"P3": tuple(features["P3"].shape)}
    assert both.pooled_shape(shapes) == (None, None, 3, 2, 8)
    with pytest.raises(ValueError, match=f"{pooling.__name__}: context_ratio must be 0 or"):
        pooling(context_ratio=-0.5)
