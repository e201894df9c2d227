"""Keras layers that several kinds of parts share; every setting is a constructor argument."""

from cascade_tf.layers.deformable_convolution import DeformableConv2D
from cascade_tf.layers.detection_output import DetectionOutput
from cascade_tf.layers.dilated_convolution import DilatedConv2D
from cascade_tf.layers.grouped_convolution import GroupedConv2D
from cascade_tf.layers.image_inputs import PixelNormalization
from cascade_tf.layers.local_response_normalization import LocalResponseNormalization
from cascade_tf.layers.normalization import FrozenBatchNormalization, GroupNormalization

__all__ = [
    "DeformableConv2D",
    "DetectionOutput",
    "DilatedConv2D",
    "FrozenBatchNormalization",
    "GroupNormalization",
    "GroupedConv2D",
    "LocalResponseNormalization",
    "PixelNormalization",
]
