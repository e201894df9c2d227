"""R-FCN and its cascade on a ResNet (Tables 6 and 11): stages that share everything but three convolutions.

The settings are those of the authors' Caffe networks for COCO, with this package's continuous boxes.
"""

from __future__ import annotations

from cascade_tf.backbones import ResNet
from cascade_tf.heads import PositionSensitiveHead, cascade
from cascade_tf.layers import DetectionOutput
from cascade_tf.models.faster_rcnn import CAFFE_PIXELS
from cascade_tf.models.two_stage import two_stage
from cascade_tf.parts import part
from cascade_tf.pooling import PSROIPool
from cascade_tf.proposals import LevelProposals

cascade_rfcn = part(
    two_stage,
    backbone=part(ResNet, depth=50, dilate_res5=True, stem_pool="caffe", levels=("C4", "C5")),
    neck=None,
    proposals=part(
        LevelProposals,
        levels=("C4",),
        score_threshold_train=0.05,
        pre_nms_train=4000,
        pre_nms_test=3000,
    ),
    heads=part(
        cascade,
        ious=(0.5, 0.6, 0.7),
        head=part(PositionSensitiveHead, level="C5", background_offsets=True),
        pooling=part(PSROIPool, output_size=7, stride=16),
        round_statistics=True,
        num_samples=256,
    ),
    output=part(DetectionOutput, score_threshold=0.001),
    inputs=CAFFE_PIXELS,
    short_side=600,
    max_side=1000,
)
"""Cascade R-FCN; ``backbone.depth`` is 50 or 101."""

rfcn = cascade_rfcn.replace({"heads.ious": (0.5,)})
"""R-FCN, the baseline."""
