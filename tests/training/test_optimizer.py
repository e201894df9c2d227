"""The optimizer against NumPy's ten lines of the same law."""

from __future__ import annotations

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.training.optimizer import MomentumSGD, make_optimizer
from cascade_tf.training.settings import TrainConfig

# One float32 rounding per operation, three updates.
TOLERANCE = 1e-6


def sgd_in_numpy(weights, gradients, rates, momentum, l2):
    velocity = np.zeros_like(weights)
    for gradient, rate in zip(gradients, rates, strict=True):
        velocity = momentum * velocity + gradient + l2 * weights
        weights = weights - rate * velocity
    return weights


def variables():
    layer = keras.layers.Dense(3, name="dense")
    norm = keras.layers.LayerNormalization(name="norm")
    layer.build((None, 2))
    norm.build((None, 3))
    for v in layer.variables + norm.variables:
        v.assign(np.random.default_rng(1).normal(size=v.shape))
    return layer.trainable_variables + norm.trainable_variables


@pytest.mark.parametrize("decay_biases", [True, False])
def test_weight_decay_is_an_l2_gradient_and_spares_norms(decay_biases):
    settings = TrainConfig(
        learning_rate=0.1, batch_size=16, warmup_steps=2, warmup_factor=0.5, decay_steps=(), weight_decay=0.3,
        decay_biases=decay_biases,
    )  # fmt: skip
    optimizer = make_optimizer(settings)
    tensors = variables()
    start = [v.numpy() for v in tensors]
    random = np.random.default_rng(2)
    gradients = [[random.normal(size=v.shape).astype(np.float32) for v in tensors] for _ in range(3)]
    optimizer.build(tensors)
    for step in gradients:
        optimizer.apply([tf.constant(g) for g in step], tensors)
    decays = {"kernel": 0.3, "bias": 0.3 if decay_biases else 0.0, "gamma": 0.0, "beta": 0.0}
    for i, variable in enumerate(tensors):
        expected = sgd_in_numpy(
            start[i], [g[i] for g in gradients], [0.05, 0.075, 0.1], 0.9, decays[variable.name]
        )
        np.testing.assert_allclose(variable.numpy(), expected, atol=TOLERANCE)


def test_patterns_choose_who_decays_and_who_learns_twice_as_fast():
    settings = TrainConfig(
        learning_rate=0.1, batch_size=16, warmup_steps=0, decay_steps=(), momentum=0.9, weight_decay=0.3,
        undecayed=("*/fc?/bias",), doubled=("bias", "*/stem/kernel"),
    )  # fmt: skip
    paths = {
        "net/heads/fc1/bias": (2.0, 0.0),
        "net/heads/fc1/kernel": (1.0, 0.3),
        "net/heads/classifier/bias": (2.0, 0.3),
        "net/stem/kernel": (2.0, 0.3),
        "net/stem/gamma": (1.0, 0.0),
    }
    optimizer = make_optimizer(settings)
    tensors = []
    for path in paths:
        with contextlib.ExitStack() as scopes:
            *outer, name = path.split("/")
            for part in outer:
                scopes.enter_context(keras.name_scope(part))
            tensors.append(keras.Variable([0.5, -2.0], name=name))
    assert [variable.path for variable in tensors] == list(paths)
    optimizer.build(tensors)
    for _ in range(2):
        optimizer.apply([tf.constant([1.0, 3.0]) for _ in tensors], tensors)
    start, gradient = np.float32([0.5, -2.0]), np.float32([1.0, 3.0])
    for variable, (factor, decay) in zip(tensors, paths.values(), strict=True):
        expected = sgd_in_numpy(start, [gradient] * 2, [0.1 * factor] * 2, 0.9, decay)
        np.testing.assert_allclose(variable.numpy(), expected, atol=TOLERANCE)


def test_gate_zero_changes_nothing_and_gate_one_is_plain():
    gated, plain = MomentumSGD(0.1, 0.9, 0.2), MomentumSGD(0.1, 0.9, 0.2)
    a, b = keras.Variable([1.0, 2.0], name="kernel"), keras.Variable([1.0, 2.0], name="kernel")
    gated.build([a])
    plain.build([b])
    for gate in (1.0, 0.0, 1.0):
        gated.update_step(tf.constant([0.5, -0.5]) * gate, a, 0.1, gate=gate)
        if gate:
            plain.update_step(tf.constant([0.5, -0.5]), b, 0.1)
    np.testing.assert_array_equal(a.numpy(), b.numpy())
    np.testing.assert_array_equal(gated.velocities[0].numpy(), plain.velocities[0].numpy())


def test_a_lower_rate_acts_at_once():
    optimizer = MomentumSGD(0.1, 0.9)
    weight = keras.Variable([0.0], name="kernel")
    optimizer.build([weight])
    optimizer.update_step(tf.constant([1.0]), weight, 1.0)
    optimizer.update_step(tf.constant([0.0]), weight, 0.01)
    np.testing.assert_allclose(weight.numpy(), [-1.0 - 0.01 * 0.9], rtol=TOLERANCE)


def test_serialisation_keeps_every_setting():
    optimizer = make_optimizer(
        TrainConfig(decay_biases=False, momentum=0.8, weight_decay=0.02, undecayed=("a",), doubled=("b",))
    )
    copy = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert isinstance(copy, MomentumSGD)
    assert (copy.momentum, copy.l2) == (0.8, 0.02)
    assert (copy.undecayed, copy.doubled) == (("gamma", "beta", "bias", "a"), ("b",))
    assert copy.get_config() == optimizer.get_config()


def test_keras_decay_is_refused():
    with pytest.raises(ValueError, match="expected none: this optimizer decays by l2"):
        MomentumSGD(weight_decay=1e-4)


def test_it_trains_a_compiled_keras_model():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(optimizer=MomentumSGD(0.05, 0.9, 1e-4), loss="mse")
    x = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)
    y = x @ np.float32([[2.0], [-1.0]])
    history = model.fit(x, y, batch_size=16, epochs=20, verbose=0).history["loss"]
    assert history[-1] < 0.01 * history[0]
