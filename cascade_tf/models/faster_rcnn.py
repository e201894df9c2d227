"""Faster R-CNN on a single map, of VGG16 or of AlexNet, and its cascade (Tables 6 and 11).

The settings are those of the authors' Caffe networks, VGG16's for COCO and AlexNet's for VOC, with this
package's continuous boxes; every regressor is class-agnostic. The backbones' fully connected layers head the
stages, pruned to 2048 units; ``load_backbone`` starts them with ImageNet's.
"""

from __future__ import annotations

from cascade_tf.backbones import VGG16, AlexNet
from cascade_tf.heads import BoxHead, cascade
from cascade_tf.layers import DetectionOutput, PixelNormalization
from cascade_tf.models.two_stage import two_stage
from cascade_tf.parts import part
from cascade_tf.pooling import ROIPool
from cascade_tf.proposals import LevelProposals
from cascade_tf.proposals.anchor_shapes import VOC_ANCHORS

CAFFE_PIXELS = part(PixelNormalization, order="BGR", mean=(104.0, 117.0, 123.0), std=(1.0, 1.0, 1.0))
"""What the authors' Caffe networks take for normalised pixels."""

cascade_rcnn_vgg16 = part(
    two_stage,
    backbone=part(VGG16, levels=("C5",)),
    neck=None,
    proposals=part(LevelProposals),
    heads=part(
        cascade,
        ious=(0.5, 0.6, 0.7),
        head=part(BoxHead, units=2048, background_offsets=True),
        pooling=part(ROIPool, output_size=7, stride=16),
        round_statistics=True,
        num_samples=128,
    ),
    output=part(DetectionOutput, score_threshold=0.001),
    inputs=CAFFE_PIXELS,
    short_side=600,
    max_side=1000,
)
"""Cascade R-CNN on conv5_3 of VGG16."""

faster_rcnn_vgg16 = cascade_rcnn_vgg16.replace({"heads.ious": (0.5,)})
"""Faster R-CNN on VGG16, the baseline."""

cascade_rcnn_alexnet = cascade_rcnn_vgg16.replace(
    {
        "backbone": part(AlexNet, levels=("C5",)),
        "proposals": part(
            LevelProposals,
            anchors=(VOC_ANCHORS,),
            min_side=15.0,
            pre_nms_train=3000,
            max_outside=None,
            min_object_side=0.0,
        ),
        "heads.pooling.output_size": 6,
        "output": part(DetectionOutput, score_threshold=0.1, nms_iou=0.3),
    }
)
"""Cascade R-CNN on conv5 of AlexNet."""

faster_rcnn_alexnet = cascade_rcnn_alexnet.replace({"heads.ious": (0.5,)})
"""Faster R-CNN on AlexNet, the baseline."""
