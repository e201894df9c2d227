"""A step on two replicas against the same step on the mean of their gradients."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.models.replica_gradients import apply_mean_gradients

# Of each replica for a matrix and a vector: of other lengths and directions, so that clipping each is wrong.
GRADIENTS = (
    (np.float32([[3, -1], [0, 2]]), np.float32([0.5, -4])),
    (np.float32([[-1, 0], [8, 2]]), np.float32([1.5, 0])),
)


def own_gradients(strategy, gradients):
    """The gradients of each replica as values of the strategy."""
    return [
        strategy.experimental_distribute_values_from_function(
            lambda context, n=n: tf.constant(gradients[context.replica_id_in_sync_group][n])
        )
        for n in range(len(gradients[0]))
    ]


def after_two_steps(strategy, gradients, scale=None, **settings):
    with strategy.scope():
        variables = [keras.Variable(np.ones_like(one), name=f"v{n}") for n, one in enumerate(gradients[0])]
        unused = keras.Variable(np.ones(2, np.float32), name="unused")
        optimizer = keras.optimizers.SGD(0.1, momentum=0.9, **settings)
        if scale is not None:
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=scale)
        optimizer.build([*variables, unused])

    def one_step(*mine):
        scaled = [optimizer.scale_loss(value) for value in mine]
        apply_mean_gradients(optimizer, [*scaled, None], [*variables, unused])

    run = tf.function(lambda *values: strategy.run(one_step, values), autograph=False)
    for _ in range(2):
        run(*own_gradients(strategy, gradients))
    np.testing.assert_array_equal(unused, np.ones(2))
    assert optimizer.iterations.numpy() == 2
    return [variable.numpy() for variable in variables]


@pytest.mark.filterwarnings("ignore:Gradients do not exist for variables")
@pytest.mark.parametrize("scale", [None, 64.0], ids=["plain", "scaled"])
@pytest.mark.parametrize(
    "clipping",
    [{}, {"global_clipnorm": 1.5}, {"clipnorm": 1.25}, {"clipvalue": 0.75}],
    ids=["free", "global_clipnorm", "clipnorm", "clipvalue"],
)
def test_two_replicas_take_the_step_of_their_mean(clipping, scale, two_replicas):
    mean = [np.mean(values, axis=0) for values in zip(*GRADIENTS, strict=True)]
    expected = after_two_steps(tf.distribute.get_strategy(), [mean], **clipping)
    values = after_two_steps(two_replicas, GRADIENTS, scale, **clipping)
    for value, other in zip(values, expected, strict=True):
        np.testing.assert_allclose(value, other, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:Gradients do not exist for variables")
def test_an_overflow_on_one_replica_costs_both_the_step(two_replicas):
    wild = (GRADIENTS[0], tuple(np.full_like(one, np.inf) for one in GRADIENTS[1]))
    with two_replicas.scope():
        variable = keras.Variable(np.ones((2, 2), np.float32))
        optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1), initial_scale=64.0)
        optimizer.build([variable])

    def one_step(mine):
        apply_mean_gradients(optimizer, [mine], [variable])

    run = tf.function(lambda value: two_replicas.run(one_step, (value,)), autograph=False)
    run(own_gradients(two_replicas, wild)[0])
    np.testing.assert_array_equal(variable, np.ones((2, 2)))
    assert optimizer.dynamic_scale.numpy() == 32.0
