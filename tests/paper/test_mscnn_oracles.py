"""MS-CNN's settings against a second reading of the paper and of the authors' nets, see ``test_oracles``."""

from __future__ import annotations

import itertools
import re

import pytest

from tests.paper.files import NAMES, ORACLES, SETTINGS, entries, is_cascade
from tests.paper.test_oracles import each, read
from tests.paper.test_settings import same

pytestmark = pytest.mark.skipif(
    not (ORACLES / "paper_settings.json").is_file(), reason="CASCADE_TF_ORACLES names no folder with paper/"
)

MSCNN = [name for name in NAMES if "mscnn" in name]
SAMPLING = {"random": "random", "bootstrap": "hardest"}
SCORES = {"classifier of stage 3 alone": "last_stage", "mean of three": "last_boxes"}
# How many of the templates are on each map.
FACES = (5, 2, 2, 3)
STEP1, STEP2 = "first_step.", ""

# What the oracle's key means for our settings, from its value.
MEANING = {
    "training_steps": lambda count: {"first_step.model.learns": {2: "proposals"}[count]},
    "step1_learning_rate": lambda rate: {"first_step.train.learning_rate": rate},
    "step1_stop": lambda steps: {"first_step.train.steps": steps},
    "learning_rate": lambda rate: {"train.scaled_learning_rate": rate},
    "steps": lambda steps: {"train.decay_steps": steps},
    "stop": lambda steps: {"train.steps": steps},
    "weight_decay": lambda decay: {"train.weight_decay": decay},
    "proposal_threshold_train": lambda limits: thresholds(limits, "train"),
    "proposal_threshold_test": lambda limits: thresholds(limits, "test"),
    "proposal_loss_lambda": lambda steps: of_steps("model.proposals.box_weight", steps),
    "negatives": lambda steps: of_steps(
        "model.proposals.negatives", {step: SAMPLING[name] for step, name in steps.items()}
    ),
    "proposal_loss_weight_first_level": lambda weight: {
        "model.proposals.branch_weights": [weight, 1, 1, 1]
    },
    "devices": lambda count: {"devices": second(count)},
    "images_per_device": lambda count: {"images_per_device": second(count)},
    "rois_per_image_stage1": lambda text: {"model.heads.num_samples": each(text)},
    "iou_thresholds": lambda ious: {"model.heads.ious": ious},
    "background_range_stage1": lambda limits: {"model.heads.background_range": limits},
    "input_train": lambda seen: {"data.crop_size": seen["crop"][::-1]},
    "input_test": lambda size: size_at_test(size),
    "multi_scale_train": lambda seen: {"data.object_scales": seen["object_scale"] if seen else []},
    "minimal_ground_truth_height": lambda height: {"data.min_object_height": height},
    "minimal_ground_truth": lambda side: {"data.min_object_side": side},
    "frozen": lambda layers: frozen(layers),
    "test_score": lambda text: {"model.heads.ensemble": SCORES[text]},
    "test_nms": lambda limits: suppression(limits),
    "classes": lambda names: classes(names),
    "split_for_table": lambda text: {"data.train_split": {"trainval model": "trainval"}[text]},
    "proposal_regression_std": lambda std: {"model.proposals.std": std},
    "roi_features": lambda how: features(how),
    "templates": lambda sides: {"model.proposals.templates": squares(sides)},
    # What all families share.
    "redundant_box_filter": lambda limits: {"model.heads.redundant_iou": limits["caffe"]},
    "pixel_mean_bgr": lambda means: {"model.inputs.mean": means["caffe"]},
    "momentum": lambda share: {"train.momentum": share},
    "stage1_foreground_share": lambda share: {"model.heads.foreground_fraction": share},
    "ground_truth_appended": lambda all_stages: {
        "model.heads.append_ground_truth": "all" if all_stages else "none"
    },
    "clip_between_stages": lambda clip: {"model.heads.clip_boxes": clip},
    "lambda_box_loss": lambda weight: {"model.heads.box_weight": weight},
    "class_agnostic_regression": lambda agnostic: {"model.heads.head.class_agnostic": agnostic},
    "stage_loss_weights_decay": lambda weights: {"stages.weights": weights},
}  # fmt: skip
# Keys of MS-CNN's families that are no setting.
EXCEPTED = {
    "initial_weights": "a file of the machine, which the text of the configurations names",
    "subset_small": "nobody says which pedestrians are small",
}
# For numbers of one's own on KITTI the oracle has the schedule of the paper's text alone.
OWN_SPLIT = {"kitti/mscnn", "kitti/cascade_mscnn"}
OF_THE_SERVERS = {"split_for_table", "step1_stop"}
# Keys of the cascade alone.
OF_CASCADES = {"iou_thresholds", "stage_loss_weights_decay", "test_score"}
# The settings that the oracle's comparison of all layers finds to differ between baseline and cascade.
DIFFERENCES = {
    "box regression": {"model.heads.head.class_agnostic"},
    "upper end of the background range, stage 1": {"model.heads.background_range"},
    "devices and images per device, step 2": {"devices", "images_per_device"},
    "features of the heads": {"model.neck.enlarged", "model.heads.pooling"},
    # 32 an image in both.
    "RoIs of stage 1": set(),
    # Which of the released nets the rows are of.
    "which baseline net the table used": set(),
    "which model the released test script loads": set(),
}


def thresholds(limits, when):
    return {
        f"model.proposals.score_threshold_{when}": limits["score"],
        f"model.proposals.pre_nms_{when}": limits["before_nms"],
        "model.proposals.nms_iou": limits["nms"],
    }


def of_steps(setting, steps):
    return {STEP1 + setting: steps["step1"], STEP2 + setting: steps["step2"]}


def second(value):
    """Of the second step where the two differ; batches that are added up are one."""
    if not isinstance(value, dict):
        return value
    return value["batch"] * value["accumulate"] if "batch" in value else value["step2"]


def size_at_test(size):
    if isinstance(size, list):
        return {"model.resize": "both_sides", "model.max_side": size[0], "model.short_side": size[1]}
    multiple = int(re.search(r"original, multiple of (\d+)", size["size"])[1])
    return {
        **{"model.resize": "none", "model.max_side": size["max"]},
        **{"model.round_sides": True, "model.round_to": multiple},
    }


def frozen(layers):
    def groups(names):
        return 2 if "conv2_2" in names else 0

    if isinstance(layers, dict):
        return of_steps("model.backbone.freeze_at", {step: groups(names) for step, names in layers.items()})
    return {"model.backbone.freeze_at": groups(layers)}


def suppression(limits):
    if isinstance(limits, dict):
        return {"model.output.nms_iou": limits["nms"], "model.output.score_threshold": limits["score"]}
    return {"model.output.nms_iou": limits, "model.output.score_threshold": 0.0}


def classes(names):
    # One class is all that the data set has.
    return {"data.classes": [name.title() for name in names[1:]] if len(names) > 2 else []}


def features(how):
    if "width" in how:
        return {
            "model.heads.pooling.output_size": [how["height"], how["width"]],
            "model.heads.pooling.context_ratio": how["context"],
        }
    sides = {re.search(r" (\d)x\1 ", how[kind])[1] for kind in ("cascade", "baseline")}
    return {
        "model.heads.pooling.output_size": int(sides.pop()),
        "model.heads.pooling.context_ratio": how["context"],
    }


def squares(sides):
    found = [[side, side] for side in sides]
    ends = [sum(FACES[:level]) for level in range(len(FACES) + 1)]
    return [found[start:end] for start, end in itertools.pairwise(ends)]


def family_of(name):
    return f"mscnn/{name.partition('/')[0]}"


def value_of(entry, name):
    """What the released net has, or the paper's text for KITTI's list train."""
    of_the_text = name in OWN_SPLIT and entry["key"] in ("steps", "stop")
    return entry["paper"]["value"] if of_the_text else entry["default"]["value"]


@pytest.mark.parametrize("name", MSCNN)
def test_settings(name):
    families = read("paper_settings.json")["families"]
    own = {entry["key"]: entry for entry in families[family_of(name)]["settings"]}
    shared = {entry["key"]: entry for entry in families["shared"]["settings"] if entry["key"] in MEANING}
    assert own.keys() <= MEANING.keys() | EXCEPTED.keys()
    expected = {}
    for key, entry in (shared | own).items():
        skipped = key in EXCEPTED or (key in OF_CASCADES and not is_cascade(name))
        if not skipped and not (name in OWN_SPLIT and key in OF_THE_SERVERS):
            expected |= MEANING[key](value_of(entry, name))
    if not is_cascade(name):
        expected |= of_the_baseline(families[family_of(name)]["baseline_differs"])
    ours = entries(name)
    assert {key: value for key, value in expected.items() if not same(ours[key]["value"], value)} == {}


def of_the_baseline(differences):
    """Settings of the baseline where it is no cascade of one stage."""
    told = {entry["what"]: entry["baseline"]["value"] for entry in differences}
    changed = {}
    if "box regression" in told:
        changed["model.heads.head.class_agnostic"] = not told["box regression"].startswith("class aware")
        changed["model.heads.background_range"] = [0.1, told["upper end of the background range, stage 1"]]
    if "devices and images per device, step 2" in told:
        numbers = re.match(r"(\d) device x (\d)", told["devices and images per device, step 2"])
        changed |= dict(zip(("devices", "images_per_device"), map(int, numbers.groups()), strict=True))
        changed["model.heads.num_samples"] = each(told["RoIs of stage 1"])
    return changed


@pytest.mark.parametrize("name", [name for name in MSCNN if is_cascade(name)])
def test_baseline_and_cascade_differ_in_what_the_oracle_finds_and_in_nothing_else(name):
    (pair,) = (pair for pair in SETTINGS["pairs"] if pair["cascade"] == name)
    listed = {re.sub(r"(pooling)\.\w+$", r"\1", entry["setting"]) for entry in pair["differs"]}
    found = read("paper_settings.json")["families"][family_of(name)]["baseline_differs"]
    assert listed == set().union(*(DIFFERENCES[entry["what"]] for entry in found))
