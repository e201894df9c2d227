"""Recomputed activations on two replicas."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from cascade_tf.training.distribution import batch_signature
from cascade_tf.training.optimizer import MomentumSGD
from cascade_tf.training.step import UpdateStep
from tests.conformance.sample_inputs import image_batch, targets
from tests.models.test_recomputation import SIZE, make


def test_replicas_train_as_without_it(two_replicas):
    data = tf.nest.map_structure(tf.constant, (image_batch(*SIZE), targets(*SIZE)))
    signature = batch_signature(tf.nest.map_structure(tf.TensorSpec.from_tensor, data), 2)
    norms = []
    for recompute in (False, True):
        with two_replicas.scope():
            detector = make("frozen", **{"*.recompute": recompute})
            step = UpdateStep(detector, MomentumSGD(0.01), two_replicas, signature, clip_norm=1.0)
        norms.append([float(step(*data).gradient_norm) for _ in range(2)])
    np.testing.assert_allclose(norms[1], norms[0], rtol=1e-4)
