"""The project's rows and settings against a second reading of the paper and of the authors' code.

The folder is ``paper`` in what the environment variable CASCADE_TF_ORACLES names, by default
``../shared/oracles`` beside the project; where it is missing these tests are skipped.
"""

from __future__ import annotations

import json
import re

import pytest

from tests.paper.files import NAMES, ORACLES, ROWS, SETTINGS, entries, is_cascade
from tests.paper.test_settings import same

pytestmark = pytest.mark.skipif(
    not (ORACLES / "paper_tables.json").is_file(), reason="CASCADE_TF_ORACLES names no folder with paper/"
)


def read(name):
    return json.loads((ORACLES / name).read_text())


def test_every_value_of_every_row():
    tables = read("paper_tables.json")["tables"]
    assert [table["table"] for table in tables] == [table["table"] for table in ROWS["tables"]]
    for table, ours in zip(tables, ROWS["tables"], strict=True):
        rows = [row for row in table["rows"] if row["own"]]
        assert len(rows) == len(ours["rows"])
        assert len(table["columns"]) == len(ours["columns"])
        for row, our in zip(rows, ours["rows"], strict=True):
            assert [row["values"][column] for column in table["columns"]] == our["values"], row["id"]
            if "cascade" in row:
                assert row["cascade"] == our["row"].endswith("cascade")


def family_of(name):
    """The oracle's family of a configuration; None where it has no settings for it, or other ones."""
    kind, _, rest = name.partition("/")
    if "mscnn" in rest:
        return None
    data = "voc" if kind == "voc" else "coco"
    if kind == "ablations" and "vgg16" not in rest:
        return "fpn-plus/coco-ablation"
    for part, family in (
        ("vgg16", f"faster-rcnn-vgg/{data}"),
        ("alexnet", f"faster-rcnn-alexnet/{data}"),
        ("rfcn", f"rfcn/{data}"),
        ("fpn_plus", "fpn-plus/coco-final"),
        ("x152", "mask-rcnn-x152/coco"),
        ("mask_rcnn_x101", "mask-rcnn-x101/coco"),
        ("rcnn_x101_32x8d", "detectron-fpn-x101/coco"),
        ("fast_", "detectron-fast-rcnn/coco"),
    ):
        if part in rest:
            return family
    if "64x4d" in rest or "rpn" in rest or "r101_fpn_gn" in rest or ("mask" in rest and "_gn" in rest):
        return None
    if "_gn" in rest:
        return "detectron-fpn-gn/coco"
    return "mask-rcnn/coco" if "mask" in rest else "detectron-fpn/coco"


def as_it_is(value):
    return value


def each(value):
    """Numbers per image of one for several: "512 over the 4 images of a device"."""
    found = re.match(r"(\d+) over (?:the )?(\d+) images", str(value))
    return int(found[1]) / int(found[2]) if found else value


def all_below_half(value):
    """None, which is all below the first stage's threshold, for the range that says so."""
    return None if value == [0, 0.5] else value


def shapes(value):
    levels = list(value.values()) if isinstance(value, dict) else [value]
    return [[[int(side) for side in text.split("x")] for text in level] for level in levels]


# Our setting: the oracle's key, and what makes our form of its value.
SAME = {
    "train.scaled_learning_rate": ("learning_rate", as_it_is),
    "train.decay_steps": ("steps", as_it_is),
    "train.steps": ("stop", as_it_is),
    "train.decay_factor": ("gamma", as_it_is),
    "train.weight_decay": ("weight_decay", as_it_is),
    "train.momentum": ("momentum", as_it_is),
    "train.warmup_steps": ("warm_up", lambda value: value["iterations"]),
    "devices": ("devices", as_it_is),
    "images_per_device": ("images_per_device", as_it_is),
    "stages.weights": ("stage_loss_weights_decay", as_it_is),
    "model.heads.ious": ("iou_thresholds", as_it_is),
    "model.heads.num_samples": ("rois_per_image_stage1", each),
    "model.heads.foreground_fraction": ("stage1_foreground_share", as_it_is),
    "model.heads.background_range": ("stage1_background_range", all_below_half),
    "model.heads.append_ground_truth": ("ground_truth_appended", lambda value: "all" if value else "none"),
    "model.heads.clip_boxes": ("clip_between_stages", as_it_is),
    "model.heads.head.units": ("fc_units", as_it_is),
    "model.heads.head.class_agnostic": ("class_agnostic_regression", as_it_is),
    "model.heads.box_weight": ("lambda_box_loss", as_it_is),
    "model.heads.pooling.canonical_size": ("roi_level_limits", lambda value: value[1]),
    "model.proposals.nms_iou": ("rpn_nms", as_it_is),
    "model.proposals.anchors": ("anchors", shapes),
    "model.proposals.samples_per_image": ("rpn_samples_per_image", as_it_is),
    "model.proposals.foreground_iou": ("rpn_overlap_positive_negative", lambda value: value[0]),
    "model.proposals.background_iou": ("rpn_overlap_positive_negative", lambda value: value[1]),
    "model.proposals.score_threshold_test": ("proposal_score_threshold_test", as_it_is),
    "model.proposals.pre_nms_test": ("proposals_before_and_after_nms_test", lambda value: value[0]),
    "model.proposals.post_nms_test": ("proposals_before_and_after_nms_test", lambda value: value[1]),
    "model.short_side": ("test_size", lambda value: value["short"]),
    "model.max_side": ("test_size", lambda value: value["long"]),
    "model.size_divisor": ("test_size", lambda value: value["multiple"]),
    "model.output.score_threshold": ("test_score_threshold", as_it_is),
    "model.output.nms_iou": ("test_nms", as_it_is),
    "data.photometric_distortion": ("photometric_distortion", bool),
    "data.min_object_side": ("minimal_ground_truth", as_it_is),
    "model.proposals.limit_test": ("proposal_limit_test", as_it_is),
    "evaluation.scales": ("test_augmentation", lambda value: value["scales"]),
    "evaluation.scales_max_side": ("test_augmentation", lambda value: value["max"]),
    "evaluation.vote_iou": ("box_voting", as_it_is),
}  # fmt: skip
# Our settings of which the oracle's families of single maps and of pyramids have different keys.
BY_FAMILY = {
    ("fpn-plus", "model.proposals.score_threshold_train"): ("proposal_thresholds_train_p2_p5", as_it_is),
    ("fpn-plus", "model.proposals.score_threshold_test"): ("proposal_thresholds_test_p2_p5", as_it_is),
    ("one map", "model.proposals.score_threshold_train"): ("proposal_score_threshold_train", as_it_is),
    ("one map", "model.proposals.pre_nms_train"): ("proposals_before_nms_train", as_it_is),
    ("detectron", "model.proposals.pre_nms_train"): ("proposals_train", lambda value: value["per_level"]),
    ("detectron", "model.proposals.pre_nms_test"): ("proposals_test", lambda value: value["per_level"]),
    ("detectron", "model.proposals.post_nms_test"): ("proposals_test", lambda value: value["after"]),
    # What all families share is the Caffe nets' distortion; Detectron has none.
    ("detectron", "data.photometric_distortion"): ("", bool),
    ("detectron", "model.inputs.mean"): ("pixel_mean_bgr", lambda value: value["detectron"]),
    ("one map", "model.inputs.mean"): ("pixel_mean_bgr", lambda value: value["caffe"]),
    ("fpn-plus", "model.inputs.mean"): ("pixel_mean_bgr", lambda value: value["caffe"]),
    ("detectron", "model.heads.redundant_iou"): ("redundant_box_filter", lambda value: value["detectron"]),
    ("one map", "model.heads.redundant_iou"): ("redundant_box_filter", lambda value: value["caffe"]),
    ("fpn-plus", "model.heads.redundant_iou"): ("redundant_box_filter", lambda value: value["caffe"]),
}
# What the ablations vary, and what the oracle lists with the pairs: thresholds of ResNet-101, and that the
# baseline of Fast R-CNN is class-aware.
VARIED = {
    "ablations": ("model.heads.ious", "stages.weights"),
    "r101": ("model.proposals.score_threshold_train",),
    "fast_rcnn": ("model.heads.head.class_agnostic",),
    "class_aware": ("model.heads.head.class_agnostic",),
    "4096_units": ("model.heads.head.units",),
}
SHARED_ONLY_FOR_CASCADES = ("model.heads.ious", "stages.weights")
# Of ResNeXt-152's rows, which are one family there, those that are enhanced at test.
ONLY_ENHANCED = ("evaluation.scales", "evaluation.scales_max_side", "evaluation.vote_iou")
# At least so many settings of each configuration are compared.
FEWEST = 9


def kind_of(family):
    single = family.startswith(("faster-rcnn", "rfcn"))
    return "one map" if single else "fpn-plus" if family.startswith("fpn-plus") else "detectron"


@pytest.mark.parametrize("name", [name for name in NAMES if family_of(name)])
def test_settings(name):
    families = read("paper_settings.json")["families"]
    family = family_of(name)
    oracle = {entry["key"]: entry for which in ("shared", family) for entry in families[which]["settings"]}
    ours, compared = entries(name), 0
    skipped = {key for part, keys in VARIED.items() if part in name for key in keys}
    if not is_cascade(name):
        skipped |= set(SHARED_ONLY_FOR_CASCADES)
    if not name.endswith("_tta"):
        skipped |= set(ONLY_ENHANCED)
    for setting, entry in ours.items():
        key, convert = BY_FAMILY.get((kind_of(family), setting)) or SAME.get(setting, (None, None))
        if key not in oracle or setting in skipped:
            continue
        theirs = oracle[key]
        value = theirs["default"]["value"]
        if isinstance(value, dict) and "baseline" in value:
            value = value["cascade" if is_cascade(name) else "baseline"]
        if value is None or value == "open":
            continue
        assert same(entry["value"], convert(value)), (setting, entry["value"], value)
        says = theirs["paper"]
        if says and entry["paper"] and convert is as_it_is and not isinstance(says["value"], str):
            assert same(entry["paper"][0], says["value"]), setting
        compared += 1
    assert compared >= FEWEST


def test_differences_of_pairs():
    """Where the oracle's comparison of all layers finds more than the cascade, the pair lists it."""
    families = read("paper_settings.json")["families"]
    listed = {pair["cascade"]: {entry["setting"] for entry in pair["differs"]} for pair in SETTINGS["pairs"]}
    words = {
        "model.heads.head.class_agnostic": "box regression",
        "model.heads.num_samples": "RoIs per image in stage 1",
        "model.proposals.score_threshold_train": "score threshold",
        "model.proposals.pre_nms_train": "boxes before NMS in training",
    }
    for cascade, settings in listed.items():
        family = family_of(cascade)
        # Of the baselines with GroupNorm nothing is released to compare with.
        if family is None or family.startswith("detectron-fpn-gn"):
            continue
        found = " ".join(entry["what"] for entry in families[family]["baseline_differs"])
        for setting in settings:
            assert words[setting] in found, (cascade, setting)
