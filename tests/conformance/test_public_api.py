"""The public names, so that a change of them is a decision and not an accident."""

from __future__ import annotations

import importlib
import inspect

import pytest

from cascade_tf.models import two_stage
from cascade_tf.parts import Part

PUBLIC = {
    "cascade_tf": [
        "TwoStageDetector",
        "__version__",
        "cascade_mask_rcnn_fpn",
        "cascade_rcnn_fpn",
        "core_ops",
        "export",
        "export_saved_model",
        "faster_rcnn_fpn",
        "load",
        "load_pretrained",
        "mask_rcnn_fpn",
    ],
    "cascade_tf.backbones": ["AlexNet", "ResNet", "VGG16"],
    "cascade_tf.heads": [
        "BoxHead",
        "CascadeHeads",
        "ConvFCHead",
        "IntegralHeads",
        "MaskBranch",
        "MaskHead",
        "PositionSensitiveHead",
        "ProposalsOnly",
        "Stage",
        "StageHead",
        "cascade",
        "integral",
        "mask_heads",
        "stage_statistics",
        "stage_weights",
    ],
    "cascade_tf.layers": [
        "DeformableConv2D",
        "DetectionOutput",
        "DilatedConv2D",
        "FrozenBatchNormalization",
        "GroupNormalization",
        "GroupedConv2D",
        "LocalResponseNormalization",
        "PixelNormalization",
    ],
    "cascade_tf.necks": ["FPN", "FPNPlus", "ScaleMaps"],
    "cascade_tf.pooling": ["DetectionFeatures", "GridROIAlign", "PSROIPool", "ROIAlign", "ROIPool"],
    "cascade_tf.proposals": ["BranchProposals", "GivenProposals", "LevelProposals", "RegionProposal"],
    "cascade_tf.models": [
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
    ],
}


@pytest.mark.parametrize("module", PUBLIC)
def test_names(module):
    assert sorted(importlib.import_module(module).__all__) == PUBLIC[module]


@pytest.mark.parametrize(("module", "name"), [(module, name) for module in PUBLIC for name in PUBLIC[module]])
def test_every_public_name_is_there_and_explained(module, name):
    value = getattr(importlib.import_module(module), name)
    if inspect.isclass(value) or inspect.isfunction(value) or inspect.ismodule(value):
        assert len(inspect.getdoc(value) or "") > 40
    elif isinstance(value, Part):
        assert value.constructor is two_stage
    else:
        assert name == "__version__"


def test_all_that_exports_is_in_one_place():
    package = importlib.import_module("cascade_tf")
    for name in ("core_ops", "export_saved_model"):
        assert getattr(package.export, name) is getattr(package, name)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'cascade_mask_rcnn'"):
        importlib.import_module("cascade_tf").cascade_mask_rcnn  # noqa: B018
