"""Backbones with the weights of the authors' nets compute the maps that were recorded of these."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.backbones import VGG16, AlexNet, ResNet
from tests.golden.caffe_backbones import assert_gradients, with_weights
from tests.golden.caffe_nets import recorded_nets

# Orders of addition, through up to fifty layers, relative to the largest value; 2e-6 was found.
RELATIVE = 1e-5


def assert_recorded(features, net, names):
    """Compares those maps that were recorded."""
    compared = [name for name, blob in names.items() if f"out/{blob}" in net.test]
    assert compared
    for name in compared:
        expected = net.map(names[name])
        np.testing.assert_allclose(features[name], expected, atol=RELATIVE * np.abs(expected).max())


def channels_of(net, layers):
    return [len(net.weights[f"{layer}/0"]) for layer in layers]


def resnet_of(net, **settings):
    """A ResNet-50 of the recorded net's channels."""
    return ResNet(
        50,
        stem_channels=len(net.weights["conv1/0"]),
        inner_channels=channels_of(net, [f"res{stage}a_branch2a" for stage in (2, 3, 4, 5)]),
        outer_channels=channels_of(net, [f"res{stage}a_branch2c" for stage in (2, 3, 4, 5)]),
        stem_pool="caffe",
        **settings,
    )


@pytest.mark.parametrize("net", recorded_nets("vgg", "mscnn"))
def test_vgg16(net):
    backbone = VGG16(channels=channels_of(net, [f"conv{group}_1" for group in range(1, 6)]))
    features = with_weights(backbone, net.weights)(net.images())
    assert_recorded(features, net, {"C3": "conv3_3", "C4": "conv4_3", "C5": "conv5_3"})


@pytest.mark.parametrize("net", recorded_nets("alex"))
def test_alexnet(net):
    backbone = AlexNet(
        channels=channels_of(net, [f"conv{number}" for number in range(1, 6)]), levels=("C3", "C4", "C5")
    )
    features = with_weights(backbone, net.weights)(net.images())
    assert_recorded(features, net, {"C3": "conv3", "C4": "conv4", "C5": "conv5"})


@pytest.mark.parametrize("net", recorded_nets("fpn50"))
def test_resnet(net):
    features = with_weights(resnet_of(net), net.weights)(net.images())
    assert_recorded(features, net, {"C4": "res4f", "C5": "res5c"})


@pytest.mark.parametrize("net", recorded_nets("rfcn50"))
@pytest.mark.parametrize("recompute", [False, True])
def test_resnet_with_dilation(net, recompute):
    backbone = resnet_of(net, dilate_res5=True, levels=("C4", "C5"), recompute=recompute)
    features = with_weights(backbone, net.weights)(net.images(), training=recompute)
    assert_recorded(features, net, {"C4": "res4f", "C5": "res5c"})


def assert_trains_as_recorded(backbone, net, level, blob):
    """The gradients of all kernels that train, from the recorded one of a map."""
    if f"dout/{blob}" not in net.train:
        pytest.skip(f"the gradient of {blob} is not recorded")
    last = np.moveaxis(net.train[f"dout/{blob}"], 1, -1)
    layers = [one for one in backbone.layers if isinstance(one, keras.layers.Conv2D) and one.trainable]
    kernels = [layer.kernel.value for layer in layers]
    with tf.GradientTape() as tape:
        features = with_weights(backbone, net.weights)(net.images(training=True), training=True)
    assert_gradients(tape.gradient(features[level], kernels, last), layers, net)


@pytest.mark.parametrize("net", recorded_nets("alex"))
def test_gradients_of_alexnet(net):
    backbone = AlexNet(channels=channels_of(net, [f"conv{number}" for number in range(1, 6)]))
    assert_trains_as_recorded(backbone, net, "C5", "conv5")


@pytest.mark.parametrize("net", recorded_nets("rfcn50"))
@pytest.mark.parametrize("recompute", [False, True])
def test_gradients_of_resnet(net, recompute):
    """Of the stages in front of the region proposals, which send a gradient of their own into C4."""
    backbone = resnet_of(net, levels=("C4",), recompute=recompute)
    assert_trains_as_recorded(backbone, net, "C4", "res4f")


@pytest.mark.parametrize("net", recorded_nets("rfcn50"))
def test_gradients_of_dilated_stage(net):
    backbone = resnet_of(net, dilate_res5=True, freeze_at=4)
    assert_trains_as_recorded(backbone, net, "C5", "res5c")
