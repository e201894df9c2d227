"""``fit`` on two replicas trains as ``fit`` on one device does with the same batches."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.models import cascade_rcnn_fpn
from tests.models.examples import build, ground_truth, image_batch

# Backward passes sum in another order where batches are halved.
TOLERANCE = 1e-5


def data():
    """Batches of two different images; the boxes to learn from are drawn anew in each."""
    batches = [(image_batch(seed=n), ground_truth(seeds=[[n, 1], [n, 2]])) for n in range(3)]
    return tf.data.Dataset.from_tensor_slices(
        tf.nest.map_structure(lambda *values: tf.stack(values), *batches)
    )


def train(strategy):
    keras.utils.set_random_seed(5)
    with strategy.scope():
        detector = build(cascade_rcnn_fpn)
        detector.compile(keras.optimizers.SGD(0.02, momentum=0.9, weight_decay=0.01, global_clipnorm=1.0))
    start = detector.get_weights()
    return start, detector.fit(data(), epochs=2, verbose=0).history, detector.get_weights()


@pytest.mark.slow
def test_weights_are_those_of_one_device(two_replicas):
    _, expected, ours = train(tf.distribute.get_strategy())
    start, history, weights = train(two_replicas)
    for value, other in zip(weights, ours, strict=True):
        np.testing.assert_allclose(value, other, rtol=TOLERANCE, atol=TOLERANCE)
    assert max(np.max(np.abs(new - old)) for new, old in zip(weights, start, strict=True)) > 1e-3
    assert history.keys() == expected.keys()
    # An image without foreground but its objects' own boxes counts in the overlaps, and here it is alone.
    for name in (name for name in history if "_iou_" not in name):
        np.testing.assert_allclose(history[name], expected[name], rtol=1e-4, atol=1e-6, err_msg=name)
