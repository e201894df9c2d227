"""Fewer units of fully connected layers: which stay, and that the rest computes what it computed."""

from __future__ import annotations

import numpy as np

from cascade_tf.weights.unit_selection import strongest_units, with_fewer_units


def random_layers(seed=0):
    rng = np.random.default_rng(seed)
    return {
        "fc1.kernel": rng.normal(size=(2, 2, 3, 9)),
        "fc1.bias": rng.normal(size=9),
        "fc2.kernel": rng.normal(size=(9, 8)),
        "fc2.bias": rng.normal(size=8),
    }


def test_of_equal_units_the_first_stay():
    kernel = np.array([[1.0, -2.0, 1.0, 2.0, 1.0]])
    np.testing.assert_array_equal(strongest_units(kernel, 3), [0, 1, 3])


def test_the_same_outputs_as_with_the_others_at_zero():
    layers = random_layers()
    fewer = with_fewer_units(layers, 4)
    pooled = np.random.default_rng(1).normal(size=(5, 2, 2, 3))

    first = np.maximum(np.tensordot(pooled, layers["fc1.kernel"], 3) + layers["fc1.bias"], 0)
    norms = np.linalg.norm(layers["fc1.kernel"].reshape(12, 9), axis=0)
    kept = norms >= np.sort(norms)[-4]
    first[:, ~kept] = 0
    second = np.maximum(first @ layers["fc2.kernel"] + layers["fc2.bias"], 0)
    norms = np.linalg.norm(layers["fc2.kernel"][kept], axis=0)
    second = second[:, norms >= np.sort(norms)[-4]]

    ours = np.maximum(np.tensordot(pooled, fewer["fc1.kernel"], 3) + fewer["fc1.bias"], 0)
    ours = np.maximum(ours @ fewer["fc2.kernel"] + fewer["fc2.bias"], 0)
    assert ours.shape == (5, 4)
    assert np.ptp(ours) > 1
    np.testing.assert_allclose(ours, second, rtol=1e-12)


def test_layers_of_different_sizes():
    layers = random_layers()
    fewer = with_fewer_units(layers, 8)
    assert fewer["fc1.kernel"].shape == (2, 2, 3, 8)
    # The second layer has no unit too many, but one input.
    assert fewer["fc2.kernel"].shape == (8, 8)
    np.testing.assert_array_equal(fewer["fc2.bias"], layers["fc2.bias"])


def test_all_units_as_they_are():
    layers = random_layers()
    fewer = with_fewer_units({name: layers[name] for name in ("fc1.kernel", "fc1.bias")}, 9)
    np.testing.assert_array_equal(fewer["fc1.kernel"], layers["fc1.kernel"])
    assert np.shares_memory(fewer["fc1.kernel"], layers["fc1.kernel"])
