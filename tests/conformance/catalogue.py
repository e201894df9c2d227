"""Every public layer and recipe once: how to construct it and what to call it with.

A property of layers is one short file beside this one, parametrised by ``LAYERS`` (or ``DETECTORS``); a new
layer gets all properties by a new entry here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from cascade_tf import heads, layers, necks, pooling
from cascade_tf import proposals as proposal_generators
from cascade_tf.backbones import VGG16, AlexNet, ResNet
from cascade_tf.models import (
    cascade_mask_rcnn_fpn,
    cascade_mscnn_kitti,
    cascade_rcnn_alexnet,
    cascade_rcnn_fpn,
    cascade_rcnn_fpn_plus,
    cascade_rcnn_vgg16,
    cascade_rfcn,
    faster_rcnn_fpn,
    rpn_fpn,
)
from cascade_tf.parts import Part
from cascade_tf.structures import ImageBatch
from tests.conformance.sample_inputs import (
    BATCH,
    CHANNELS,
    NUM_CLASSES,
    SIZES,
    boxes,
    detections,
    image_batch,
    image_size,
    proposals,
    pyramid,
    random,
)

TINY = {
    "backbone.depth": 14,
    "backbone.width": 0.125,
    "backbone.norm": "group",
    "neck.norm": "group",
    "backbone.freeze_at": 0,
    "neck.channels": 32,
    "heads.head.units": 16,
    "proposals.anchor_sizes": (8, 16, 32, 64, 128),
    "proposals.pre_nms_train": 60,
    "proposals.pre_nms_test": 50,
    "proposals.post_nms_train": 40,
    "proposals.post_nms_test": 30,
    "heads.num_samples": 16,
    "output.max_detections": 10,
    "output.score_threshold": 0.0,
    "short_side": 64,
    "max_side": 96,
    "*.implementation": "tensorflow",
}

# Of the authors' networks, whose anchors are listed and whose limits may be one for each level.
TINY_CAFFE = {
    **{name: TINY[name] for name in ("output.max_detections", "output.score_threshold")},
    **{name: TINY[name] for name in ("short_side", "max_side", "*.implementation")},
    "proposals.channels": 8,
    "proposals.score_threshold_train": 0.0,
    "proposals.score_threshold_test": 0.0,
    "proposals.pre_nms_train": 60,
    "proposals.pre_nms_test": 50,
    "proposals.post_nms_test": 30,
    "heads.num_samples": 16,
}
TINY_MSCNN = {
    **{name: TINY[name] for name in ("output.max_detections", "output.score_threshold")},
    **{name: TINY[name] for name in ("short_side", "max_side", "*.implementation")},
    "backbone.channels": (4, 4, 8, 8, 8),
    "neck.channels": 8,
    "proposals.templates": (((12.0, 12.0),), ((24.0, 24.0),), ((48.0, 48.0),), ((64.0, 64.0),)),
    "proposals.kernels": (((3, 3),),) * 4,
    "proposals.hidden": (8, None, None, None),
    "proposals.min_side": 2.0,
    "proposals.min_object_side": 0.0,
    "proposals.pre_nms_train": 60,
    "proposals.pre_nms_test": 50,
    "proposals.post_nms_test": 30,
    "heads.head.channels": 8,
    "heads.head.units": 16,
    "heads.num_samples": 16,
}
TINY_RESNET = {name: TINY[name] for name in ("backbone.depth", "backbone.norm", "backbone.width")}


@dataclass(frozen=True)
class Subject:
    """One entry of the catalogue.

    Attributes:
        construct: makes the layer, not built.
        inputs: (height, width) -> the arguments of its call, arrays whose first axis has ``BATCH`` entries.
    """

    construct: Callable[[], Any]
    inputs: Callable[[int, int], tuple[Any, ...]]

    def make(self) -> Any:
        """The layer with its variables, the same numbers every time."""
        keras.utils.set_random_seed(7)
        layer = self.construct()
        layer(*self.inputs(*SIZES[0]))
        return layer

    def shared(self) -> Any:
        """As ``make``, but one for all tests of a process, which leave it as it is. For float32 alone."""
        return _make_once(self)


@functools.cache
def _make_once(subject: Subject) -> Any:
    return subject.make()


def _backbone_features(height: int, width: int) -> dict[str, np.ndarray]:
    return {f"C{name[1]}": value for name, value in pyramid(height, width, ("P2", "P3", "P4", "P5")).items()}


def _head(**settings: Any) -> heads.BoxHead:
    return heads.BoxHead(NUM_CLASSES, units=12, **settings)


def _cascade(class_agnostic: bool = True, **settings: Any) -> heads.CascadeHeads:
    stages = [
        heads.Stage(
            _head(class_agnostic=class_agnostic, name=f"head{number}"),
            iou=0.4 + 0.1 * number,
            std=(0.1 / number, 0.1 / number, 0.2 / number, 0.2 / number),
            weight=0.5 ** (number - 1),
            num_samples=8 if number == 1 else None,
            name=f"stage{number}",
        )
        for number in (1, 2, 3)
    ]
    return heads.CascadeHeads(
        stages, pooling.ROIAlign(output_size=3, implementation="tensorflow", name="roi_align"), **settings
    )


def _position_sensitive_cascade() -> heads.CascadeHeads:
    stages = [
        heads.Stage(
            heads.PositionSensitiveHead(NUM_CLASSES, channels=6, level="P4", name=f"head{number}"),
            weight=0.5 ** (number - 1),
            num_samples=8 if number == 1 else None,
            name=f"stage{number}",
        )
        for number in (1, 2)
    ]
    return heads.CascadeHeads(stages, pooling.PSROIPool(3, implementation="tensorflow", name="ps_roi_pool"))


def _pooled(height: int, width: int) -> np.ndarray:
    return random(BATCH, (height + width) // 16, 3, 3, CHANNELS)


def _detection_inputs(height: int, width: int) -> tuple[Any, ...]:
    some = proposals(height, width)
    probabilities = tf.nn.softmax(random(BATCH, 12, NUM_CLASSES + 1, seed=6, scale=2.0)).numpy()
    return some.boxes[:, :, None], probabilities, some.valid, image_size(height, width)


LAYERS: dict[str, Subject] = {
    "AlexNet": Subject(lambda: AlexNet((4, 8, 8, 8, 6)), lambda h, w: (random(BATCH, h, w, 3, scale=50.0),)),
    "BoxHead": Subject(_head, lambda h, w: (_pooled(h, w),)),
    "BoxHead-convolutions": Subject(
        lambda: _head(class_agnostic=False, num_convs=2, conv_channels=32, num_fcs=1, norm="group"),
        lambda h, w: (_pooled(h, w),),
    ),
    "BranchProposals": Subject(
        lambda: proposal_generators.BranchProposals(
            NUM_CLASSES,
            templates=(((16.0, 16.0), (24.0, 32.0)), ((48.0, 48.0),), ((64.0, 64.0),)),
            kernels=(((3, 3), (5, 3)), ((1, 1),), ((3, 3),)),
            strides=(8, 16, 32),
            levels=("P3", "P4", "P5"),
            hidden=(6, None, None),
            branch_weights=(0.9, 1.0, 1.0),
            score_threshold_test=-10.0,
            min_side=4.0,
            pre_nms_test=40,
            post_nms_test=25,
            implementation="tensorflow",
        ),
        lambda h, w: (pyramid(h, w), image_size(h, w)),
    ),
    "CascadeHeads": Subject(_cascade, lambda h, w: (pyramid(h, w), proposals(h, w), image_size(h, w))),
    "CascadeHeads-class_aware": Subject(
        lambda: _cascade(class_agnostic=False, clip_boxes=True, ensemble="own_boxes"),
        lambda h, w: (pyramid(h, w), proposals(h, w), image_size(h, w)),
    ),
    "CascadeHeads-iterated": Subject(
        lambda: heads.CascadeHeads(
            [heads.Stage(_head(class_agnostic=False), num_samples=8)],
            pooling.ROIAlign(output_size=3, implementation="tensorflow"),
            ensemble="own_boxes",
            iterations=3,
        ),
        lambda h, w: (pyramid(h, w), proposals(h, w), image_size(h, w)),
    ),
    "CascadeHeads-position_sensitive": Subject(
        _position_sensitive_cascade,
        lambda h, w: (pyramid(h, w, ("P4", "P5")), proposals(h, w), image_size(h, w)),
    ),
    "ConvFCHead": Subject(
        lambda: heads.ConvFCHead(NUM_CLASSES, channels=6, units=12), lambda h, w: (_pooled(h, w),)
    ),
    "DeformableConv2D": Subject(
        lambda: layers.DeformableConv2D(6, strides=2, groups=2),
        lambda h, w: (random(BATCH, h // 4, w // 4, 8),),
    ),
    "DetectionFeatures": Subject(
        lambda: pooling.DetectionFeatures(pooling.ROIAlign(output_size=3, implementation="tensorflow")),
        lambda h, w: (pyramid(h, w), detections(h, w)),
    ),
    "DetectionOutput": Subject(
        lambda: layers.DetectionOutput(max_detections=9, implementation="tensorflow"), _detection_inputs
    ),
    "DetectionOutput-soft": Subject(
        lambda: layers.DetectionOutput(
            max_detections=9, soft_nms="gaussian", soft_sigma=0.4, implementation="tensorflow"
        ),
        _detection_inputs,
    ),
    "DilatedConv2D": Subject(
        lambda: layers.DilatedConv2D(6, 3, dilation_rate=2, padding="same"),
        lambda h, w: (random(BATCH, h // 4, w // 4, 8),),
    ),
    "FPN": Subject(lambda: necks.FPN(6), lambda h, w: (_backbone_features(h, w),)),
    "FPN-group": Subject(lambda: necks.FPN(32, norm="group"), lambda h, w: (_backbone_features(h, w),)),
    "ScaleMaps": Subject(lambda: necks.ScaleMaps(6), lambda h, w: (pyramid(h, w, ("P3", "P4")),)),
    "FPNPlus": Subject(lambda: necks.FPNPlus(6), lambda h, w: (_backbone_features(h, w),)),
    "FrozenBatchNormalization": Subject(
        layers.FrozenBatchNormalization, lambda h, w: (random(BATCH, h // 4, w // 4, 5),)
    ),
    "GridROIAlign": Subject(
        lambda: pooling.GridROIAlign(output_size=3, implementation="tensorflow"),
        lambda h, w: (pyramid(h, w), boxes(10, h, w)),
    ),
    "GivenProposals": Subject(
        lambda: proposal_generators.GivenProposals(limit_test=7),
        lambda h, w: (proposals(h, w), image_size(h, w)),
    ),
    "GroupNormalization": Subject(
        lambda: layers.GroupNormalization(groups=2), lambda h, w: (random(BATCH, h // 4, w // 4, 6),)
    ),
    "GroupedConv2D": Subject(
        lambda: layers.GroupedConv2D(8, 3, strides=2, groups=4),
        lambda h, w: (random(BATCH, h // 4, w // 4, 12),),
    ),
    "IntegralHeads": Subject(
        lambda: heads.IntegralHeads(
            heads.Stage(_head(num_classifiers=3), num_samples=8),
            pooling.ROIAlign(output_size=3, implementation="tensorflow"),
        ),
        lambda h, w: (pyramid(h, w), proposals(h, w), image_size(h, w)),
    ),
    "IntegralHeads-own_layers": Subject(
        lambda: heads.IntegralHeads(
            heads.Stage(_head(class_agnostic=False), iou=0.4, num_samples=8),
            pooling.ROIAlign(output_size=3, implementation="tensorflow"),
            ious=(0.4, 0.6),
            further_heads=[_head(regresses=False, name="further_head")],
        ),
        lambda h, w: (pyramid(h, w), proposals(h, w), image_size(h, w)),
    ),
    "LocalResponseNormalization": Subject(
        layers.LocalResponseNormalization, lambda h, w: (random(BATCH, h // 4, w // 4, 7, scale=50.0),)
    ),
    "MaskHead": Subject(
        lambda: heads.MaskHead(NUM_CLASSES, channels=8, norm="group"), lambda h, w: (_pooled(h, w),)
    ),
    "MaskBranch": Subject(
        lambda: heads.MaskBranch(
            [heads.MaskHead(NUM_CLASSES, channels=8, num_convs=1, name=f"mask{n}") for n in (1, 2)],
            (1, 3),
            pooling.ROIAlign(output_size=3, implementation="tensorflow", name="mask_pooling"),
            name="masks",
        ),
        lambda h, w: (pyramid(h, w), boxes(10, h, w), np.tile(np.arange(10, dtype=np.int32) % 4, (BATCH, 1))),
    ),
    "PixelNormalization": Subject(
        lambda: layers.PixelNormalization("RGB", (120.0, 110.0, 100.0), (50.0, 51.0, 52.0)),
        lambda h, w: (image_batch(h, w).images, image_size(h, w)),
    ),
    "PSROIPool": Subject(
        lambda: pooling.PSROIPool(output_size=2, level="P4", implementation="tensorflow"),
        lambda h, w: (pyramid(h, w), boxes(10, h, w)),
    ),
    "ProposalsOnly": Subject(
        lambda: heads.ProposalsOnly(1), lambda h, w: (pyramid(h, w), proposals(h, w), image_size(h, w))
    ),
    "ROIAlign": Subject(
        lambda: pooling.ROIAlign(output_size=3, implementation="tensorflow"),
        lambda h, w: (pyramid(h, w), boxes(10, h, w)),
    ),
    "ROIPool": Subject(
        lambda: pooling.ROIPool(output_size=3, level="P3", stride=8, implementation="tensorflow"),
        lambda h, w: (pyramid(h, w), boxes(10, h, w)),
    ),
    "ROIPool-context": Subject(
        lambda: pooling.ROIPool(
            output_size=(4, 2), level="P3", stride=8, context_ratio=0.25, implementation="tensorflow"
        ),
        lambda h, w: (pyramid(h, w), boxes(10, h, w)),
    ),
    "LevelProposals": Subject(
        lambda: proposal_generators.LevelProposals(
            anchors=(((16.0, 16.0),), ((32.0, 16.0), (16.0, 32.0)), ((48.0, 48.0),)),
            strides=(8, 16, 32),
            levels=("P3", "P4", "P5"),
            channels=6,
            pre_nms_test=(40, 20, 9),
            post_nms_test=25,
            by_level=True,
            implementation="tensorflow",
        ),
        lambda h, w: (pyramid(h, w), image_size(h, w)),
    ),
    "RegionProposal": Subject(
        lambda: proposal_generators.RegionProposal(
            anchor_sizes=(8, 16, 32, 64, 128),
            pre_nms_test=40,
            post_nms_test=25,
            implementation="tensorflow",
        ),
        lambda h, w: (pyramid(h, w), image_size(h, w)),
    ),
    "ResNet": Subject(
        lambda: ResNet(14, norm="group", width=0.125), lambda h, w: (random(BATCH, h, w, 3, scale=50.0),)
    ),
    "ResNet-dilated": Subject(
        lambda: ResNet(14, width=0.125, dilate_res5=True, levels=("C4", "C5"), stem_pool="caffe"),
        lambda h, w: (random(BATCH, h, w, 3),),
    ),
    "ResNet-stride_in_3x3": Subject(
        lambda: ResNet(14, norm="frozen", stride_in_1x1=False, width=0.125),
        lambda h, w: (random(BATCH, h, w, 3),),
    ),
    "VGG16": Subject(
        lambda: VGG16(width=1 / 16, levels=("C4", "C5")), lambda h, w: (random(BATCH, h, w, 3, scale=50.0),)
    ),
    "Stage": Subject(
        lambda: heads.Stage(_head(), iou=0.6, std=(0.05, 0.05, 0.1, 0.1)), lambda h, w: (_pooled(h, w),)
    ),
}

CLASS_NAMES = ("square", "disc", "star")


def _images(height: int, width: int) -> tuple[ImageBatch]:
    return (image_batch(height, width),)


def _detector(recipe: Part, settings: Mapping[str, Any], names: tuple[str, ...] = CLASS_NAMES) -> Subject:
    return Subject(functools.partial(recipe, names, **settings), _images)


DETECTORS: dict[str, Subject] = {
    "cascade_mask_rcnn_fpn": Subject(
        functools.partial(
            cascade_mask_rcnn_fpn,
            CLASS_NAMES,
            (3, 5, 9),
            **{"heads.masks.stages": (1, -1), "heads.masks.head.channels": 16},
            # A block of ResNeXt.
            **{**TINY, "backbone.cardinality": 4, "backbone.width_per_group": 16},
        ),
        lambda h, w: (image_batch(h, w),),
    ),
    "cascade_rcnn_fpn": Subject(
        functools.partial(cascade_rcnn_fpn, CLASS_NAMES, (3, 5, 9), **TINY), lambda h, w: (image_batch(h, w),)
    ),
    "faster_rcnn_fpn": Subject(
        functools.partial(faster_rcnn_fpn, CLASS_NAMES, **TINY), lambda h, w: (image_batch(h, w),)
    ),
    "cascade_rcnn_vgg16": _detector(
        cascade_rcnn_vgg16,
        {**TINY_CAFFE, "backbone.channels": (4, 4, 8, 8, 8), "heads.head.units": 16},
    ),
    "cascade_rcnn_alexnet": _detector(
        cascade_rcnn_alexnet,
        {**TINY_CAFFE, "backbone.channels": (4, 8, 8, 8, 8), "heads.head.units": 16},
    ),
    "cascade_rfcn": _detector(
        cascade_rfcn, {**TINY_CAFFE, **TINY_RESNET, "heads.head.channels": 8, "heads.pooling.output_size": 3}
    ),
    "cascade_rcnn_fpn_plus": _detector(
        cascade_rcnn_fpn_plus,
        {**TINY_CAFFE, **TINY_RESNET, "neck.channels": 8, "heads.head.units": 16},
    ),
    "cascade_mscnn_kitti": _detector(cascade_mscnn_kitti, TINY_MSCNN),
    "rpn_fpn": _detector(
        rpn_fpn,
        {name: value for name, value in TINY.items() if not name.startswith("heads.")},
        ("object",),
    ),
}

EVERYTHING = {**LAYERS, **DETECTORS}
# For properties of graphs, which are slow to build: one of each kind.
GRAPHS = {
    name: subject
    for name, subject in EVERYTHING.items()
    if name
    not in (
        "CascadeHeads-class_aware",
        "FPN-group",
        "ResNet-stride_in_3x3",
        "faster_rcnn_fpn",
        "cascade_rcnn_fpn",
        "cascade_rcnn_vgg16",
        "cascade_rcnn_alexnet",
        "cascade_rcnn_fpn_plus",
        "rpn_fpn",
    )
}
