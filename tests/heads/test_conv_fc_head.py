"""MS-CNN's head by hand, and its dropout as a function of the example's seed."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.heads import ConvFCHead
from cascade_tf.layers.seeded_dropout import seeded_dropout

X = np.random.default_rng(0).normal(size=(2, 5, 4, 3, 6)).astype(np.float32)
SEED = tf.constant([[1, 2], [3, 4]])


def build(**settings):
    head = ConvFCHead(3, **{"channels": 5, "units": 7, **settings})
    head(X)
    generator = np.random.default_rng(1)
    head.set_weights([generator.normal(size=w.shape) for w in head.get_weights()])
    return head


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("class_agnostic", [True, False])
@pytest.mark.parametrize("background", [True, False])
def test_values(padding, class_agnostic, background):
    head = build(padding=padding, class_agnostic=class_agnostic, background_offsets=background)
    logits, deltas = head(X)
    border = [(0, 0), (0, 0), (1, 1), (1, 1), (0, 0)] if padding == "same" else [(0, 0)] * 5
    x, kernel = np.pad(X, border), head.convolution.kernel.numpy()
    rows, columns = x.shape[2] - 2, x.shape[3] - 2
    assert head.cells == (rows, columns)
    maps = sum(x[:, :, i : i + rows, j : j + columns] @ kernel[i, j] for i in range(3) for j in range(3))
    flat = np.maximum(maps + head.convolution.bias.numpy(), 0).reshape(2, 5, -1)
    hidden = np.maximum(flat @ head.dense.kernel.numpy() + head.dense.bias.numpy(), 0)
    for values, layer in ((logits, head.classifier), (deltas, head.regressor)):
        expected = hidden @ layer.kernel.numpy() + layer.bias.numpy()
        expected = expected[..., 4:] if layer is head.regressor and background else expected
        np.testing.assert_allclose(values, expected, rtol=1e-3, atol=1e-2)
    assert deltas.shape == (2, 5, 4 if class_agnostic else 12)


def test_dropout_depends_on_the_seed_alone():
    head = build(dropout=0.5)
    first, again = (head(X, training=True, seed=SEED)[0].numpy() for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert np.any(first != head(X, training=True, seed=SEED + 1)[0].numpy())
    np.testing.assert_array_equal(head(X, training=False, seed=SEED)[0], head(X)[0])
    # An image gets what it gets alone.
    alone = head(X[1:], training=True, seed=SEED[1:])[0]
    np.testing.assert_allclose(alone[0], first[1], rtol=1e-5, atol=1e-4)


def test_dropout_keeps_the_mean():
    values = seeded_dropout(tf.ones([2, 40, 500]), SEED, 0.25).numpy()
    np.testing.assert_allclose(np.unique(values), [0, 4 / 3], rtol=1e-6)
    np.testing.assert_allclose(values.mean(axis=(1, 2)), 1, atol=0.02)
    assert seeded_dropout(tf.ones([2, 3, 4], tf.bfloat16), SEED, 0.25).dtype == tf.bfloat16


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"padding": "full"}, "^padding: got 'full', expected 'valid' or 'same'"),
        ({"dropout": 1.0}, "^dropout: got 1.0, expected a share"),
        ({"units": 0}, "^units: got 0, expected 1 or more"),
    ],
)
def test_what_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ConvFCHead(3, **settings)


def test_boxes_that_are_too_small_for_the_convolution():
    with pytest.raises(ValueError, match=r"expected RoI features of known size, 3 x 3 cells or more"):
        ConvFCHead(3).build((None, None, 2, 2, 4))
