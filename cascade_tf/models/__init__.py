"""Whole detectors: the model class, its composition of parts, and one recipe per family."""

from cascade_tf.models.detector import TwoStageDetector
from cascade_tf.models.fast_rcnn import fast_cascade_rcnn_fpn, fast_rcnn_fpn
from cascade_tf.models.faster_rcnn import (
    cascade_rcnn_alexnet,
    cascade_rcnn_vgg16,
    faster_rcnn_alexnet,
    faster_rcnn_vgg16,
)
from cascade_tf.models.fpn import cascade_mask_rcnn_fpn, cascade_rcnn_fpn, faster_rcnn_fpn, mask_rcnn_fpn
from cascade_tf.models.fpn_plus import cascade_rcnn_fpn_plus, faster_rcnn_fpn_plus
from cascade_tf.models.mscnn import (
    cascade_mscnn_citypersons,
    cascade_mscnn_kitti,
    cascade_mscnn_widerface,
    mscnn_citypersons,
    mscnn_kitti,
    mscnn_widerface,
)
from cascade_tf.models.rfcn import cascade_rfcn, rfcn
from cascade_tf.models.rpn import rpn_fpn
from cascade_tf.models.two_stage import two_stage

__all__ = [
    "TwoStageDetector",
    "cascade_mask_rcnn_fpn",
    "cascade_mscnn_citypersons",
    "cascade_mscnn_kitti",
    "cascade_mscnn_widerface",
    "cascade_rcnn_alexnet",
    "cascade_rcnn_fpn",
    "cascade_rcnn_fpn_plus",
    "cascade_rcnn_vgg16",
    "cascade_rfcn",
    "fast_cascade_rcnn_fpn",
    "fast_rcnn_fpn",
    "faster_rcnn_alexnet",
    "faster_rcnn_fpn",
    "faster_rcnn_fpn_plus",
    "faster_rcnn_vgg16",
    "mask_rcnn_fpn",
    "mscnn_citypersons",
    "mscnn_kitti",
    "mscnn_widerface",
    "rfcn",
    "rpn_fpn",
    "two_stage",
]
