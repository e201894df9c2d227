"""Two replicas with half of the batch each compute what one device computes."""

from __future__ import annotations

import pytest
import tensorflow as tf

from tests.conformance.catalogue import DETECTORS, GRAPHS
from tests.conformance.compare import assert_equal
from tests.conformance.sample_inputs import BATCH, SIZES, targets

# Convolutions over one image and over two add up in another order.
TOLERANCE = 2e-5


@pytest.mark.parametrize("name", GRAPHS)
def test_each_replica_computes_its_part(name, two_devices):
    subject = GRAPHS[name]
    expected = subject.shared()(*subject.inputs(*SIZES[0]))
    strategy = tf.distribute.MirroredStrategy(two_devices)
    with strategy.scope():
        layer = subject.make()
    parts = _distribute(strategy, subject.inputs(*SIZES[0]))
    outputs = strategy.run(tf.function(lambda *inputs: layer(*inputs), autograph=False), parts)
    flat = [strategy.experimental_local_results(value) for value in tf.nest.flatten(outputs)]
    for replica in range(BATCH):
        mine = [results[replica] for results in flat]
        assert_equal(mine, [_part(value, replica) for value in tf.nest.flatten(expected)], TOLERANCE)


@pytest.mark.parametrize("name", ["cascade_rcnn_fpn"])
def test_rpn_losses_of_the_replicas_average_to_the_loss_of_the_batch(name, two_devices):
    subject = DETECTORS[name]
    inputs = (subject.inputs(*SIZES[0])[0], targets(*SIZES[0]))
    expected = subject.shared().compute_losses(*inputs)[0]
    strategy = tf.distribute.MirroredStrategy(two_devices)
    with strategy.scope():
        detector = subject.make()
    losses = strategy.run(lambda *part: detector.compute_losses(*part)[0], _distribute(strategy, inputs))
    assert losses.keys() == expected.keys()
    for key in ("rpn_objectness", "rpn_box"):
        mean = strategy.reduce("MEAN", losses[key], axis=None)
        tf.debugging.assert_near(mean, expected[key], TOLERANCE, TOLERANCE)


def _part(value, replica):
    """Anchors have no batch axis: every replica has all of them."""
    return value[replica : replica + 1] if value.shape[0] == BATCH else value


def _distribute(strategy, inputs):
    flat = [
        strategy.experimental_distribute_values_from_function(
            lambda context, value=value: tf.convert_to_tensor(
                value[context.replica_id_in_sync_group : context.replica_id_in_sync_group + 1]
            )
        )
        for value in tf.nest.flatten(inputs)
    ]
    return tf.nest.pack_sequence_as(inputs, flat)
