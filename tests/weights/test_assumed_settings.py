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
ANCHORS = {"anchor_sizes": (32, 64, 128, 256, 512), "aspect_ratios": (0.5, 1.0, 2.0)}
PIXELS = {"pixel_order", "pixel_mean", "pixel_std"}
# Beside these the pixels, whose values tests/weights/families compares.
USUAL = ANCHORS | {
    "anchor_offset": 0.0,
    "pre_nms_test": 1000,
    "post_nms_test": 1000,
    "rpn_nms_iou": 0.7,
    "ious": (0.5, 0.6, 0.7),
    "sampling_ratio": 0,
    "roi_aligned": True,
    "score_threshold": 0.05,
    "nms_iou": 0.5,
    "max_detections": 100,
    "short_side": 800,
    "max_side": 1333,
}
OF_FAMILY = {
    "detectron": {"stride_in_1x1": True, "anchor_offset": 0.5, "sampling_ratio": 2, "roi_aligned": False},
    "detectron2": {"stride_in_1x1": True},
    "mmdetection": {"stride_in_1x1": False},
    "tensorpack": {"stride_in_1x1": False, "sampling_ratio": 2},
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
    found = assumed(family, example(family), score_threshold=0.2, anchor_sizes=(16, 32, 64, 128, 256))
    assert assumed(family, example(family)).keys() - found.keys() == {"score_threshold", "anchor_sizes"}


def told(family, arrays=None, metadata=None):
    """What is no longer assumed once a checkpoint has these besides."""
    bare = example(family)
    more = synthetic.checkpoint({**bare.arrays, **(arrays or {})}, metadata)
    return assumed(family, bare).keys() - assumed(family, more).keys()


def test_pixels_and_anchors_that_detectron2_stores():
    assert told(DETECTRON2, {"pixel_mean": np.float32([103, 116, 123])}) == {"pixel_mean", "pixel_order"}
    assert told(DETECTRON2, {"pixel_std": np.float32([1, 1, 1])}) == {"pixel_std"}
    cell = np.float32([[-16, -16, 16, 16]])
    name = "proposal_generator.anchor_generator.cell_anchors.0"
    assert told(DETECTRON2, {name: cell}) == {"anchor_sizes", "aspect_ratios"}


def test_the_configuration_of_mmdetection():
    text = "style='caffe', mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0], to_rgb=False"
    assert told(MMDETECTION, metadata={"meta": {"config": text}}) == {*PIXELS, "stride_in_1x1"}
    assert told(MMDETECTION, metadata={"meta": {"config": "style='pytorch'"}}) == {"stride_in_1x1"}


def test_the_configuration_of_detectron():
    assert told(DETECTRON, metadata={"cfg": "RESNETS:\n  STRIDE_1X1: true\n"}) == {"stride_in_1x1"}


def test_groups_are_assumed_where_there_are_some():
    assert "norm_groups" not in assumed_settings({"norm": "frozen", "head_norm": "none"}, ())
    assert assumed_settings({"norm": "frozen", "head_norm": "group"}, ())["norm_groups"] == 32


def test_the_report_of_an_import_names_them(tmp_path):
    small = replace(synthetic.CASCADE_MASK, blocks=(1, 1, 1, 1), **synthetic.SMALL)
    arrays = synthetic.distinct(synthetic.detectron2_shapes(small))
    path = write_pickle(tmp_path / "model.pkl", {"model": arrays})
    report = import_checkpoint(path, rpn_nms_iou=0.6).report
    assert report.assumed["score_threshold"] == 0.05
    assert "rpn_nms_iou" not in report.assumed
    [line] = [line for line in report.to_text().splitlines() if "assumed" in line]
    assert line.startswith(f"  {len(report.assumed)} settings assumed, which weights do not tell: ")
    assert "score_threshold=0.05, nms_iou=0.5, max_detections=100" in line
    assert "nms_iou = 0.5: assumed" in report.to_lines().splitlines()


def test_the_documents_table_names_them_all():
    page = Path(__file__).resolve().parents[2] / "docs" / "weights.md"
    rows = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| `model.")]
    named = {name for line in rows for name in re.findall(r"`model\.(\w+)`", line)}
    assert set(UNTOLD) <= named
