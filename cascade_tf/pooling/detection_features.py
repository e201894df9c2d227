"""What the network saw at each final detection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from cascade_tf.layers.base import Layer
from cascade_tf.structures import Detections, InstanceDetections, Tensor


@keras.saving.register_keras_serializable(package="cascade_tf")
class DetectionFeatures(Layer):
    """Pools the features of every detection, for attributes and for finding an object again.

        vectors = DetectionFeatures(detector.heads.pooling)(features, detections)

    Args:
        pooling: pools boxes from the maps, a part of the kind "pooling": a detector's own, or another that
            reads the same maps.
        average: whether the cells of a box become one vector, their mean.
    """

    def __init__(self, pooling: keras.layers.Layer, average: bool = True, **kwargs: Any):
        super().__init__(autocast=False, **kwargs)
        self.pooling = pooling
        self.average = average
        self.supports_jit = False

    def build(self, input_shape: Any) -> None:
        """Creates nothing."""
        self.built = True

    def call(self, features: Mapping[str, Tensor], detections: Detections | InstanceDetections) -> Tensor:
        """Pools the boxes of the detections.

        Args:
            features: ``{"P2": [B, h, w, C], ...}``, those that the boxes were found in.
            detections: D per image, in the network's frame.

        Returns:
            [B, D, C] float32, or without ``average`` [B, D, P, P, C]; zeros in the padding.
        """
        # A functional model that comes from a file hands NamedTuples over as lists.
        found = Detections(*detections[: len(Detections._fields)])
        pooled = tf.cast(self.pooling(features, found.boxes), tf.float32)
        values = tf.reduce_mean(pooled, axis=(2, 3)) if self.average else pooled
        missing = [None] * (values.shape.rank - found.valid.shape.rank)
        return tf.where(found.valid[(..., *missing)], values, 0.0)
