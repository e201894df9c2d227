"""FPN+: its two paths by hand, any size of map; its values are compared in tests/golden."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.necks import FPNPlus
from tests.necks.test_fpn import SIZES, backbone, check_in_graph, plain

SIZES = [size for size in SIZES if size[-1] != "none"]


def halved(x, shape):
    """[h, w] means of 2 x 2 cells, of fewer at the far border of odd maps; none are beyond ``shape``."""
    padded = np.pad(x, [(0, size % 2) for size in x.shape], constant_values=np.nan)
    means = np.nanmean(padded.reshape(len(padded) // 2, 2, -1, 2), axis=(1, 3))
    return means[: shape[0], : shape[1]]


def doubled(x, shape):
    """Caffe's deconvolution: each cell is spread over 4 x 4 with a bilinear kernel."""
    spread = np.outer([0.25, 0.75, 0.75, 0.25], [0.25, 0.75, 0.75, 0.25])
    found = np.zeros([max(2 * size + 2, wanted + 2) for size, wanted in zip(x.shape, shape, strict=True)])
    for row, column in np.ndindex(x.shape):
        found[2 * row : 2 * row + 4, 2 * column : 2 * column + 4] += x[row, column] * spread
    return found[1 : 1 + shape[0], 1 : 1 + shape[1]]


@pytest.mark.parametrize(("height", "width", "rounding"), SIZES)
def test_sums(height, width, rounding):
    maps = backbone(height, width, rounding=rounding)
    layer = FPNPlus(3)
    layer(maps)
    levels = plain(layer)(maps)
    assert list(levels) == ["P2", "P3", "P4", "P5"]
    c2, c3, c4, c5 = (value.numpy()[0, :, :, 0] for value in maps.values())
    up3 = c3 + halved(c2, c3.shape)
    up4 = c4 + halved(up3, c4.shape)
    down4 = c4 + doubled(c5, c4.shape)
    down3 = c3 + doubled(down4, c3.shape)
    expected = {
        "P2": c2 + doubled(down3, c2.shape),
        "P3": c3 + halved(c2, c3.shape) + doubled(down4, c3.shape),
        "P4": c4 + halved(up3, c4.shape) + doubled(c5, c4.shape),
        "P5": c5 + halved(up4, c5.shape),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(levels[name][0], np.repeat(value[..., None], 3, axis=2), atol=1e-5)


@pytest.mark.parametrize("rounding", ["ceil", "floor"])
@pytest.mark.parametrize("recompute", [False, True])
def test_gradients_reach_every_map(recompute, rounding):
    maps = backbone(13, 9, rounding=rounding)
    layer = FPNPlus(3, recompute=recompute)
    layer(maps)
    plain(layer)
    upstream = np.random.default_rng(1).normal(size=maps["C2"].shape[:3]).astype(np.float32)
    with tf.GradientTape() as tape:
        tape.watch(maps)
        total = tf.reduce_sum(layer(maps, training=True)["P2"][..., 0] * upstream)
    gradients = tape.gradient(total, maps)
    # P2 is linear in the maps: the gradient at a cell is what P2 sees of a one there.
    for name, row, column in (("C2", 3, 8), ("C3", 0, 0), ("C4", 2, 1), ("C5", 0, 0)):
        ones = {other: np.zeros(value.shape, np.float32) for other, value in maps.items()}
        ones[name][0, row, column, 0] = 1
        expected = np.sum(layer(ones)["P2"][..., 0] * upstream)
        np.testing.assert_allclose(gradients[name][0, row, column, 0], expected, atol=1e-5)
        assert abs(expected) > 0.01


def test_names_and_weights():
    layer = FPNPlus(3, first_level=3)
    shapes = dict.fromkeys(("C3", "C4", "C5"), (None, None, None, 4))
    layer.build(shapes)
    assert layer.output_shapes(shapes) == dict.fromkeys(("P3", "P4", "P5"), (None, None, None, 3))
    names = [f"{kind}{level}" for kind in ("lateral", "output") for level in (3, 4, 5)]
    assert [one.name for one in layer.named_layers()] == names
    assert len(layer.variables) == 6


def test_no_channels():
    with pytest.raises(ValueError, match="channels: got 0, expected 1 or more"):
        FPNPlus(0)


def test_maps_of_one_stride_are_refused():
    maps = backbone(8, 8, rounding="none")
    with pytest.raises(
        ValueError, match=r"FPNPlus: got maps C2 \(8 x 8\), C3 \(8 x 8\), .* expected each half"
    ):
        FPNPlus(3)(maps)
    with pytest.raises(
        ValueError, match="neck: got maps C4, C5 of 16, 16 pixels per cell, expected twice as"
    ):
        FPNPlus(3).output_strides({"C4": 16, "C5": 16})


def test_one_graph_for_all_sizes():
    check_in_graph(FPNPlus(3), SIZES)
