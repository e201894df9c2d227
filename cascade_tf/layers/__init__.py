"""Keras layers; every setting is a constructor argument and every layer serialises."""

from cascade_tf.layers.box_heads import BoxHead
from cascade_tf.layers.cascade import CascadeHeads, Stage
from cascade_tf.layers.deformable_convolution import DeformableConv2D
from cascade_tf.layers.detection_output import DetectionOutput
from cascade_tf.layers.feature_pyramid import FPN
from cascade_tf.layers.grouped_convolution import GroupedConv2D
from cascade_tf.layers.image_inputs import PixelNormalization
from cascade_tf.layers.mask_head import MaskHead
from cascade_tf.layers.normalization import FrozenBatchNormalization, GroupNormalization
from cascade_tf.layers.region_proposal import RegionProposal
from cascade_tf.layers.roi_features import ROIAlign

__all__ = [
    "FPN",
    "BoxHead",
    "CascadeHeads",
    "DeformableConv2D",
    "DetectionOutput",
    "FrozenBatchNormalization",
    "GroupNormalization",
    "GroupedConv2D",
    "MaskHead",
    "PixelNormalization",
    "ROIAlign",
    "RegionProposal",
    "Stage",
]
