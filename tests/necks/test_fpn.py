"""The feature pyramid: sums by hand, any size of map."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.necks import FPN


def backbone(height, width, channels=(2, 3, 4, 5), seed=0, rounding="ceil"):
    """Maps as strided convolutions leave them: each half of the one before, rounded up or down."""
    generator = np.random.default_rng(seed)
    maps = {}
    for level, count in enumerate(channels, start=2):
        maps[f"C{level}"] = tf.constant(generator.normal(size=(1, height, width, count)).astype(np.float32))
        if rounding == "ceil":
            height, width = -(-height // 2), -(-width // 2)
        elif rounding == "floor":
            height, width = height // 2, width // 2
    return maps


def repeated(x, shape):
    """[h, w] at twice the size, or at its own: every fine cell takes the coarse one that it lies in."""
    factors = [1 if fine == coarse else 2 for fine, coarse in zip(shape, x.shape, strict=True)]
    rows, columns = (
        np.minimum(np.arange(fine) // factor, coarse - 1)
        for fine, coarse, factor in zip(shape, x.shape, factors, strict=True)
    )
    return x[rows][:, columns]


# The last have rows and columns that no coarser cell covers, or no strides between them.
SIZES = [
    (16, 24, "ceil"), (13, 9, "ceil"), (1, 7, "ceil"), (17, 33, "ceil"),
    (25, 32, "floor"), (11, 15, "floor"), (9, 8, "none"),
]  # fmt: skip


def check_in_graph(layer, sizes, jit_compile=False):
    """One graph that knows no sizes gives the values and gradients of each size."""
    layer(backbone(*sizes[0][:2], rounding=sizes[0][2]))

    def values_and_gradients(maps):
        with tf.GradientTape() as tape:
            tape.watch(maps)
            levels = layer(maps, training=True)
            total = tf.add_n([tf.reduce_sum(value**2) for value in levels.values()])
        return levels, tape.gradient(total, maps)

    specs = {f"C{level}": tf.TensorSpec([None, None, None, level]) for level in (2, 3, 4, 5)}
    traced = tf.function(values_and_gradients, input_signature=[specs], jit_compile=jit_compile)
    for height, width, rounding in sizes:
        maps = backbone(height, width, rounding=rounding)
        expected = tf.nest.flatten(values_and_gradients(maps))
        for one, value in zip(tf.nest.flatten(traced(maps)), expected, strict=True):
            np.testing.assert_allclose(one, value, atol=1e-4)


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


@pytest.mark.parametrize(("height", "width", "rounding"), SIZES)
def test_top_down_sums(height, width, rounding):
    maps = backbone(height, width, rounding=rounding)
    layer = FPN(3)
    layer(maps)
    levels = plain(layer)(maps)
    assert list(levels) == ["P2", "P3", "P4", "P5", "P6"]
    expected = None
    for level in (5, 4, 3, 2):
        own = maps[f"C{level}"].numpy()[0, :, :, 0]
        if expected is not None:
            own = own + repeated(expected, own.shape)
        expected = own
        np.testing.assert_allclose(levels[f"P{level}"][0], np.repeat(own[..., None], 3, axis=2), atol=1e-5)
    np.testing.assert_array_equal(levels["P6"], levels["P5"][:, ::2, ::2])


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("height", "width", "rounding"), SIZES)
def test_gradients_go_down_to_each_level(height, width, rounding, training):
    maps = backbone(height, width, rounding=rounding)
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
            # What a cell was repeated into.
            index = np.arange(np.prod(maps[f"C{level}"].shape[1:3])).reshape(maps[f"C{level}"].shape[1:3])
            expected = np.bincount(repeated(index, expected.shape).ravel(), expected.ravel())
            expected = expected.reshape(index.shape)
        found = gradients[f"C{level}"].numpy()[0]
        np.testing.assert_allclose(found[..., 0], expected, atol=1e-5)
        assert not found[..., 1:].any()


def test_one_graph_for_all_sizes():
    check_in_graph(FPN(3), SIZES)


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


def test_one_side_may_be_rounded_down_and_the_other_up():
    maps = {"C2": tf.random.normal([1, 7, 9, 2]), "C3": tf.random.normal([1, 3, 5, 2])}
    layer = FPN(3, num_extra_levels=0)
    layer(maps)
    plain(layer)
    with tf.GradientTape() as tape:
        tape.watch(maps)
        found = layer(maps, training=True)["P2"]
    above = repeated(maps["C3"].numpy()[0, :, :, 0], (7, 9))
    np.testing.assert_allclose(found[0, :, :, 0], maps["C2"][0, :, :, 0] + above, atol=1e-6)
    # Three times as many as of the channels, each the number of cells that one was repeated into.
    counts = np.outer([2, 2, 3], [2, 2, 2, 2, 1])
    np.testing.assert_allclose(tape.gradient(found, maps)["C3"][0, :, :, 0], 3 * counts, atol=1e-5)


def test_rounding_down_changes_nothing_where_it_takes_nothing_away():
    """The inside of a pyramid is the same whether an image ends there or goes on."""
    maps = backbone(33, 47, rounding="floor")
    layer = FPN(3)
    smaller = {name: x[:, : 32 >> level, : 40 >> level] for level, (name, x) in enumerate(maps.items())}
    whole, part = (plain_sums(layer, one) for one in (maps, smaller))
    for name, value in part.items():
        np.testing.assert_allclose(whole[name][:, : value.shape[1], : value.shape[2]], value, atol=1e-5)


def plain_sums(layer, maps):
    layer(maps)
    levels = plain(layer)(maps)
    return {name: value for name, value in levels.items() if name != "P6"}


def test_strides_that_stay_from_map_to_map():
    strides = {"C2": 4, "C3": 8, "C4": 8, "C5": 8}
    assert FPN(3).output_strides(strides) == {"P2": 4, "P3": 8, "P4": 8, "P5": 8, "P6": 16}
    with pytest.raises(ValueError, match=r"neck: got maps C2, C3 of 4, 16 pixels per cell, .* or as many"):
        FPN(3).output_strides({"C2": 4, "C3": 16})


def test_one_compiled_function_for_all_sizes():
    check_in_graph(FPN(3), [SIZES[0], SIZES[1], SIZES[4], SIZES[6]], jit_compile=True)
