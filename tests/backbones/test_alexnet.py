"""AlexNet: shapes, strides, frozen convolutions; its arithmetic is compared in test_caffe_backbones.py."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from cascade_tf.backbones import AlexNet

SMALL = (2, 4, 6, 6, 4)


def images(height=64, width=96, seed=0):
    return np.random.default_rng(seed).normal(size=(2, height, width, 3)).astype(np.float32)


def test_maps_lie_at_their_strides():
    backbone = AlexNet(SMALL, levels=("C1", "C2", "C3", "C4", "C5"))
    features = backbone(images())
    assert list(features) == ["C1", "C2", "C3", "C4", "C5"]
    assert backbone.strides == {"C1": 4, "C2": 8, "C3": 16, "C4": 16, "C5": 16}
    for (name, values), channels in zip(features.items(), SMALL, strict=True):
        stride = backbone.strides[name]
        assert values.shape == (2, 64 // stride, 96 // stride, channels)


@pytest.mark.parametrize(("height", "width"), [(37, 51), (60, 100), (12, 20)])
def test_any_size_of_image(height, width):
    features = AlexNet(SMALL)(images(height, width))
    # conv1, then three steps of rounding as Caffe's layers have them.
    expected = [-(-(-(-side // 4) // 2) // 2) for side in (height, width)]
    assert features["C5"].shape[1:3] == tuple(expected)


def test_full_width_has_the_published_number_of_parameters():
    """60,965,224 of the whole network, without its three fully connected layers."""
    dense = (9216 + 1) * 4096 + (4096 + 1) * 4096 + (4096 + 1) * 1000
    assert AlexNet().count_params() == 60_965_224 - dense


def test_groups_do_not_mix():
    backbone = AlexNet(SMALL, levels=("C1", "C2"))
    backbone.get_layer("norm1").alpha = 0.0
    maps = keras.Model(backbone.input, backbone.get_layer("conv2").output)
    before = maps(images()).numpy()
    kernel = backbone.get_layer("conv1").kernel
    # Only the first of conv1's two channels changes, which the first half of conv2's channels sees.
    kernel.assign(kernel.numpy() * np.float32([2, 1]))
    after = maps(images()).numpy()
    assert np.abs(after - before)[..., :2].max() > 0.1
    np.testing.assert_array_equal(after[..., 2:], before[..., 2:])


@pytest.mark.parametrize("freeze_at", [0, 2, 5])
def test_frozen_convolutions_are_not_trained(freeze_at):
    backbone = AlexNet(SMALL, freeze_at=freeze_at)
    trained = {variable.path.split("/")[-2] for variable in backbone.trainable_variables}
    assert trained == {f"conv{number}" for number in range(freeze_at + 1, 6)}


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"channels": (8, 8)}, ValueError, r"channels: got \(8, 8\), expected five numbers"),
        ({"channels": (3, 8, 8, 8, 8)}, ValueError, "fall into"),
        ({"channels": (4, 8, 8, 8, 7)}, ValueError, "fall into"),
        ({"freeze_at": 6}, ValueError, "freeze_at: got 6, expected 0 to 5 convolutions"),
        ({"levels": ("C6",)}, ValueError, r"levels: got \('C6',\), expected some of"),
        ({"width": 2}, TypeError, "AlexNet has no argument 'width'"),
    ],
)
def test_wrong_settings(settings, error, message):
    with pytest.raises(error, match=message):
        AlexNet(**settings)
