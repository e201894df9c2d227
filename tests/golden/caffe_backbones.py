"""Backbones and necks with the weights of the recorded nets."""

from __future__ import annotations

import re

import numpy as np

from cascade_tf.layers import FrozenBatchNormalization

_BRANCHES = {"conv1": "branch2a", "conv2": "branch2b", "conv3": "branch2c", "shortcut": "branch1"}


def caffe_name(layer):
    """Caffe's name of a layer of a backbone or neck.

    >>> caffe_name("res4_5_conv2"), caffe_name("res4_5_conv2_norm"), caffe_name("stem_conv1_norm")
    ('res4f_branch2b', 'scale4f_branch2b', 'scale_conv1')
    >>> caffe_name("conv5_3"), caffe_name("lateral4"), caffe_name("output4")
    ('conv5_3', 'res4f_side', 'fpn4')
    """
    prefix = "scale" if layer.endswith("_norm") else "res"
    block = re.fullmatch(r"res(\d)_(\d+)_(\w+)", layer.removesuffix("_norm"))
    if block:
        return f"{prefix}{block[1]}{'abcdefghij'[int(block[2])]}_{_BRANCHES[block[3]]}"
    if layer.startswith("lateral"):
        return {"2": "res2c_side", "3": "res3d_side", "4": "res4f_side", "5": "res5c_side"}[layer[-1]]
    layer = layer.replace("output", "fpn")
    return {"stem_conv1": "conv1", "stem_conv1_norm": "scale_conv1"}.get(layer, layer)


def caffe_weights(layer, weights):
    """The values of a layer's variables, in their order.

    Args:
        layer: of Keras.
        weights: the net's arrays by ``LAYER/INDEX``.
    """
    name = caffe_name(layer.name)
    if isinstance(layer, FrozenBatchNormalization):
        scale, shift = weights[f"{name}/0"], weights[f"{name}/1"]
        # The first convolution has a bias that the layer in front of this one has no place for.
        convolution = name.replace("scale_conv1", "conv1").replace("scale", "res")
        mean = -weights.get(f"{convolution}/1", np.zeros_like(scale))
        return [scale, shift, mean, np.full_like(scale, 1 - layer.epsilon)]
    values = [np.transpose(weights[f"{name}/0"], (2, 3, 1, 0))]
    return [*values, weights[f"{name}/1"]] if layer.use_bias else values


def with_weights(model, weights):
    """Gives every layer of a backbone or neck its weights from a recorded net."""
    for layer in model._flatten_layers(include_self=False):
        if layer.variables:
            layer.set_weights(caffe_weights(layer, weights))
    return model


def assert_gradients(gradients, layers, net):
    """Compares the kernels' gradients with those that were recorded, of which some are the first rows.

    Args:
        gradients: of each layer's kernel.
        layers: of Keras.
        net: recorded.
    """
    # Sums over all cells of a map, and backwards through up to thirty layers.
    relative = 1e-4
    recorded = {name.split("__")[0]: value for name, value in net.train.items()}
    for layer, gradient in zip(layers, gradients, strict=True):
        expected = recorded[f"grad/{caffe_name(layer.name)}/0"]
        found = np.transpose(gradient, (3, 2, 0, 1))[: len(expected)]
        np.testing.assert_allclose(
            found, expected, atol=relative * np.abs(expected).max(), err_msg=layer.name
        )
