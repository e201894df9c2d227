"""An import says which settings are a guess, because weights do not tell them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cascade_tf.weights.assumed_settings import UNTOLD, assumed_settings
from cascade_tf.weights.families.detectron import DETECTRON
from cascade_tf.weights.families.detectron2 import DETECTRON2
from cascade_tf.weights.families.mmdetection import MMDETECTION
from cascade_tf.weights.families.tensorpack import TENSORPACK
from cascade_tf.weights.importing import import_checkpoint
from tests.weights import conventions_cases, synthetic, synthetic_caffe2, synthetic_tensorpack
from tests.weights.torch_writer import write_pickle

FAMILIES = [DETECTRON, DETECTRON2, MMDETECTION, TENSORPACK]
ANCHORS = {"proposals.anchor_sizes": (32, 64, 128, 256, 512), "proposals.aspect_ratios": (0.5, 1.0, 2.0)}
PIXELS = {"inputs.order", "inputs.mean", "inputs.std"}
# Beside these the pixels, whose values tests/weights/families compares.
USUAL = ANCHORS | {
    "proposals.anchor_offset": 0.0,
    "proposals.pre_nms_test": 1000,
    "proposals.post_nms_test": 1000,
    "proposals.nms_iou": 0.7,
    "heads.ious": (0.5, 0.6, 0.7),
    "heads.pooling.sampling_ratio": 0,
    "heads.pooling.aligned": True,
    "output.score_threshold": 0.05,
    "output.nms_iou": 0.5,
    "output.max_detections": 100,
    "short_side": 800,
    "max_side": 1333,
    "round_sides": False,
}
OF_FAMILY = {
    "detectron": {
        "backbone.stride_in_1x1": True,
        "proposals.anchor_offset": 0.5,
        "heads.pooling.sampling_ratio": 2,
        "heads.pooling.aligned": False,
    },
    "detectron2": {"backbone.stride_in_1x1": True},
    "mmdetection": {"backbone.stride_in_1x1": False},
    "tensorpack": {"backbone.stride_in_1x1": False, "heads.pooling.sampling_ratio": 2},
}


def example(family):
    if family is TENSORPACK:
        model = synthetic_caffe2.Model()
        return synthetic.checkpoint(synthetic.blank(synthetic_tensorpack.detector_shapes(model)))
    return conventions_cases.cascade_mask_rcnn(family.name)


def assumed(family, checkpoint, **given):
    settings = family.settings(checkpoint) | given
    return assumed_settings(settings, family.told(checkpoint) | given.keys())


def plain(value):
    return tuple(value) if isinstance(value, list) else value


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_usual_values_of_the_families(family):
    found = assumed(family, example(family))
    expected = USUAL | OF_FAMILY[family.name]
    assert {name: plain(found[name]) for name in found.keys() - PIXELS} == expected
    assert found.keys() >= PIXELS


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_what_the_caller_says_is_not_assumed(family):
    found = assumed(
        family,
        example(family),
        **{"output.score_threshold": 0.2, "proposals.anchor_sizes": (16, 32, 64, 128, 256)},
    )
    assert assumed(family, example(family)).keys() - found.keys() == {
        "output.score_threshold",
        "proposals.anchor_sizes",
    }


def told(family, arrays=None, metadata=None):
    """What is no longer assumed once a checkpoint has these besides."""
    bare = example(family)
    more = synthetic.checkpoint({**bare.arrays, **(arrays or {})}, metadata)
    return assumed(family, bare).keys() - assumed(family, more).keys()


def test_pixels_and_anchors_that_detectron2_stores():
    assert told(DETECTRON2, {"pixel_mean": np.float32([103, 116, 123])}) == {"inputs.mean", "inputs.order"}
    assert told(DETECTRON2, {"pixel_std": np.float32([1, 1, 1])}) == {"inputs.std"}
    cell = np.float32([[-16, -16, 16, 16]])
    name = "proposal_generator.anchor_generator.cell_anchors.0"
    assert told(DETECTRON2, {name: cell}) == {"proposals.anchor_sizes", "proposals.aspect_ratios"}


def test_the_configuration_of_mmdetection():
    text = "style='caffe', mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0], to_rgb=False"
    assert told(MMDETECTION, metadata={"meta": {"config": text}}) == {*PIXELS, "backbone.stride_in_1x1"}
    assert told(MMDETECTION, metadata={"meta": {"config": "style='pytorch'"}}) == {"backbone.stride_in_1x1"}


def test_the_configuration_of_detectron():
    assert told(DETECTRON, metadata={"cfg": "RESNETS:\n  STRIDE_1X1: true\n"}) == {"backbone.stride_in_1x1"}


def test_groups_are_assumed_where_there_are_some():
    assert "backbone.norm_groups" not in assumed_settings(
        {"backbone.norm": "frozen", "heads.head.norm": "none"}, ()
    )
    assert (
        assumed_settings({"backbone.norm": "frozen", "heads.head.norm": "group"}, ())["backbone.norm_groups"]
        == 32
    )


def test_the_report_of_an_import_names_them(tmp_path):
    small = replace(synthetic.CASCADE_MASK, blocks=(1, 1, 1, 1), **synthetic.SMALL)
    arrays = synthetic.distinct(synthetic.detectron2_shapes(small))
    path = write_pickle(tmp_path / "model.pkl", {"model": arrays})
    report = import_checkpoint(path, **{"proposals.nms_iou": 0.6}).report
    assert report.assumed["output.score_threshold"] == 0.05
    assert "proposals.nms_iou" not in report.assumed
    [line] = [line for line in report.to_text().splitlines() if "assumed" in line]
    assert line.startswith(f"  {len(report.assumed)} settings assumed, which weights do not tell: ")
    assert "output.score_threshold=0.05, output.nms_iou=0.5, output.max_detections=100" in line
    assert "output.nms_iou = 0.5: assumed" in report.to_lines().splitlines()


def test_the_documents_table_names_them_all():
    page = Path(__file__).resolve().parents[2] / "docs" / "weights.md"
    rows = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| `model.")]
    named = {name for line in rows for name in re.findall(r"`model\.([\w.*]+)`", line)}
    assert set(UNTOLD) <= named
