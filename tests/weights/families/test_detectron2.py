"""detectron2's checkpoints: recorded weights as files, tensors of known values, the zoo's architectures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cascade_tf.prediction.inference import to_records
from cascade_tf.weights import importing
from cascade_tf.weights.families.coco_classes import COCO_CATEGORY_IDS, COCO_CLASSES
from cascade_tf.weights.families.detectron2 import DETECTRON2
from cascade_tf.weights.families.mmdetection import MMDETECTION
from cascade_tf.weights.importing import import_checkpoint
from cascade_tf.weights.places import places
from tests.golden import detectron2 as golden
from tests.weights import synthetic
from tests.weights.torch_writer import write_pickle, write_torch_legacy, write_torch_zip

FIXTURES = (
    "faster_rcnn_r50_fpn",
    "cascade_rcnn_r50_fpn",
    "cascade_rcnn_x50_fpn",
    "cascade_mask_rcnn_r50_fpn",
    "cascade_mask_rcnn_r50_fpn_gn",
)
# A few times what two convolution back ends of PyTorch differ by (tests/golden/test_models.py). Original
# images are at most 2.3 times as large as the network's input.
PIXELS = 1.5e-2
SCORES = 2e-4
# As in tests/golden: the values go through more layers than boxes do.
MASKS = 4e-3
SMALL = replace(
    synthetic.CASCADE_MASK, blocks=(1, 1, 1, 1), groups=2, **synthetic.SMALL, deformable=(3,), convs=1, fcs=1
)


def weights(arrays):
    return {
        name.removeprefix("weight/"): value for name, value in arrays.items() if name.startswith("weight/")
    }


def overrides(arrays):
    """What tensors do not tell, and the fixtures do not have from detectron2's defaults."""
    meta = golden.from_json(arrays["meta/json"])
    return {
        "*.norm_groups": meta["resnet"]["gn_groups"] or 32,
        "proposals.pre_nms_test": meta["rpn"]["pre_nms_topk_per_level"]["test"],
        "proposals.post_nms_test": meta["rpn"]["post_nms_topk"]["test"],
        "output.score_threshold": meta["roi"]["score_thresh"],
        "output.nms_iou": meta["roi"]["nms_thresh"],
        "output.max_detections": meta["roi"]["detections_per_image"],
    }


def write_pkl(folder, arrays):
    model = {"model": arrays, "__author__": "detectron2 model zoo"}
    return write_pickle(folder / "model_final.pkl", model)


def write_pth(folder, arrays):
    """As the checkpointer writes during training: with the optimizer, and buffers of old versions."""
    state = {0: {"momentum_buffer": np.zeros(4, np.float32)}}
    optimizer = {"state": state, "param_groups": [{"lr": 0.02, "params": [0]}]}
    model = arrays | {
        "pixel_mean": np.array([103.53, 116.28, 123.675], np.float32).reshape(3, 1, 1),
        "pixel_std": np.ones([3, 1, 1], np.float32),
    }
    return write_torch_zip(
        folder / "model_0004999.pth", {"model": model, "optimizer": optimizer, "iteration": 4999}
    )


@pytest.fixture(scope="module", params=FIXTURES)
def case(request, tmp_path_factory):
    arrays = golden.load(request.param)
    path = write_pkl(tmp_path_factory.mktemp(request.param), weights(arrays))
    return import_checkpoint(path, **overrides(arrays)), arrays


def assert_equal_to(detector, arrays):
    table = golden.parameters(detector)
    assert set(table) == set(arrays)
    for name, parameter in table.items():
        np.testing.assert_array_equal(parameter.variable, parameter.convert(arrays[name]), err_msg=name)


def test_every_variable_has_the_recorded_value(case):
    imported, arrays = case
    assert_equal_to(imported.detector, weights(arrays))
    assert not imported.report.unused
    assert not imported.report.missing
    tensors = [name for sources in imported.report.loaded.values() for name in sources]
    assert sorted(tensors) == sorted(weights(arrays))


def test_settings_are_those_of_the_fixture(case):
    """Except for what was overridden, and the numbers of samples, which the recording changed."""
    imported, arrays = case
    meta = golden.from_json(arrays["meta/json"])
    resnet, roi, mask = meta["resnet"], meta["roi"], meta["mask"]
    norms = {"FrozenBN": "frozen", "GN": "group", "": "none"}
    expected = {
        "backbone.depth": resnet["depth"],
        "backbone.width": resnet["res2_out"] / 256,
        "backbone.stem_channels": resnet["stem_out"],
        "backbone.cardinality": resnet["num_groups"],
        "backbone.width_per_group": 16 * resnet["width_per_group"],
        "backbone.norm": norms[resnet["norm"]],
        "backbone.stride_in_1x1": resnet["stride_in_1x1"],
        "neck.channels": meta["fpn"]["out_channels"],
        "neck.norm": norms[meta["fpn"]["norm"]],
        "proposals.beta": meta["rpn"]["smooth_l1_beta"],
        "heads.ious": tuple(roi["stage_ious"]),
        "heads.head.num_convs": roi["num_conv"],
        "heads.head.num_fcs": roi["num_fc"],
        "heads.head.units": roi["fc_dim"],
        "heads.head.class_agnostic": meta["class_agnostic_box"],
        "heads.pooling.sampling_ratio": roi["sampling_ratio"],
        "heads.box_beta": roi["smooth_l1_beta"],
        "inputs.order": meta["image_format"],
        "inputs.mean": tuple(meta["pixel_mean_bgr"]),
        "inputs.std": tuple(meta["pixel_std_bgr"]),
        "heads.masks.stages": (1,) if mask else (),
    }
    if roi["num_conv"]:
        expected |= {"heads.head.conv_channels": roi["conv_dim"], "heads.head.norm": norms[roi["norm"]]}
    if mask:
        expected |= {
            "heads.masks.head.num_convs": mask["num_conv"],
            "heads.masks.head.channels": mask["conv_dim"],
            "heads.masks.head.norm": norms[mask["norm"]],
            "heads.masks.head.class_agnostic": mask["class_agnostic"],
        }
    assert {name: imported.settings[name] for name in expected} == expected
    assert imported.detector.class_names == tuple(f"class {n}" for n in range(1, meta["num_classes"] + 1))
    for stage, box_weights in zip(imported.detector.heads.stages, roi["stage_box_weights"], strict=True):
        np.testing.assert_allclose(stage.std, 1.0 / np.array(box_weights), rtol=1e-6)


def test_detections_in_the_original_images(case):
    imported, arrays = case
    detector = imported.detector
    # The recorded batch has images of two sizes, and padding in its statistics.
    detector.separate_images = False
    batch = golden.image_batch(arrays)
    detections = detector(batch)
    records = to_records(detections, batch, detector.class_names, detector.category_ids)
    for image, record in enumerate(records):
        prefix = f"infer/img{image}"
        np.testing.assert_allclose(record.boxes, arrays[f"{prefix}/out_boxes"], atol=PIXELS)
        np.testing.assert_allclose(record.scores, arrays[f"{prefix}/out_scores"], atol=SCORES)
        np.testing.assert_array_equal(record.classes, arrays[f"{prefix}/out_classes"] + 1)
        if detector.has_masks:
            masks = detections.masks[image].numpy()[detections.valid[image].numpy()]
            np.testing.assert_allclose(masks, arrays[f"{prefix}/det_mask_probs"], atol=MASKS)


@pytest.mark.parametrize("name", ["faster_rcnn_r50_fpn", "cascade_mask_rcnn_r50_fpn"])
def test_a_checkpoint_of_a_training_run(tmp_path, name):
    arrays = weights(golden.load(name))
    imported = import_checkpoint(write_pth(tmp_path, arrays))
    assert_equal_to(imported.detector, arrays)
    reason = "read as the settings inputs.mean and inputs.std"
    assert imported.report.unused == {"pixel_mean": reason, "pixel_std": reason}


def test_torchs_old_format(tmp_path):
    arrays = weights(golden.load("cascade_rcnn_x50_fpn"))
    path = write_torch_legacy(tmp_path / "model.pth", {"model": arrays})
    assert_equal_to(import_checkpoint(path).detector, arrays)


def test_layouts_by_hand(tmp_path):
    """No two values of these tensors are equal, so that any other order of axes shows."""
    arrays = synthetic.distinct(synthetic.detectron2_shapes(SMALL))
    imported = import_checkpoint(write_pkl(tmp_path, arrays))
    found = {name: np.array(place.variable) for name, place in places(imported.detector).items()}
    assert len({float(value) for array in found.values() for value in array.ravel()}) == sum(
        array.size for array in arrays.values()
    )

    def equal(place, index, tensor, source):
        assert found[place][index] == arrays[tensor][source], place

    bottom_up = "backbone.bottom_up"
    equal("backbone.stem.conv1.kernel", (6, 2, 1, 7), f"{bottom_up}.stem.conv1.weight", (7, 1, 6, 2))
    # Two groups: four of eight inputs reach each output.
    assert found["backbone.res3.0.conv2.kernel"].shape == (3, 3, 4, 8)
    equal("backbone.res3.0.conv2.kernel", (2, 0, 3, 5), f"{bottom_up}.res3.0.conv2.weight", (5, 3, 2, 0))
    equal("backbone.res3.0.conv2.norm.moving_variance", 5, f"{bottom_up}.res3.0.conv2.norm.running_var", 5)
    offset = f"{bottom_up}.res3.0.conv2_offset"
    equal("backbone.res3.0.conv2.offset.kernel", (0, 2, 7, 17), f"{offset}.weight", (17, 7, 0, 2))
    equal("backbone.res3.0.conv2.offset.bias", 17, f"{offset}.bias", 17)
    equal("fpn.output4.kernel", (1, 2, 3, 4), "backbone.fpn_output4.weight", (4, 3, 1, 2))
    equal(
        "rpn.offsets.kernel",
        (0, 0, 5, 11),
        "proposal_generator.rpn_head.anchor_deltas.weight",
        (11, 5, 0, 0),
    )
    # Behind a convolution of 8 channels: (row 4, column 6, channel 3).
    place = (4 * 7 + 6) * 8 + 3
    equal("head2.fc1.kernel", (place, 9), "roi_heads.box_head.1.fc1.weight", (9, 3 * 49 + 4 * 7 + 6))
    for ours, theirs in ((0, 2), (1, 0), (2, 1)):
        equal(
            "head3.classifier.kernel",
            (7, ours),
            "roi_heads.box_predictor.2.cls_score.weight",
            (theirs, 7),
        )
        equal("head3.classifier.bias", ours, "roi_heads.box_predictor.2.cls_score.bias", theirs)
    equal("head1.regressor.kernel", (7, 3), "roi_heads.box_predictor.0.bbox_pred.weight", (3, 7))
    equal("mask1.conv2.kernel", (0, 1, 2, 3), "roi_heads.mask_head.mask_fcn2.weight", (3, 2, 0, 1))
    equal("mask1.deconv.kernel", (1, 0, 3, 2), "roi_heads.mask_head.deconv.weight", (2, 3, 1, 0))
    equal("mask1.predictor.bias", 0, "roi_heads.mask_head.predictor.bias", 0)


MSRA = {
    "inputs.std": (1.0, 1.0, 1.0),
    "backbone.stride_in_1x1": True,
    "backbone.norm": "frozen",
    "backbone.width": 1.0,
}
C2 = MSRA | {"backbone.stride_in_1x1": False}
ZOO = {
    "faster_rcnn_R_50_FPN_1x": (
        synthetic.FASTER,
        MSRA
        | {
            "backbone.depth": 50,
            "heads.ious": (0.5,),
            "heads.head.class_agnostic": False,
            "proposals.post_nms_train": 1000,
        },
    ),
    "faster_rcnn_X_101_32x8d_FPN_3x": (
        replace(synthetic.FASTER, **synthetic.X101_32X8D),
        C2
        | {
            "backbone.depth": 101,
            "backbone.cardinality": 32,
            "backbone.width_per_group": 8,
            "inputs.std": (57.375, 57.12, 58.395),
        },
    ),
    "mask_rcnn_R_101_FPN_3x": (
        replace(synthetic.MASK, blocks=synthetic.R101_BLOCKS),
        MSRA
        | {
            "backbone.depth": 101,
            "heads.masks.stages": (1,),
            "heads.masks.head.num_convs": 4,
            "heads.masks.head.class_agnostic": False,
        },
    ),
    "mask_rcnn_R_50_FPN_1x_dconv_c3-c5": (
        replace(synthetic.MASK, deformable=(3, 4, 5)),
        MSRA | {"backbone.deformable_stages": (3, 4, 5)},
    ),
    "mask_rcnn_R_50_FPN_3x_gn": (
        replace(synthetic.MASK, **synthetic.GROUP),
        C2
        | {
            "backbone.norm": "group",
            "neck.norm": "group",
            "heads.head.num_convs": 4,
            "heads.head.num_fcs": 1,
            "heads.head.norm": "group",
            "heads.masks.head.norm": "group",
        },
    ),
    "mask_rcnn_R_50_FPN_3x_syncbn": (
        replace(synthetic.MASK, fpn_norm="batch", convs=4, fcs=1, head_norm="batch", mask_norm="batch"),
        C2
        | {
            "backbone.norm": "sync",
            "neck.norm": "sync",
            "heads.head.norm": "sync",
            "heads.masks.head.norm": "sync",
        },
    ),
    "cascade_mask_rcnn_R_50_FPN_3x": (
        synthetic.CASCADE_MASK,
        MSRA
        | {
            "backbone.depth": 50,
            "heads.ious": (0.5, 0.6, 0.7),
            "heads.head.class_agnostic": True,
            "heads.masks.stages": (1,),
            "proposals.post_nms_train": 2000,
            "heads.head.units": 1024,
            "neck.channels": 256,
        },
    ),
    "cascade_mask_rcnn_X_152_32x8d_FPN_IN5k_gn_dconv": (
        synthetic.X152_DCONV,
        C2
        | {
            "backbone.depth": 152,
            "backbone.cardinality": 32,
            "backbone.width_per_group": 8,
            "backbone.deformable_stages": (3, 4, 5),
            "neck.norm": "none",
            "heads.head.num_convs": 4,
            "heads.head.num_fcs": 1,
            "heads.head.norm": "group",
            "heads.masks.head.num_convs": 8,
            "heads.masks.head.norm": "group",
            "heads.masks.stages": (1,),
        },
    ),
}
QUICK = "cascade_mask_rcnn_R_50_FPN_3x"


@pytest.mark.parametrize(("architecture", "expected"), ZOO.values(), ids=ZOO)
def test_settings_of_the_zoo(architecture, expected):
    """By detectron2's configurations of these names."""
    shapes = synthetic.detectron2_shapes(architecture)
    found = DETECTRON2.settings(synthetic.checkpoint(synthetic.blank(shapes)))
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n == QUICK else [pytest.mark.slow]) for n in ZOO]
)
def test_the_zoo_fits_at_full_size(name, monkeypatch):
    """Zeros that take no memory in the file: only names and shapes are looked at."""
    arrays = synthetic.blank(synthetic.detectron2_shapes(ZOO[name][0]))
    monkeypatch.setattr(importing, "read_checkpoint", lambda path: synthetic.checkpoint(arrays))
    detector, _, report, _ = import_checkpoint("model.pth")
    assert not report.missing
    assert not report.unused
    assert sum(len(sources) for sources in report.loaded.values()) == len(arrays)
    assert detector.class_names == COCO_CLASSES
    assert detector.category_ids == COCO_CATEGORY_IDS


def test_conventions():
    shapes = synthetic.detectron2_shapes(SMALL)
    found = DETECTRON2.settings(synthetic.checkpoint(synthetic.blank(shapes)))
    expected = {
        "inputs.order": "BGR",
        "heads.weighting": "avg",
        "heads.rescale_heads": True,
        "heads.append_ground_truth": "first",
        "heads.clip_boxes": True,
        "heads.ensemble": "own_boxes",
        "heads.pooling.sampling_ratio": 0,
        "heads.pooling.aligned": True,
        "proposals.beta": 0.0,
        "heads.box_beta": 0.0,
        "heads.crowd_cover": None,
        "proposals.claim_untouched": True,
        "proposals.anchor_offset": 0.0,
        "proposals.round_anchors": False,
        "heads.inclusive": False,
        "heads.round_statistics": False,
        "heads.later_samples": None,
        "proposals.pre_nms_train": 2000,
        "proposals.pre_nms_test": 1000,
        "proposals.post_nms_test": 1000,
        "backbone.freeze_at": 2,
        "output.score_threshold": 0.05,
        "output.nms_iou": 0.5,
        "output.max_detections": 100,
    }
    assert {name: found[name] for name in expected} == expected


def test_stored_pixels_anchors_and_counters(tmp_path):
    """A network on torchvision's backbone, as an old version stores it."""
    arrays = synthetic.distinct(synthetic.detectron2_shapes(replace(SMALL, deformable=(), groups=1)))
    arrays["pixel_mean"] = np.array([123.675, 116.28, 103.53], np.float32).reshape(3, 1, 1)
    arrays["pixel_std"] = np.array([58.395, 57.12, 57.375], np.float32).reshape(3, 1, 1)
    arrays["backbone.bottom_up.stem.conv1.norm.num_batches_tracked"] = np.int64(7)
    for level, size in enumerate((16, 32, 64, 128, 256)):
        ratios = np.array([0.4, 1.0, 2.5], np.float32)
        width, height = size / np.sqrt(ratios), size * np.sqrt(ratios)
        cell = np.stack([-width, -height, width, height], axis=1) / 2
        arrays[f"proposal_generator.anchor_generator.cell_anchors.{level}"] = cell.astype(np.float32)
    detector, settings, report, _ = import_checkpoint(write_pkl(tmp_path, arrays))
    assert len(report.unused) == 8
    assert settings["inputs.order"] == "RGB"
    assert settings["backbone.stride_in_1x1"] is False
    assert detector.image_inputs.order == "RGB"
    assert detector.image_inputs.mean == (123.675, 116.28, 103.53)
    assert detector.image_inputs.std == (58.395, 57.12, 57.375)
    assert settings["proposals.anchor_sizes"] == (16.0, 32.0, 64.0, 128.0, 256.0)
    assert settings["proposals.aspect_ratios"] == (0.4, 1.0, 2.5)


def test_several_anchor_sizes_on_a_level():
    shapes = synthetic.detectron2_shapes(SMALL)
    sizes = np.repeat([32.0, 45.0], 3)
    ratios = np.tile([0.5, 1.0, 2.0], 2)
    half = np.stack([sizes / np.sqrt(ratios), sizes * np.sqrt(ratios)], axis=1) / 2
    cell = np.concatenate([-half, half], axis=1).astype(np.float32)
    arrays = synthetic.blank(shapes)
    arrays |= {f"proposal_generator.anchor_generator.cell_anchors.{level}": cell for level in range(2)}
    found = DETECTRON2.settings(synthetic.checkpoint(arrays))
    assert found["proposals.anchor_sizes"] == ((32.0, 45.0), (32.0, 45.0))
    assert found["proposals.aspect_ratios"] == (0.5, 1.0, 2.0)


@pytest.mark.parametrize("stages", [1, 3])
def test_a_single_class(stages):
    """Its four box outputs fit both kinds of regressor."""
    architecture = replace(SMALL, classes=1, stages=stages, agnostic=stages > 1)
    shapes = synthetic.detectron2_shapes(architecture)
    found = DETECTRON2.settings(synthetic.checkpoint(synthetic.blank(shapes)))
    assert found["heads.head.class_agnostic"] == (stages > 1)
    assert found["heads.masks.head.class_agnostic"] is False


def test_masks_without_classes(tmp_path):
    arrays = synthetic.distinct(synthetic.detectron2_shapes(replace(SMALL, mask_agnostic=True)))
    imported = import_checkpoint(write_pkl(tmp_path, arrays), class_names=("a", "b", "c"))
    assert imported.settings["heads.masks.head.class_agnostic"] is True
    assert not any(name.startswith("mask") for name in imported.report.missing)


def without(prefix):
    return lambda arrays: {name: value for name, value in arrays.items() if not name.startswith(prefix)}


def renamed(old, new):
    return lambda arrays: {name.replace(old, new): value for name, value in arrays.items()}


def with_shape(name, shape):
    return lambda arrays: arrays | {name: np.zeros(shape, np.float32)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("roi_heads."), "no classifier roi_heads.box_predictor, expected a two-stage detector"),
        (renamed("backbone.bottom_up.", "backbone."), "no tensor for backbone.stem.conv1.kernel"),
        (without("backbone.fpn"), "no tensor for fpn.lateral2.kernel, expected a two-stage detector"),
        (without("backbone.bottom_up.res5"), r"a backbone with \(1, 1, 1, 0\) blocks per stage"),
        (
            with_shape("backbone.bottom_up.res3.0.conv2_offset.weight", (27, 8, 3, 3)),
            r"27 offset channels \(modulated, DCNv2\) in stage 3, expected 18",
        ),
        (
            with_shape("roi_heads.box_predictor.0.bbox_pred.weight", (12, 12)),
            "a regressor with 12 outputs for 2 classes, expected 4 or 4 each",
        ),
        (with_shape("pixel_mean", (4, 1, 1)), r"pixel_mean of shape \(4, 1, 1\), expected 3 channels"),
    ],
)
def test_networks_that_cannot_be_built(tmp_path, change, message):
    arrays = synthetic.distinct(synthetic.detectron2_shapes(SMALL))
    path = write_pkl(tmp_path, change(arrays))
    with pytest.raises(ValueError, match=rf"model_final\.pkl \(detectron2\): got .*{message}"):
        import_checkpoint(path)


def test_matches_its_own_names_only():
    own = synthetic.checkpoint(synthetic.blank(synthetic.detectron2_shapes(SMALL)))
    other = synthetic.checkpoint(synthetic.blank(synthetic.mmdetection_shapes(SMALL)))
    assert DETECTRON2.matches(own)
    assert not DETECTRON2.matches(other)
    assert MMDETECTION.matches(other)
    assert not MMDETECTION.matches(own)
