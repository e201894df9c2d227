"""VGG16: shapes, strides, frozen groups, and the features of Keras's own network."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from cascade_tf.backbones import VGG16

# Two orders of summation of up to 4608 products in float32, relative to the largest feature.
ROUNDING = 1e-5


def images(height=64, width=96, seed=0):
    return np.random.default_rng(seed).normal(size=(2, height, width, 3)).astype(np.float32)


def convolutions(backbone):
    return {layer.name: layer for layer in backbone.layers if isinstance(layer, keras.layers.Conv2D)}


@pytest.mark.parametrize(("height", "width"), [(64, 96), (33, 50)])
def test_maps_are_rounded_up_at_every_stride(height, width):
    backbone = VGG16(width=1 / 16)
    features = backbone(images(height, width))
    assert list(features) == ["C2", "C3", "C4", "C5"]
    assert backbone.strides == {"C2": 2, "C3": 4, "C4": 8, "C5": 16}
    for name, channels in {"C2": 8, "C3": 16, "C4": 32, "C5": 32}.items():
        stride = backbone.strides[name]
        assert features[name].shape == (2, -(-height // stride), -(-width // stride), channels)


def test_full_width_has_the_published_number_of_parameters():
    assert VGG16().count_params() == 14_714_688


def test_the_features_are_those_of_keras_applications():
    backbone = VGG16()
    theirs = keras.applications.VGG16(weights=None, include_top=False)
    rng = np.random.default_rng(1)
    for name, layer in convolutions(backbone).items():
        kernel, bias = layer.get_weights()
        values = [kernel, rng.normal(size=bias.shape).astype(np.float32)]
        layer.set_weights(values)
        theirs.get_layer(f"block{name[4]}_conv{name[6]}").set_weights(values)
    last = {"C2": "block2_conv2", "C3": "block3_conv3", "C4": "block4_conv3", "C5": "block5_conv3"}
    outputs = [theirs.get_layer(name).output for name in last.values()]
    x = images()
    expected = dict(zip(last, keras.Model(theirs.input, outputs)(x), strict=True))
    for name, values in backbone(x).items():
        assert np.std(values) > 0.1
        np.testing.assert_allclose(values, expected[name], atol=ROUNDING * np.max(expected[name]))


def test_the_pooling_keeps_the_last_row_of_odd_maps():
    backbone = VGG16(width=1 / 64)
    kernel = np.zeros((3, 3, 1, 1), np.float32)
    kernel[1, 1] = 1
    for name in ("conv1_1", "conv1_2"):
        conv = backbone.get_layer(name)
        conv.set_weights([np.repeat(kernel, conv.kernel.shape[2], axis=2), np.zeros(1, np.float32)])
    pooled = keras.Model(backbone.input, backbone.get_layer("pool1").output)
    x = np.abs(images(5, 3))
    sums = np.pad(x.sum(axis=-1), [[0, 0], [0, 1], [0, 1]])
    expected = sums.reshape(2, 3, 2, 2, 2).max(axis=(2, 4))
    np.testing.assert_allclose(pooled(x)[..., 0], expected, rtol=1e-5)


@pytest.mark.parametrize("freeze_at", [0, 2, 5])
def test_frozen_groups_are_not_trained(freeze_at):
    backbone = VGG16(width=1 / 16, freeze_at=freeze_at)
    trained = {variable.path.split("/")[-2] for variable in backbone.trainable_variables}
    assert trained == {name for name in convolutions(backbone) if int(name[4]) > freeze_at}


def test_only_the_levels_that_are_asked_for():
    backbone = VGG16(width=1 / 16, levels=("C5", "C4"))
    features = backbone(images())
    assert list(features) == ["C4", "C5"]
    assert backbone.strides == {"C4": 8, "C5": 16}
    every = VGG16(width=1 / 16)
    every.set_weights(backbone.get_weights())
    for name, values in features.items():
        np.testing.assert_array_equal(values, every(images())[name])


def test_lists_of_channels():
    features = VGG16(channels=(2, 3, 4, 5, 6))(images())
    assert [values.shape[-1] for values in features.values()] == [3, 4, 5, 6]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 0}, "width: got 0, expected a positive factor"),
        ({"channels": (2, 3)}, r"channels: got \(2, 3\), expected five numbers, 1 or more"),
        ({"freeze_at": 6}, "freeze_at: got 6, expected 0 to 5 groups"),
        ({"levels": ("C5", "C6")}, r"levels: got \('C5', 'C6'\), expected some of"),
        ({"levels": ()}, r"levels: got \(\), expected some of"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        VGG16(**settings)


def test_unknown_arguments_are_refused():
    with pytest.raises(TypeError, match="VGG16 has no argument 'norm'"):
        VGG16(width=1 / 16, norm="group")
