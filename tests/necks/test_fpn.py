"""The feature pyramid: sums by hand, any size of map."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.necks import FPN


def backbone(height, width, channels=(2, 3, 4, 5), seed=0):
    """Maps as strided convolutions leave them: each half of the one before, rounded up."""
    generator = np.random.default_rng(seed)
    maps = {}
    for level, count in enumerate(channels, start=2):
        maps[f"C{level}"] = tf.constant(generator.normal(size=(1, height, width, count)).astype(np.float32))
        height, width = -(-height // 2), -(-width // 2)
    return maps


def plain(layer):
    """Laterals that copy the first channel, outputs that copy the centre."""
    for conv in layer.laterals:
        kernel = np.zeros(conv.kernel.shape, np.float32)
        kernel[0, 0, 0, :] = 1
        conv.kernel.assign(kernel)
    for conv in layer.outputs:
        kernel = np.zeros(conv.kernel.shape, np.float32)
        kernel[1, 1] = np.eye(kernel.shape[-1])
        conv.kernel.assign(kernel)
    return layer


@pytest.mark.parametrize(("height", "width"), [(16, 24), (13, 9), (1, 7), (17, 33)])
def test_top_down_sums(height, width):
    maps = backbone(height, width)
    layer = FPN(3)
    layer(maps)
    levels = plain(layer)(maps)
    assert list(levels) == ["P2", "P3", "P4", "P5", "P6"]
    expected = None
    for level in (5, 4, 3, 2):
        own = maps[f"C{level}"].numpy()[0, :, :, 0]
        if expected is not None:
            above = np.repeat(np.repeat(expected, 2, axis=0), 2, axis=1)
            own = own + above[: own.shape[0], : own.shape[1]]
        expected = own
        np.testing.assert_allclose(levels[f"P{level}"][0], np.repeat(own[..., None], 3, axis=2), atol=1e-5)
    np.testing.assert_array_equal(levels["P6"], levels["P5"][:, ::2, ::2])


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("height", "width"), [(16, 24), (13, 9), (1, 7), (17, 33)])
def test_gradients_go_down_to_each_level(height, width, training):
    maps = backbone(height, width)
    layer = FPN(3)
    layer(maps)
    plain(layer)
    upstream = np.random.default_rng(1).normal(size=(1, height, width, 3)).astype(np.float32)
    with tf.GradientTape() as tape:
        tape.watch(maps)
        total = tf.reduce_sum(layer(maps, training=training)["P2"] * upstream)
    gradients = tape.gradient(total, maps)
    expected = upstream[0].sum(axis=-1)
    for level in (2, 3, 4, 5):
        if level > 2:
            # What a cell was repeated into, the cropped part left out.
            expected = np.pad(expected, [(0, size % 2) for size in expected.shape])
            expected = expected.reshape(len(expected) // 2, 2, -1, 2).sum(axis=(1, 3))
        found = gradients[f"C{level}"].numpy()[0]
        np.testing.assert_allclose(found[..., 0], expected, atol=1e-5)
        assert not found[..., 1:].any()


def test_number_and_names_of_levels():
    maps = {name: value for name, value in backbone(16, 16).items() if name != "C2"}
    layer = FPN(3, num_extra_levels=2, first_level=3)
    levels = layer(maps)
    assert [(name, value.shape[1]) for name, value in levels.items()] == [
        ("P3", 8), ("P4", 4), ("P5", 2), ("P6", 1), ("P7", 1)
    ]  # fmt: skip
    assert list(layer.output_shapes({name: value.shape for name, value in maps.items()})) == list(levels)
    assert list(FPN(3, num_extra_levels=0)(backbone(8, 8))) == ["P2", "P3", "P4", "P5"]


def test_levels_follow_their_names_whatever_the_order_of_the_dict():
    maps = backbone(16, 16)
    layer = FPN(3)
    expected = layer(maps)
    levels = layer(dict(reversed(maps.items())))
    for name, value in expected.items():
        np.testing.assert_array_equal(levels[name], value)


def test_group_normalisation_follows_every_convolution():
    layer = FPN(32, norm="group")
    layer(backbone(16, 16))
    names = {weight.path.split("/")[-2] for weight in layer.trainable_variables}
    assert {"lateral2_norm", "output5_norm", "lateral2", "output5"} <= names
    assert not any(weight.name == "bias" for weight in layer.trainable_variables)
    assert sum(weight.name in ("gamma", "beta") for weight in layer.trainable_variables) == 16
