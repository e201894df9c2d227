"""The maps of MS-CNN by hand."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.necks import ScaleMaps
from tests.necks.test_fpn_plus import doubled


def maps(rows=6, columns=5):
    generator = np.random.default_rng(0)
    sizes = {"C4": (rows, columns, 4), "C5": ((rows + 1) // 2, (columns + 1) // 2, 3)}
    return {name: generator.normal(size=(2, *size)).astype(np.float32) for name, size in sizes.items()}


def pooled(x, of):
    padded = np.pad(x, [(0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0)], constant_values=np.nan)
    shape = (len(x), padded.shape[1] // 2, 2, padded.shape[2] // 2, 2, x.shape[-1])
    return of(padded.reshape(shape), axis=(2, 4))


@pytest.mark.parametrize(("last_pool", "of"), [("max", np.nanmax), ("average", np.nanmean)])
@pytest.mark.parametrize("channels", [None, 8])
def test_maps(channels, last_pool, of):
    some = maps()
    layer = ScaleMaps(channels, last_pool)
    found = layer(some)
    assert list(found) == ["P2", "P3", "P4", "P5", "P6"]
    np.testing.assert_array_equal(found["P3"], some["C4"])
    np.testing.assert_array_equal(found["P4"], some["C5"])
    third = pooled(some["C5"], np.nanmax)
    if channels:
        third = tf.nn.relu(tf.nn.conv2d(third, layer.convolution.kernel, 1, "SAME")).numpy()
        assert third.shape[-1] == 8
    np.testing.assert_allclose(found["P5"], third, atol=1e-6)
    np.testing.assert_allclose(found["P6"], pooled(third, of), atol=1e-6)
    expected = doubled(some["C4"][1, :, :, 2], (12, 10))
    np.testing.assert_allclose(found["P2"][1, :, :, 2], expected, atol=1e-6)
    shapes = layer.output_shapes({name: value.shape for name, value in some.items()})
    assert {name: shape[-1] for name, shape in shapes.items()} == {
        name: value.shape[-1] for name, value in found.items()
    }


def test_without_the_enlarged_map():
    layer = ScaleMaps(None, enlarged=False)
    assert list(layer(maps())) == ["P3", "P4", "P5", "P6"]
    assert layer.output_strides({"C4": 8, "C5": 16}) == {"P3": 8, "P4": 16, "P5": 32, "P6": 64}
    assert not list(layer.named_layers())
    assert ScaleMaps().output_strides({"C4": 8, "C5": 16})["P2"] == 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": 0}, "^channels: got 0, expected 1 or more, or None"),
        ({"last_pool": "mean"}, "^last_pool: got 'mean', expected one of"),
    ],
)
def test_what_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ScaleMaps(**settings)


def test_other_maps_are_refused():
    with pytest.raises(ValueError, match=r"^features: got .*, expected two maps"):
        ScaleMaps()({**maps(), "C6": maps()["C5"]})
    with pytest.raises(ValueError, match="ScaleMaps: got maps"):
        ScaleMaps()({"C4": maps()["C4"], "C5": maps()["C4"]})
