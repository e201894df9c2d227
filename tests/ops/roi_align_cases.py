"""What the tests of RoIAlign share."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from cascade_tf.ops import roi_align

IMPLEMENTATIONS = ["custom", "tensorflow"]
# The twin computes positions in normalised coordinates: a rounding error of 1e-5 cells times the slope of the
# map.
TOLERANCE = 1e-4
STRIDES = (4, 8, 16)


def pool_with_gradient(features, boxes, upstream, **settings):
    features = [tf.constant(feature) for feature in features]
    with tf.GradientTape() as tape:
        tape.watch(features)
        pooled = roi_align(features, boxes, **settings)
        loss = tf.reduce_sum(pooled * upstream)
    return pooled, tape.gradient(loss, features)


def pyramid(rng, batch=2, size=(64, 96), channels=3, strides=STRIDES):
    return [
        rng.standard_normal((batch, size[0] // s, size[1] // s, channels)).astype(np.float32) for s in strides
    ]


def random_boxes(rng, batch, count, size=(64, 96)):
    corner = rng.uniform(-20, 1, (batch, count, 2)) * 1.0 + rng.uniform(0, 1, (batch, count, 2)) * size[::-1]
    extent = np.exp(rng.uniform(0, 4.5, (batch, count, 2)))
    return np.concatenate([corner, corner + extent], axis=-1).astype(np.float32)
