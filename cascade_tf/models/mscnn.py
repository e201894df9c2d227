"""MS-CNN and its cascade on VGG16, for KITTI, CityPersons and WIDER FACE (Tables 12 to 14).

The settings are those of the authors' networks (zhaoweicai/mscnn), in the second of their two steps of
training, with this package's continuous boxes. At test the authors keep every box that suppression leaves,
here the best thousand are kept, since outputs have a fixed size.
"""

from __future__ import annotations

from cascade_tf.backbones import VGG16
from cascade_tf.heads import ConvFCHead, cascade
from cascade_tf.layers import DetectionOutput
from cascade_tf.models.faster_rcnn import CAFFE_PIXELS
from cascade_tf.models.two_stage import two_stage
from cascade_tf.necks import ScaleMaps
from cascade_tf.parts import part
from cascade_tf.pooling import GridROIAlign, ROIPool
from cascade_tf.proposals import BranchProposals
from cascade_tf.proposals import branch_settings as branches

cascade_mscnn_kitti = part(
    two_stage,
    backbone=part(VGG16, levels=("C4", "C5")),
    neck=part(ScaleMaps),
    proposals=part(BranchProposals),
    heads=part(
        cascade,
        ious=(0.5, 0.6, 0.7),
        head=part(ConvFCHead, background_offsets=True),
        pooling=part(ROIPool, output_size=7, level="P2", stride=4, context_ratio=0.25),
        round_statistics=True,
        num_samples=64,
        background_range=(0.1, 0.5),
        top_up=True,
        min_side=1.0,
        ensemble="last_stage",
    ),
    output=part(DetectionOutput, score_threshold=0.0, max_detections=1000),
    inputs=CAFFE_PIXELS,
    short_side=576,
    max_side=1920,
    resize="both_sides",
    size_divisor=64,
)
"""Cascade of MS-CNN for the classes of KITTI."""

mscnn_kitti = cascade_mscnn_kitti.replace(
    {
        "heads.ious": (0.5,),
        "heads.head.class_agnostic": False,
        "heads.background_range": (0.1, 0.49),
    }
)
"""MS-CNN for KITTI, the baseline, with boxes for each class."""

cascade_mscnn_citypersons = cascade_mscnn_kitti.replace(
    {
        "proposals.templates": branches.CITYPERSONS_TEMPLATES,
        "proposals.kernels": branches.CITYPERSONS_KERNELS,
        "proposals.std": (0.1, 0.1, 0.2, 0.2),
        "proposals.score_threshold_train": -10.0,
        "proposals.score_threshold_test": -3.0,
        "proposals.min_object_side": (0.0, 40.0),
        "heads.ious": (0.45, 0.65, 0.75),
        "heads.head.padding": "same",
        "heads.head.units": 2048,
        "heads.pooling.output_size": (8, 4),
        "heads.num_samples": 32,
        "heads.background_range": (0.05, 0.44),
        "heads.ensemble": "last_boxes",
        "short_side": 1344,
        "max_side": 2688,
    }
)
"""Cascade of MS-CNN for CityPersons."""

mscnn_citypersons = cascade_mscnn_citypersons.replace({"heads.ious": (0.45,)})
"""MS-CNN for CityPersons, the baseline."""

mscnn_widerface = mscnn_citypersons.replace(
    {
        "backbone.freeze_at": 0,
        "neck": part(ScaleMaps, channels=None, last_pool="average"),
        "proposals": part(
            BranchProposals,
            templates=branches.WIDERFACE_TEMPLATES,
            kernels=branches.WIDERFACE_KERNELS,
            hidden=(512, 512, 512, 512),
            std=(0.1, 0.1, 0.2, 0.2),
            max_shift=1.0,
            max_growth=4.0,
            score_threshold_train=-4.0,
            score_threshold_test=-3.0,
            min_side=5.0,
            pre_nms_train=1000,
            pre_nms_test=3000,
            min_object_side=8.0,
        ),
        "heads.pooling.output_size": 5,
        "heads.num_samples": 128,
        "output": part(DetectionOutput, score_threshold=0.05, nms_iou=0.3, max_detections=1000),
        "max_side": 3072,
        "resize": "none",
        "round_sides": True,
        "round_to": 32,
    }
)
"""MS-CNN for WIDER FACE, the baseline."""

cascade_mscnn_widerface = mscnn_widerface.replace(
    {
        "neck.enlarged": False,
        "heads.ious": (0.45, 0.65, 0.75),
        "heads.pooling": part(GridROIAlign, output_size=5, levels=("P3",), strides=(8,), context_ratio=0.25),
    }
)
"""Cascade of MS-CNN for WIDER FACE, whose heads read conv4_3 as it is."""
