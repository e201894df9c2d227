"""The authors' own feature pyramid, FPN+, as baseline and as cascade (Tables 1 to 6).

The settings are those of their Caffe networks, with this package's continuous boxes; 512 RoIs as in Tables 5
and 6, 256 in Tables 1 to 4.
"""

from __future__ import annotations

from cascade_tf.backbones import ResNet
from cascade_tf.heads import BoxHead, cascade
from cascade_tf.layers import DetectionOutput
from cascade_tf.models.faster_rcnn import CAFFE_PIXELS
from cascade_tf.models.two_stage import two_stage
from cascade_tf.necks import FPNPlus
from cascade_tf.parts import part
from cascade_tf.pooling import GridROIAlign
from cascade_tf.proposals import LevelProposals
from cascade_tf.proposals.anchor_shapes import FPN_PLUS_ANCHORS

cascade_rcnn_fpn_plus = part(
    two_stage,
    backbone=part(ResNet, depth=50, stem_pool="caffe"),
    neck=part(FPNPlus),
    proposals=part(
        LevelProposals,
        anchors=FPN_PLUS_ANCHORS,
        strides=(4, 8, 16, 32),
        channels=256,
        score_threshold_train=(0.05, 0.05, 0.05, 0.0),
        score_threshold_test=(0.1, 0.1, 0.05, 0.01),
        min_side=(5.0, 5.0, 15.0, 15.0),
        pre_nms_train=(1500, 1500, 1000, 1000),
        pre_nms_test=1000,
        post_nms_test=None,
        by_level=True,
        samples_per_level=64,
    ),
    heads=part(
        cascade,
        ious=(0.5, 0.6, 0.7),
        head=part(BoxHead, units=1024, background_offsets=True),
        pooling=part(GridROIAlign, output_size=7),
        round_statistics=True,
        num_samples=512,
    ),
    output=part(DetectionOutput, score_threshold=0.001),
    inputs=CAFFE_PIXELS,
    short_side=800,
    max_side=1312,
)
"""Cascade R-CNN on FPN+; ``backbone.depth`` is 50 or 101."""

faster_rcnn_fpn_plus = cascade_rcnn_fpn_plus.replace(
    {
        "heads.ious": (0.5,),
        "proposals.score_threshold_train": (0.1, 0.1, 0.05, 0.01),
        "proposals.pre_nms_train": 1000,
    }
)
"""Faster R-CNN on FPN+, the baseline."""
