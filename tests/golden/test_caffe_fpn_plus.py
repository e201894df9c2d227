"""Backbone and neck with the weights of the authors' FPN+ nets, from the pixels to what was recorded."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.necks import FPNPlus
from cascade_tf.pooling import GridROIAlign
from tests.backbones.test_caffe_backbones import resnet_of
from tests.golden.caffe_backbones import with_weights
from tests.golden.caffe_nets import recorded_nets

# Orders of addition, through up to sixty layers, relative to the largest value.
RELATIVE = 1e-5


def pyramid(net):
    maps = with_weights(resnet_of(net), net.weights)(net.images())
    neck = FPNPlus(len(net.weights["fpn2/0"]))
    neck.build({name: value.shape for name, value in maps.items()})
    return with_weights(neck, net.weights)(maps)


def convolved(x, net, layer, padding):
    kernel = np.transpose(net.weights[f"{layer}/0"], (2, 3, 1, 0))
    return tf.nn.conv2d(x, kernel, 1, padding) + net.weights[f"{layer}/1"]


def assert_close(found, expected):
    np.testing.assert_allclose(found, expected, atol=RELATIVE * np.abs(expected).max())


@pytest.mark.parametrize("net", recorded_nets("fpn50"))
def test_the_maps_are_the_recorded_ones(net):
    features = pyramid(net)
    assert list(features) == ["P2", "P3", "P4", "P5"]
    for level in (4, 5):
        assert_close(features[f"P{level}"], net.map(f"fpn{level}"))
    # Of the finer ones what was made of them was recorded: the proposals' scores and the pooled boxes.
    for level in (2, 3):
        hidden = tf.nn.relu(convolved(features[f"P{level}"], net, f"rpn_fpn{level}", "SAME"))
        scores = convolved(hidden, net, f"rpn_fpn{level}_cls", "VALID")
        assert_close(scores, net.map(f"rpn_fpn{level}_cls"))
        expected = net.map(f"roi_pool_fpn{level}")
        pooling = GridROIAlign(levels=(f"P{level}",), strides=(2**level,))
        boxes = net.boxes(f"proposals_to_fpn{level}")[:, : len(expected)]
        assert_close(pooling(features, boxes)[0], expected)
