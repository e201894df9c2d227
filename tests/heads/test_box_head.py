"""Heads against plain matrix products."""

from __future__ import annotations

import numpy as np
import pytest

from cascade_tf.heads import BoxHead

X = np.random.default_rng(0).normal(size=(2, 5, 3, 3, 4)).astype(np.float32)


@pytest.mark.parametrize(("class_agnostic", "outputs"), [(True, 4), (False, 28)])
def test_two_layers(class_agnostic, outputs):
    head = BoxHead(7, class_agnostic=class_agnostic, units=6)
    head(X)
    head.set_weights([np.random.default_rng(1).normal(size=w.shape) for w in head.get_weights()])
    logits, deltas = head(X)
    x = X.reshape(10, -1)
    for layer in head.dense:
        x = np.maximum(x @ layer.kernel.numpy() + layer.bias.numpy(), 0)
    for values, layer in ((logits, head.classifier), (deltas, head.regressor)):
        expected = x @ layer.kernel.numpy() + layer.bias.numpy()
        np.testing.assert_allclose(values, expected.reshape(2, 5, -1), rtol=1e-3, atol=1e-3)
    assert logits.shape == (2, 5, 8)
    assert deltas.shape == (2, 5, outputs)


def test_flat_rois():
    head = BoxHead(3, units=6)
    logits, deltas = head(X)
    flat_logits, flat_deltas = head(X.reshape(10, 3, 3, 4))
    np.testing.assert_allclose(flat_logits, logits.numpy().reshape(10, 4), atol=1e-6)
    np.testing.assert_allclose(flat_deltas, deltas.numpy().reshape(10, 4), atol=1e-6)


def test_convolutions_with_group_normalisation():
    head = BoxHead(3, num_convs=4, conv_channels=32, num_fcs=1, units=6, norm="group")
    head(X)
    shapes = [tuple(weight.shape) for weight in head.trainable_variables]
    assert shapes.count((3, 3, 32, 32)) == 3
    assert (3, 3, 4, 32) in shapes
    assert shapes.count((32,)) == 8  # gamma and beta, no biases
    assert (288, 6) in shapes
    # The normalisation undoes the scale of the features.
    for one, other in zip(head(X), head(100 * X), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)


def test_new_heads_start_near_zero():
    head = BoxHead(3)
    logits, deltas = head(X)
    assert np.abs(logits).max() < 0.5
    assert np.abs(deltas).max() < 0.05
    assert not head.classifier.bias.numpy().any()


def test_wrong_number_of_classes():
    with pytest.raises(ValueError, match="num_classes must be at least 1, got 0"):
        BoxHead(0)
