"""The pooling layer chooses its levels; the numbers are the op's."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from cascade_tf.ops.roi_align import roi_align
from cascade_tf.pooling import ROIAlign
from tests.heads.examples import pyramid

BOXES = tf.constant([[[4.0, 4, 20, 20], [0, 0, 90, 60]], [[30, 10, 60, 50], [1, 1, 9, 9]]])


def test_coarser_levels_than_the_strides_are_not_used():
    features = pyramid()
    layer = ROIAlign(output_size=3, strides=(4, 8, 16, 32), canonical_size=40.0)
    pooled = layer(features, BOXES)
    assert pooled.shape == (2, 2, 3, 3, 4)
    features["P6"] = features["P6"] + 100.0
    np.testing.assert_array_equal(layer(features, BOXES), pooled)
    levels = [features[name] for name in ("P2", "P3", "P4", "P5")]
    expected = roi_align(levels, BOXES, strides=(4, 8, 16, 32), output_size=3, canonical_size=40.0)
    np.testing.assert_array_equal(pooled, expected)


def test_a_constant_map_pools_to_its_value():
    features = {name: tf.fill(value.shape, float(name[1])) for name, value in pyramid(128, 128).items()}
    boxes = tf.constant([[[20.0, 20, 30, 30], [20, 20, 50, 50], [10, 10, 80, 80]]] * 2)
    pooled = ROIAlign(canonical_size=40.0)(features, boxes).numpy()
    # 10, 30 and 70 pixels: levels 2, floor(4 + log2(3/4)) = 3 and floor(4 + log2(7/4)) = 4.
    np.testing.assert_allclose(pooled[:, :, 3, 3, 0], [[2, 3, 4]] * 2, rtol=1e-6)


def test_inclusive_boxes_end_at_their_last_pixel():
    features = pyramid()
    # The level is that of the whole box: 40 x 40 pixels are just enough for P4.
    boxes = tf.constant([[[8.0, 8, 48, 48]], [[8.0, 8, 47, 48]]])
    layer = ROIAlign(output_size=3, canonical_size=40.0, aligned=False, inclusive=True)
    pooled = layer(features, boxes)
    for image, level in ((0, "P4"), (1, "P3")):
        one = [features[level][image : image + 1]]
        last = boxes[image : image + 1] - tf.constant([0.0, 0, 1, 1])
        stride = {"P3": 8, "P4": 16}[level]
        expected = roi_align(one, last, strides=(stride,), output_size=3, aligned=False)
        np.testing.assert_array_equal(pooled[image : image + 1], expected)


def test_settings_reach_the_op():
    features, boxes = pyramid(), BOXES + 0.3
    base = ROIAlign()(features, boxes).numpy()
    for settings in (
        {"sampling_ratio": 1},
        {"aligned": False},
        {"canonical_size": 20.0},
        {"canonical_level": 5},
    ):
        assert np.abs(ROIAlign(**settings)(features, boxes) - base).max() > 1e-2
