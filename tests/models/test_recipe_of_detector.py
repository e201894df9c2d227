"""The recipe can be read off the detector that it built."""

from __future__ import annotations

import pytest

from cascade_tf.backbones import ResNet
from cascade_tf.heads import BoxHead, integral
from cascade_tf.layers import DetectionOutput
from cascade_tf.models import (
    TwoStageDetector,
    cascade_mask_rcnn_fpn,
    cascade_rcnn_fpn,
    faster_rcnn_fpn,
    mask_rcnn_fpn,
)
from cascade_tf.models.recipe_of_detector import recipe_of_detector
from cascade_tf.parts import part

SMALL = {"backbone.depth": 14, "backbone.width": 0.125, "neck.channels": 16, "heads.head.units": 16}
UNUSUAL = {
    **{"backbone.norm": "group", "backbone.norm_groups": 4, "backbone.freeze_at": 0},
    **{"backbone.stride_in_1x1": False, "backbone.recompute": True, "neck.norm": "none"},
    **{"inputs.order": "RGB", "inputs.mean": (1.0, 2.0, 3.0), "inputs.std": (4.0, 5.0, 6.0)},
    **{"proposals.anchor_sizes": (8, 16, 24, 32, 64), "proposals.crowd_cover": None, "proposals.beta": 0.3},
    **{"proposals.nms_iou": 0.6, "proposals.post_nms_test": 14, "proposals.claim_untouched": True},
    **{"heads.ious": (0.4, 0.6), "heads.update_statistics": False, "heads.weighting": "avg"},
    **{"heads.num_samples": 16, "heads.later_samples": 17, "heads.foreground_fraction": 0.5},
    **{"heads.rescale_heads": False, "heads.append_ground_truth": "first", "heads.redundant_iou": 0.9},
    **{"heads.clip_boxes": True, "heads.inclusive": True, "heads.crowd_cover": None, "heads.box_beta": 0.7},
    **{"heads.means": ((0.0, 0.1, 0.0, 0.0), (0.2, 0.0, 0.0, 0.0)), "heads.box_weight": 2.0},
    **{"heads.background_range": (0.1, 0.3), "heads.top_up": True, "heads.hard_examples": 6},
    **{"heads.match_crowds": True, "heads.min_side": 1.0, "output.border": 1.0},
    **{"heads.ensemble": "own_boxes", "heads.head.class_agnostic": False, "heads.head.num_convs": 1},
    **{"heads.head.conv_channels": 20, "heads.pooling.output_size": 5, "heads.pooling.sampling_ratio": 0},
    **{"heads.pooling.canonical_size": 112.0, "heads.masks.stages": (1, 2), "heads.masks.head.channels": 12},
    **{"heads.masks.head.class_agnostic": True, "heads.masks.pooling.output_size": 8},
    **{"output.score_threshold": 0.2, "output.nms_iou": 0.4, "output.soft_nms": "linear"},
    **{"output.max_detections": 21, "short_side": 64, "max_side": 96, "size_divisor": 64},
    **{"round_sides": True, "round_to": 16, "resize": "both_sides", "heads.iterations": 2},
    "separate_images": False,
}


def test_unusual_settings_are_read():
    found = recipe_of_detector(cascade_mask_rcnn_fpn(["a", "b"], **SMALL, **UNUSUAL))
    for name, value in {**SMALL, **UNUSUAL}.items():
        assert found.value(name) == value, name
    assert found.value("heads.round_statistics") is False
    assert found.value("backbone.depth") == 14
    assert found.settings["backbone"].constructor is ResNet
    assert found.value("heads").settings["head"].constructor is BoxHead


INTEGRAL = {
    **{"ious": (0.4, 0.6), "num_samples": 16, "foreground_fraction": 0.5, "append_ground_truth": "none"},
    **{"crowd_cover": None, "box_beta": 0.7, "mean": (0.0, 0.1, 0.0, 0.0)},
    **{"std": (0.1, 0.2, 0.3, 0.4), "box_weight": 2.0, "background_range": (0.1, 0.3), "top_up": True},
    **{"match_crowds": True, "hard_examples": 6},
}


@pytest.mark.parametrize("hidden_layers", ["shared", "own"])
def test_the_integral_losss_settings_are_read(hidden_layers):
    settings = {**INTEGRAL, "hidden_layers": hidden_layers}
    heads = part(integral, head=part(BoxHead, units=16, num_fcs=1), **settings)
    small = {name: value for name, value in SMALL.items() if not name.startswith("heads")}
    found = recipe_of_detector(cascade_rcnn_fpn(["a", "b"], **small, heads=heads))
    assert found.settings["heads"] == heads
    assert part(integral).settings.keys() == {*settings, "head", "pooling"}


@pytest.mark.parametrize(
    ("recipe", "settings"),
    [
        (cascade_rcnn_fpn, {"heads.round_statistics": True}),
        (cascade_rcnn_fpn, {}),
        (faster_rcnn_fpn, {}),
        (mask_rcnn_fpn, {}),
    ],
)
def test_the_recipe_builds_the_like(recipe, settings):
    detector = recipe(["a"], [5], **SMALL, **settings)
    again = recipe_of_detector(detector)(["a"], [5])
    assert again.get_config()["heads"] == detector.get_config()["heads"]
    assert [tuple(v.shape) for v in again.weights] == [tuple(v.shape) for v in detector.weights]


def rebuilt(**changes):
    made = cascade_rcnn_fpn(["a"], **SMALL)
    names = ("backbone", "neck", "proposals", "heads", "detection_output", "image_inputs")
    parts = {name: getattr(made, name) for name in names}
    return TwoStageDetector(**{**parts, "class_names": ["a"], **changes})


def test_a_detector_of_other_parts_is_refused():
    found = recipe_of_detector(rebuilt(detection_output=DetectionOutput(0.1, 0.5, 7)))
    assert (found.value("output.score_threshold"), found.value("output.max_detections")) == (0.1, 7)
    unlike = rebuilt()
    unlike.heads.stages[2].foreground_fraction = 0.125
    with pytest.raises(ValueError, match="its parts are put together otherwise"):
        recipe_of_detector(unlike)
    unlike = rebuilt()
    unlike.heads.stages[1].weight = 0.4
    with pytest.raises(ValueError, match="the stages' weights are"):
        recipe_of_detector(unlike)


def test_statistics_of_ones_own_are_read():
    stds = ((0.1, 0.1, 0.2, 0.2), (0.06, 0.05, 0.1, 0.1), (0.03, 0.03, 0.06, 0.07))
    found = recipe_of_detector(cascade_rcnn_fpn(["a"], **SMALL, **{"heads.stds": stds}))
    assert found.value("heads.stds") == stds
    assert found.value("heads.means") is None
