"""ResNet: shapes, strides, frozen parts, normalisation, arithmetic of a block."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.backbones import ResNet
from cascade_tf.backbones.resnet import BLOCKS
from cascade_tf.layers import FrozenBatchNormalization

GENERATOR = np.random.default_rng(0)
SMALL = {"depth": 14, "width": 0.125}


def images(height=64, width=96, seed=0):
    return tf.constant(np.random.default_rng(seed).normal(size=(2, height, width, 3)).astype(np.float32))


def convolutions(backbone):
    return [layer for layer in backbone.layers if isinstance(layer, keras.layers.Conv2D)]


@pytest.mark.parametrize(("height", "width"), [(64, 96), (65, 97), (33, 40)])
def test_maps_are_rounded_up_at_every_stride(height, width):
    features = ResNet(**SMALL)(images(height, width))
    assert list(features) == ["C2", "C3", "C4", "C5"]
    for name, stride, channels in zip(features, (4, 8, 16, 32), (32, 64, 128, 256), strict=True):
        assert features[name].shape == (2, -(-height // stride), -(-width // stride), channels)


def test_depth_counts_convolutions_and_a_classifier():
    for depth, blocks in BLOCKS.items():
        assert depth == 1 + 3 * sum(blocks) + 1
    # The four shortcuts do not count.
    assert len(convolutions(ResNet(26, width=1 / 64))) == 1 + 3 * 8 + 4


def test_full_width_has_the_published_number_of_parameters():
    backbone = ResNet(50)
    assert sum(np.prod(layer.kernel.shape) for layer in convolutions(backbone)) == 23_454_912


def test_resnext_has_the_published_number_of_parameters():
    """88.8 million with the classifier of 1000 classes (Xie et al., and torchvision's resnext101_32x8d)."""
    backbone = ResNet(101, cardinality=32, width_per_group=8, stride_in_1x1=False)
    norms = sum(2 * layer.kernel.shape[-1] for layer in convolutions(backbone))
    kernels = sum(np.prod(layer.kernel.shape) for layer in convolutions(backbone))
    assert kernels + norms + 2048 * 1000 + 1000 == 88_791_336


@pytest.mark.parametrize(
    "settings", [{"cardinality": 2, "width_per_group": 32}, {"deformable_stages": (3, 5)}]
)
def test_kinds_of_3x3_convolutions(settings):
    backbone = ResNet(**SMALL, **settings)
    kinds = [type(backbone.get_layer(f"res{stage}_0_conv2")).__name__ for stage in (2, 3, 4, 5)]
    if "deformable_stages" in settings:
        assert kinds == ["Conv2D", "DeformableConv2D", "Conv2D", "DeformableConv2D"]
    else:
        assert kinds == ["GroupedConv2D"] * 4
        assert [backbone.get_layer(f"res{s}_0_conv2").groups for s in (2, 3, 4, 5)] == [2] * 4
    features = backbone(np.zeros([1, 64, 96, 3], np.float32))
    assert [features[f"C{s}"].shape[1:3] for s in (2, 3, 4, 5)] == [(16, 24), (8, 12), (4, 6), (2, 3)]


@pytest.mark.parametrize(("stride_in_1x1", "strides"), [(True, (2, 1, 1, 2)), (False, (1, 2, 1, 2))])
def test_place_of_the_stride(stride_in_1x1, strides):
    backbone = ResNet(**SMALL, stride_in_1x1=stride_in_1x1)
    found = tuple(
        backbone.get_layer(f"res3_0_{part}").strides[0] for part in ("conv1", "conv2", "conv3", "shortcut")
    )
    assert found == strides
    assert all(backbone.get_layer(f"res2_0_{part}").strides == (1, 1) for part in ("conv1", "conv2"))


@pytest.mark.parametrize(
    ("norm", "freeze_at"), [("frozen", 0), ("frozen", 2), ("group", 1), ("group", 3), ("sync", 5)]
)
def test_frozen_parts_are_not_trained(norm, freeze_at):
    backbone = ResNet(**SMALL, freeze_at=freeze_at, norm=norm)
    frozen = [("stem", "res2", "res3", "res4", "res5")[part] for part in range(freeze_at)]
    trained = {variable.path.split("/")[-2] for variable in backbone.trainable_variables}
    expected = {layer.name for layer in convolutions(backbone) if layer.name.split("_")[0] not in frozen}
    if norm != "frozen":
        expected |= {f"{name}_norm" for name in expected}
    assert trained == expected


def test_frozen_statistics_do_not_move_in_training():
    backbone = ResNet(**SMALL)
    norms = [layer for layer in backbone.layers if isinstance(layer, FrozenBatchNormalization)]
    assert len(norms) == len(convolutions(backbone))
    before = [weight for layer in norms for weight in layer.get_weights()]
    trained, tested = backbone(images(), training=True), backbone(images(), training=False)
    for old, new in zip(before, [w for layer in norms for w in layer.get_weights()], strict=True):
        np.testing.assert_array_equal(old, new)
    for name, values in trained.items():
        np.testing.assert_array_equal(values, tested[name])


def test_synchronised_statistics_move_in_trained_parts_only():
    backbone = ResNet(**SMALL, norm="sync", freeze_at=2)
    layers = {
        name: backbone.get_layer(f"{name}_norm") for name in ("stem_conv1", "res2_0_conv3", "res3_0_conv1")
    }
    assert all(layer.synchronized for layer in layers.values())
    before = {name: layer.moving_variance.numpy() for name, layer in layers.items()}
    backbone(images(), training=True)
    moved = {name: np.any(layer.moving_variance != before[name]) for name, layer in layers.items()}
    assert moved == {"stem_conv1": False, "res2_0_conv3": False, "res3_0_conv1": True}


def test_groups_are_at_most_the_channels():
    backbone = ResNet(**SMALL, norm="group")
    assert backbone.get_layer("res2_0_conv1_norm").groups == 8
    assert backbone.get_layer("res5_0_conv3_norm").groups == 32


def test_a_block_by_hand():
    backbone = ResNet(**SMALL, freeze_at=0)
    x = images(32, 32)
    stages = keras.Model(backbone.inputs, [backbone.get_layer(f"res{n}_0_relu").output for n in (2, 3)])
    before, after = stages(x)
    kernels = {
        part: backbone.get_layer(f"res3_0_{part}").kernel.numpy()
        for part in ("conv1", "conv2", "conv3", "shortcut")
    }
    # Fresh statistics are 0 and 1, up to epsilon.
    scale = 1 / np.sqrt(1 + 1e-5)
    half = before.numpy()[:, ::2, ::2]
    y = np.maximum(np.einsum("bhwc,cd->bhwd", half, kernels["conv1"][0, 0]) * scale, 0)
    padded = np.pad(y, [[0, 0], [1, 1], [1, 1], [0, 0]])
    height, width = y.shape[1:3]
    windows = sum(
        np.einsum("bhwc,cd->bhwd", padded[:, r : r + height, c : c + width], kernels["conv2"][r, c])
        for r in range(3)
        for c in range(3)
    )
    y = np.einsum("bhwc,cd->bhwd", np.maximum(windows * scale, 0), kernels["conv3"][0, 0]) * scale
    shortcut = np.einsum("bhwc,cd->bhwd", half, kernels["shortcut"][0, 0]) * scale
    np.testing.assert_allclose(after, np.maximum(y + shortcut, 0), rtol=1e-3, atol=1e-3)


def test_stem_pads_on_all_sides():
    backbone = ResNet(**SMALL)
    kernel = np.zeros(backbone.get_layer("stem_conv1").kernel.shape, np.float32)
    kernel[3, 3, 0] = 1  # the centre
    backbone.get_layer("stem_conv1").kernel.assign(kernel)
    stem = keras.Model(backbone.inputs, backbone.get_layer("stem_conv1").output)
    x = images(9, 12)
    # The convolution does the work of its normalisation too.
    np.testing.assert_allclose(stem(x)[..., 0] * np.sqrt(1 + 1e-5), x[:, ::2, ::2, 0], atol=1e-6)
    pool = keras.Model(backbone.inputs, backbone.get_layer("stem_pool").output)
    x = tf.abs(images(16, 16))
    expected = np.pad(x[:, ::2, ::2, 0], [[0, 0], [1, 1], [1, 1]])
    expected = np.max([expected[:, r : r + 7 : 2, c : c + 7 : 2] for r in range(3) for c in range(3)], axis=0)
    np.testing.assert_allclose(pool(x)[..., 0], expected / np.sqrt(1 + 1e-5), rtol=1e-5)


def test_stem_channels():
    backbone = ResNet(**SMALL, stem_channels=24)
    assert backbone.get_layer("stem_conv1").kernel.shape == (7, 7, 3, 24)
    assert ResNet(**SMALL).get_layer("stem_conv1").kernel.shape == (7, 7, 3, 8)


def test_lists_of_channels():
    backbone = ResNet(14, stem_channels=4, inner_channels=(4, 8, 12, 12), outer_channels=(12, 20, 16, 24))
    assert [backbone.get_layer(f"res{s}_0_conv2").filters for s in (2, 3, 4, 5)] == [4, 8, 12, 12]
    assert [values.shape[-1] for values in backbone(images()).values()] == [12, 20, 16, 24]


@pytest.mark.parametrize("settings", [{}, {"cardinality": 2, "width_per_group": 32}])
def test_a_dilated_stage_keeps_the_stride(settings):
    """The cells at even places see what an undilated stage sees of every second cell."""
    dilated, plain = (ResNet(**SMALL, **settings, dilate_res5=value) for value in (True, False))
    plain.set_weights(dilated.get_weights())
    assert dilated.strides == {"C2": 4, "C3": 8, "C4": 16, "C5": 16}
    x = images(128, 192)
    features, expected = dilated(x), plain(x)
    assert features["C5"].shape[:3] == features["C4"].shape[:3] == (2, 8, 12)
    tolerance = 1e-5 * np.max(expected["C5"])
    np.testing.assert_allclose(features["C5"][:, ::2, ::2], expected["C5"], atol=tolerance)


def test_only_the_levels_that_are_asked_for():
    every, some, front = (
        ResNet(**SMALL),
        ResNet(**SMALL, levels=("C5", "C4")),
        ResNet(**SMALL, levels=("C3",)),
    )
    assert some.strides == {"C4": 16, "C5": 32}
    assert front.strides == {"C3": 8}
    some.set_weights(every.get_weights())
    front.set_weights(every.get_weights()[: len(front.weights)])
    expected = every(images())
    for name, values in {**some(images()), **front(images())}.items():
        np.testing.assert_array_equal(values, expected[name])
    assert list(some(images())) == ["C4", "C5"]
    assert not [layer for layer in front.layers if layer.name.startswith(("res4", "res5"))]


def test_the_levels_are_the_same_where_blocks_are_recomputed():
    backbone = ResNet(**SMALL, levels=("C2", "C4"), dilate_res5=True, recompute=True)
    assert list(backbone(images(), training=True)) == ["C2", "C4"]


def test_caffes_pooling_of_the_stem():
    backbone = ResNet(**SMALL, stem_pool="caffe")
    pool = keras.Model(backbone.get_layer("stem_conv1_relu").output, backbone.get_layer("stem_pool").output)
    x = np.abs(GENERATOR.normal(size=(1, 8, 7, 8))).astype(np.float32)
    windows = np.pad(x, [[0, 0], [0, 1], [0, 1], [0, 0]])
    expected = np.max([windows[:, r : r + 7 : 2, c : c + 5 : 2] for r in range(3) for c in range(3)], axis=0)
    np.testing.assert_array_equal(pool(x), expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depth": 34}, "depth must be one of 14, 26, 50, 101, 152, got 34"),
        ({"freeze_at": 6}, "freeze_at must be in 0..5, got 6"),
        ({"width": 0}, "width must be positive, got 0"),
        ({"inner_channels": (1, 2)}, r"inner_channels: got \(1, 2\), expected four numbers, 1 or more"),
        ({"inner_channels": (4, 8, 9, 8), "cardinality": 4}, "expected four multiples of the cardinality 4"),
        ({"outer_channels": (4, 8, 0, 8)}, "outer_channels: got"),
        ({"levels": ("C6",)}, r"levels: got \('C6',\), expected some of"),
        ({"stem_pool": "same"}, "stem_pool: got 'same', expected one of symmetric, caffe"),
        ({"dilate_res5": True, "deformable_stages": (5,)}, "dilate_res5: got True, expected False"),
        ({"norm": "batch"}, "norm must be one of frozen, sync, group, none, got 'batch'"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        ResNet(**{**SMALL, **settings})


def test_unknown_arguments_are_refused():
    with pytest.raises(TypeError, match="ResNet has no argument 'dilated'"):
        ResNet(**SMALL, dilated=True)
