"""MMDetection's checkpoints: tensors of known values, recorded weights under its names, its architectures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cascade_tf.weights import importing
from cascade_tf.weights.families.coco_classes import COCO_CLASSES
from cascade_tf.weights.families.mmdetection import MMDETECTION
from cascade_tf.weights.importing import import_checkpoint
from cascade_tf.weights.places import places
from tests.golden import detectron2 as golden
from tests.weights import synthetic
from tests.weights.torch_writer import write_torch_zip

SMALL = replace(
    synthetic.CASCADE_THREE_MASKS, blocks=(1, 1, 1, 1), groups=2, **synthetic.SMALL, deformable=(3,), convs=1
)
TORCHVISION = {
    "inputs.order": "RGB",
    "inputs.mean": (123.675, 116.28, 103.53),
    "inputs.std": (58.395, 57.12, 57.375),
}
CAFFE = {
    "inputs.order": "BGR",
    "inputs.mean": (103.53, 116.28, 123.675),
    "inputs.std": (1.0, 1.0, 1.0),
}
FAIR = CAFFE | {"inputs.std": (57.375, 57.12, 58.395)}
# As version 2 lays its configuration out.
CONFIG_2 = """model = dict(
    type='CascadeRCNN',
    backbone=dict(
        type='ResNet',
        depth=50,
        norm_cfg=dict(type='BN', requires_grad=False),
        style='caffe'),
    rpn_head=dict(
        bbox_coder=dict(
            type='DeltaXYWHBBoxCoder',
            target_means=[0.0, 0.0, 0.0, 0.0],
            target_stds=[1.0, 1.0, 1.0, 1.0])))
img_norm_cfg = dict(
    mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0], to_rgb=False)
"""
# And version 3, with sorted keys.
CONFIG_3 = """model = dict(
    backbone=dict(
        depth=50,
        frozen_stages=1,
        style='pytorch',
        type='ResNet'),
    data_preprocessor=dict(
        bgr_to_rgb=True,
        mean=[
            123.675,
            116.28,
            103.53,
        ],
        pad_size_divisor=32,
        std=[
            58.395,
            57.12,
            57.375,
        ],
        type='DetDataPreprocessor'),
    roi_head=dict(bbox_head=[dict(bbox_coder=dict(target_stds=[0.1, 0.1, 0.2, 0.2]))]))
"""


def write(folder, arrays, meta=None):
    contents = {"state_dict": arrays} if meta is None else {"meta": meta, "state_dict": arrays}
    return write_torch_zip(folder / "epoch_12.pth", contents)


def settings_of(architecture, meta=None):
    arrays = synthetic.blank(synthetic.mmdetection_shapes(architecture))
    return MMDETECTION.settings(synthetic.checkpoint(arrays, {"meta": meta or {}}))


def mmdetection_name(name):
    """Of a tensor of a cascade with one mask head, by detectron2's name; written by hand from the formats."""
    if name.startswith("backbone.bottom_up."):
        name = name.replace("backbone.bottom_up.", "backbone.")
        if ".stem." in name:
            return name.replace("stem.conv1.norm", "bn1").replace("stem.", "")
        for stage in (2, 3, 4, 5):
            name = name.replace(f".res{stage}.", f".layer{stage - 1}.")
        name = name.replace("shortcut.norm", "downsample.1").replace("shortcut", "downsample.0")
        for conv in (1, 2, 3):
            name = name.replace(f"conv{conv}.norm", f"bn{conv}")
        return name
    for level in (2, 3, 4, 5):
        name = name.replace(f"backbone.fpn_lateral{level}", f"neck.lateral_convs.{level - 2}.conv")
        name = name.replace(f"backbone.fpn_output{level}", f"neck.fpn_convs.{level - 2}.conv")
        name = name.replace(f"mask_fcn{level - 1}", f"convs.{level - 2}.conv")
    for theirs, ours in (
        ("proposal_generator.rpn_head.conv", "rpn_head.rpn_conv"),
        ("proposal_generator.rpn_head.objectness_logits", "rpn_head.rpn_cls"),
        ("proposal_generator.rpn_head.anchor_deltas", "rpn_head.rpn_reg"),
        ("roi_heads.box_head", "roi_head.bbox_head"),
        ("roi_heads.box_predictor", "roi_head.bbox_head"),
        ("roi_heads.mask_head", "roi_head.mask_head"),
        ("fc1", "shared_fcs.0"),
        ("fc2", "shared_fcs.1"),
        ("cls_score", "fc_cls"),
        ("bbox_pred", "fc_reg"),
        ("deconv", "upsample"),
        ("predictor", "conv_logits"),
    ):
        name = name.replace(theirs, ours)
    return name


@pytest.mark.parametrize("fixture", ["faster_rcnn_r50_fpn", "cascade_rcnn_x50_fpn"])
def test_recorded_weights_under_these_names(tmp_path, fixture):
    """The layouts are detectron2's, so that its table of variables holds; conventions come as overrides."""
    recorded = golden.load(fixture)
    weights = {name[7:]: value for name, value in recorded.items() if name.startswith("weight/")}
    path = write(tmp_path, {mmdetection_name(name): value for name, value in weights.items()})
    imported = import_checkpoint(path)
    assert imported.report.source == "mmdetection"
    table = golden.parameters(imported.detector)
    assert set(table) == set(weights)
    for name, parameter in table.items():
        np.testing.assert_array_equal(parameter.variable, parameter.convert(weights[name]), err_msg=name)


def test_layouts_by_hand(tmp_path):
    """No two values of these tensors are equal, so that any other order of axes shows."""
    shapes = synthetic.mmdetection_shapes(SMALL)
    arrays = synthetic.distinct(shapes)
    imported = import_checkpoint(write(tmp_path, arrays))
    assert imported.settings["heads.masks.stages"] == (1, 2, 3)
    found = {name: np.array(place.variable) for name, place in places(imported.detector).items()}
    counters = {name for name in arrays if name.endswith("num_batches_tracked")}
    assert imported.report.unused == dict.fromkeys(sorted(counters), "counts training steps")
    values = {float(value) for array in found.values() for value in array.ravel()}
    assert len(values) == sum(array.size for array in arrays.values()) - len(counters)

    def equal(place, index, tensor, source):
        assert found[place][index] == arrays[tensor][source], place

    equal("backbone.stem.conv1.kernel", (6, 2, 1, 7), "backbone.conv1.weight", (7, 1, 6, 2))
    equal("backbone.stem.conv1.norm.moving_mean", 3, "backbone.bn1.running_mean", 3)
    equal("backbone.res3.0.conv2.kernel", (2, 0, 3, 5), "backbone.layer2.0.conv2.weight", (5, 3, 2, 0))
    equal("backbone.res3.0.conv2.norm.gamma", 5, "backbone.layer2.0.bn2.weight", 5)
    offset = "backbone.layer2.0.conv2.conv_offset"
    equal("backbone.res3.0.conv2.offset.kernel", (0, 2, 7, 17), f"{offset}.weight", (17, 7, 0, 2))
    shortcut = "backbone.layer4.0.downsample"
    equal("backbone.res5.0.shortcut.kernel", (0, 0, 9, 3), f"{shortcut}.0.weight", (3, 9, 0, 0))
    equal("backbone.res5.0.shortcut.norm.beta", 3, f"{shortcut}.1.bias", 3)
    equal("fpn.lateral5.kernel", (0, 0, 3, 4), "neck.lateral_convs.3.conv.weight", (4, 3, 0, 0))
    equal("fpn.output2.bias", 4, "neck.fpn_convs.0.conv.bias", 4)
    equal("rpn.offsets.kernel", (0, 0, 5, 11), "rpn_head.rpn_reg.weight", (11, 5, 0, 0))
    equal("head1.conv1.bias", 5, "roi_head.bbox_head.0.shared_convs.0.conv.bias", 5)
    place = (4 * 7 + 6) * 8 + 3
    equal("head2.fc1.kernel", (place, 9), "roi_head.bbox_head.1.shared_fcs.0.weight", (9, 3 * 49 + 4 * 7 + 6))
    equal("head2.fc2.kernel", (5, 9), "roi_head.bbox_head.1.shared_fcs.1.weight", (9, 5))
    for ours, theirs in ((0, 2), (1, 0), (2, 1)):
        equal("head3.classifier.kernel", (7, ours), "roi_head.bbox_head.2.fc_cls.weight", (theirs, 7))
        equal("head3.classifier.bias", ours, "roi_head.bbox_head.2.fc_cls.bias", theirs)
    equal("head1.regressor.bias", 3, "roi_head.bbox_head.0.fc_reg.bias", 3)
    equal("mask2.conv4.kernel", (0, 1, 2, 3), "roi_head.mask_head.1.convs.3.conv.weight", (3, 2, 0, 1))
    equal("mask3.deconv.kernel", (1, 0, 3, 2), "roi_head.mask_head.2.upsample.weight", (2, 3, 1, 0))
    equal("mask1.predictor.kernel", (0, 0, 3, 1), "roi_head.mask_head.0.conv_logits.weight", (1, 3, 0, 0))


def test_group_normalisation(tmp_path):
    architecture = replace(SMALL, **synthetic.GROUP, mask_heads=1, stages=1)
    arrays = synthetic.distinct(synthetic.mmdetection_shapes(architecture))
    imported = import_checkpoint(write(tmp_path, arrays), **{"*.norm_groups": 2})
    assert not imported.report.unused
    assert len(imported.report.loaded) == len(arrays)
    layers = imported.detector.backbone.get_layer
    np.testing.assert_array_equal(layers("res4_0_conv2_norm").gamma, arrays["backbone.layer3.0.gn2.weight"])
    head = imported.detector.heads.stages[0].head
    np.testing.assert_array_equal(head.norms[0].beta, arrays["roi_head.bbox_head.shared_convs.0.gn.bias"])


def test_the_old_name_of_deformable_offsets(tmp_path):
    arrays = synthetic.distinct(synthetic.mmdetection_shapes(SMALL))
    arrays = {name.replace("conv2.conv_offset", "conv2_offset"): value for name, value in arrays.items()}
    layer = import_checkpoint(write(tmp_path, arrays)).detector.backbone.get_layer("res3_0_conv2")
    np.testing.assert_array_equal(layer.offset.bias, arrays["backbone.layer2.0.conv2_offset.bias"])


CASCADE_SETTINGS = {
    "heads.ious": (0.5, 0.6, 0.7),
    "heads.head.class_agnostic": True,
    "proposals.post_nms_train": 2000,
    "proposals.beta": 1.0 / 9.0,
    "heads.box_beta": 1.0,
}
SINGLE_SETTINGS = {
    "heads.ious": (0.5,),
    "heads.head.class_agnostic": False,
    "proposals.post_nms_train": 1000,
    "proposals.beta": 0.0,
    "heads.box_beta": 0.0,
}
ZOO = {
    "faster_rcnn_r50_fpn_1x_coco": (
        synthetic.FASTER,
        SINGLE_SETTINGS
        | TORCHVISION
        | {"backbone.depth": 50, "backbone.norm": "frozen", "heads.masks.stages": ()},
    ),
    "mask_rcnn_r50_fpn_1x_coco": (
        synthetic.MASK,
        SINGLE_SETTINGS | TORCHVISION | {"heads.masks.stages": (1,)},
    ),
    "mask_rcnn_r50_fpn_gn-all_2x_coco": (
        replace(synthetic.MASK, **synthetic.GROUP),
        SINGLE_SETTINGS
        | CAFFE
        | {
            "backbone.norm": "group",
            "heads.head.num_convs": 4,
            "heads.head.num_fcs": 1,
            "heads.masks.head.norm": "group",
        },
    ),
    "cascade_rcnn_r50_fpn_1x_coco": (
        synthetic.CASCADE,
        CASCADE_SETTINGS | TORCHVISION | {"backbone.depth": 50, "heads.masks.stages": ()},
    ),
    "cascade_rcnn_r101_fpn_1x_coco": (
        replace(synthetic.CASCADE, blocks=synthetic.R101_BLOCKS),
        CASCADE_SETTINGS | TORCHVISION | {"backbone.depth": 101},
    ),
    "cascade_rcnn_x101_32x4d_fpn_1x_coco": (
        replace(synthetic.CASCADE, **synthetic.X101_32X4D),
        CASCADE_SETTINGS
        | TORCHVISION
        | {"backbone.depth": 101, "backbone.cardinality": 32, "backbone.width_per_group": 4},
    ),
    "cascade_mask_rcnn_r50_fpn_1x_coco": (
        synthetic.CASCADE_THREE_MASKS,
        CASCADE_SETTINGS | TORCHVISION | {"heads.masks.stages": (1, 2, 3), "heads.masks.head.num_convs": 4},
    ),
    "cascade_mask_rcnn_x101_64x4d_fpn_1x_coco": (
        replace(synthetic.CASCADE_THREE_MASKS, **synthetic.X101_64X4D),
        CASCADE_SETTINGS | TORCHVISION | {"backbone.cardinality": 64, "backbone.width_per_group": 4},
    ),
    "cascade_mask_rcnn_x101_32x8d_fpn_mstrain_3x_coco": (
        replace(synthetic.CASCADE_THREE_MASKS, **synthetic.X101_32X8D),
        CASCADE_SETTINGS | FAIR | {"backbone.cardinality": 32, "backbone.width_per_group": 8},
    ),
}
QUICK = "cascade_mask_rcnn_r50_fpn_1x_coco"
SAME_SHAPES = "cascade_mask_rcnn_x101_32x8d_fpn_mstrain_3x_coco"  # as 64x4d but for the groups


@pytest.mark.parametrize(("architecture", "expected"), ZOO.values(), ids=ZOO)
def test_settings_of_the_zoo(architecture, expected):
    """By MMDetection's configurations of these names, without the help of one in the file."""
    found = settings_of(architecture)
    assert {name: found[name] for name in expected} == expected
    assert found["backbone.stride_in_1x1"] is False


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[] if n == QUICK else [pytest.mark.slow]) for n in ZOO if n != SAME_SHAPES],
)
def test_the_zoo_fits_at_full_size(name, monkeypatch):
    """Zeros that take no memory in the file: only names and shapes are looked at."""
    arrays = synthetic.blank(synthetic.mmdetection_shapes(ZOO[name][0]))
    monkeypatch.setattr(importing, "read_checkpoint", lambda path: synthetic.checkpoint(arrays))
    detector, _, report, _ = import_checkpoint("model.pth")
    assert not report.missing
    assert set(report.unused.values()) <= {"counts training steps"}
    assert len(report.loaded) + len(report.unused) == len(arrays)
    assert detector.class_names == COCO_CLASSES


def test_conventions():
    found = settings_of(SMALL)
    expected = {
        "heads.ensemble": "own_logits",
        "heads.round_statistics": True,
        "heads.weighting": "decay",
        "heads.rescale_heads": False,
        "heads.append_ground_truth": "all",
        "heads.redundant_iou": 1.0,
        "heads.num_samples": 512,
        "heads.later_samples": 512,
        "heads.foreground_fraction": 0.25,
        "heads.clip_boxes": True,
        "heads.pooling.sampling_ratio": 0,
        "heads.pooling.aligned": True,
        "proposals.claim_untouched": False,
        "heads.crowd_cover": None,
        "proposals.anchor_offset": 0.0,
        "proposals.round_anchors": False,
        "heads.inclusive": False,
        "proposals.pre_nms_train": 2000,
        "proposals.pre_nms_test": 1000,
        "proposals.post_nms_test": 1000,
        "backbone.freeze_at": 2,
        "output.score_threshold": 0.05,
        "output.nms_iou": 0.5,
        "output.max_detections": 100,
    }
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize("key", ["config", "cfg"])
@pytest.mark.parametrize(
    ("text", "pixels", "stride_in_1x1"),
    [
        (CONFIG_2, CAFFE, True),
        (CONFIG_3, TORCHVISION, False),
        ("no configuration", TORCHVISION, False),
        ("backbone=dict(style='caffe')", TORCHVISION, True),
    ],
)
def test_the_configuration_in_the_file_decides(key, text, pixels, stride_in_1x1):
    found = settings_of(SMALL, {key: text})
    assert {name: found[name] for name in pixels} == pixels
    assert found["backbone.stride_in_1x1"] is stride_in_1x1


@pytest.mark.parametrize(
    "meta",
    [
        {"CLASSES": ("cat", "dog")},
        {"CLASSES": ["cat", "dog"]},
        {"dataset_meta": {"classes": ("cat", "dog"), "palette": [(0, 0, 0)]}},
        {"dataset_meta": {"CLASSES": ("cat", "dog")}},
    ],
)
def test_class_names_in_the_file(tmp_path, meta):
    arrays = synthetic.distinct(synthetic.mmdetection_shapes(SMALL))
    detector = import_checkpoint(write(tmp_path, arrays, meta | {"config": CONFIG_2})).detector
    assert detector.class_names == ("cat", "dog")
    assert detector.category_ids == (1, 2)
    assert detector.image_inputs.order == "BGR"


@pytest.mark.parametrize("meta", [{}, {"CLASSES": None}, {"CLASSES": ("only",)}, {"dataset_meta": "text"}])
def test_class_names_that_are_not_there_or_do_not_fit(tmp_path, meta):
    arrays = synthetic.distinct(synthetic.mmdetection_shapes(SMALL))
    assert import_checkpoint(write(tmp_path, arrays, meta)).detector.class_names == ("class 1", "class 2")


def test_one_class_is_a_text():
    given = synthetic.checkpoint({}, {"meta": {"CLASSES": "face"}})
    assert MMDETECTION.class_names(given) == ("face",)


def test_running_averages_are_not_loaded(tmp_path):
    arrays = synthetic.distinct(synthetic.mmdetection_shapes(SMALL))
    arrays["ema_backbone_conv1_weight"] = np.zeros_like(arrays["backbone.conv1.weight"])
    report = import_checkpoint(write(tmp_path, arrays)).report
    assert "running average" in report.unused["ema_backbone_conv1_weight"]


def version_1(arrays):
    return {name.replace("roi_head.", ""): value for name, value in arrays.items()}


def one_stage(arrays):
    return {name: value for name, value in arrays.items() if not name.startswith("roi_head.")}


def deep_stem(arrays):
    return {name.replace("backbone.conv1", "backbone.stem.0"): value for name, value in arrays.items()}


@pytest.mark.parametrize(
    ("change", "meta", "message"),
    [
        (version_1, {}, "names of MMDetection 1.x, where the background is the first class"),
        (one_stage, {}, "no classifier roi_head.bbox_head, expected a two-stage detector"),
        (deep_stem, {}, "no tensor for backbone.stem.conv1.kernel"),
        (dict, {"config": "conv_cfg=dict(type='ConvWS')"}, "a network with weight standardisation"),
        (dict, {"cfg": "mean=[1.0], std=[1.0], to_rgb=True"}, r"mean = \[1.0\], expected 3 channels"),
    ],
)
def test_networks_that_cannot_be_built(tmp_path, change, meta, message):
    arrays = synthetic.distinct(synthetic.mmdetection_shapes(SMALL))
    path = write(tmp_path, change(arrays), meta)
    with pytest.raises(ValueError, match=rf"epoch_12\.pth \(mmdetection\): got .*{message}"):
        import_checkpoint(path)


@pytest.mark.parametrize(
    "name", ["roi_head.semantic_head.convs.0.conv.weight", "neck.fpn_convs.4.conv.weight"]
)
def test_parts_that_no_model_here_has(tmp_path, name):
    """Of Hybrid Task Cascade, and a pyramid that adds levels by convolution."""
    arrays = synthetic.distinct(synthetic.mmdetection_shapes(SMALL)) | {name: np.zeros((4, 4), np.float32)}
    with pytest.raises(ValueError, match=f"1 tensors without a variable: {name}"):
        import_checkpoint(write(tmp_path, arrays))
