"""The authors' Caffe networks: names and shapes of all blobs at full size, settings, and what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from cascade_tf.experiment.config import load_config
from cascade_tf.models import (
    cascade_rcnn_alexnet,
    cascade_rcnn_fpn,
    cascade_rcnn_fpn_plus,
    cascade_rcnn_vgg16,
    cascade_rfcn,
    faster_rcnn_alexnet,
    faster_rcnn_fpn,
    faster_rcnn_fpn_plus,
    faster_rcnn_vgg16,
    rfcn,
)
from cascade_tf.parts import Part
from cascade_tf.proposals.anchor_shapes import COCO_ANCHORS, FPN_PLUS_ANCHORS, VOC_ANCHORS
from cascade_tf.weights.families.caffe import CAFFE
from cascade_tf.weights.families.caffe_names import blob_of
from cascade_tf.weights.importing import describe_checkpoint, import_checkpoint
from cascade_tf.weights.places import places
from tests.weights import synthetic
from tests.weights.sparse_caffemodel import write_zeros
from tests.weights.synthetic_caffe import ALEXNET

# Blobs and sizes of the networks of zhaoweicai/cascade-rcnn, revision 2252f46.
NETS = json.loads((Path(__file__).parent / "caffe_blobs.json").read_text())
PAPER = {
    "coco/vgg-12s-600-rpn": (277.99, 703.41),
    "coco/res50-12s-600-rfcn": (132.88, 182.99),
    "coco/res101-12s-600-rfcn": (205.32, 255.44),
    "coco/res50-15s-800-fpn": (164.92, 271.63),
    "coco/res101-15s-800-fpn": (237.37, 344.08),
}
"""Parameters of baseline and cascade, MiB."""
SHARE = 0.002
RECIPES = {
    "vgg": (faster_rcnn_vgg16, cascade_rcnn_vgg16),
    "alex": (faster_rcnn_alexnet, cascade_rcnn_alexnet),
    "rfcn": (rfcn, cascade_rfcn),
    "fpn": (faster_rcnn_fpn_plus, cascade_rcnn_fpn_plus),
}
"""Baseline and cascade."""
ROWS = {
    "vgg": ("faster_rcnn_vgg16", "cascade_rcnn_vgg16"),
    "alex": ("faster_rcnn_alexnet", "cascade_rcnn_alexnet"),
    "rfcn": ("rfcn_r{}", "cascade_rfcn_r{}"),
    "fpn": ("faster_rcnn_r{}_fpn_plus", "cascade_rcnn_r{}_fpn_plus"),
}
"""Configurations of both."""
OWN_TO_CAFFE = {
    # Boxes of (first pixel, last pixel), which trained weights expect and training here leaves out.
    "proposals.inclusive": (True, False),
    "proposals.border": (1.0, 0.0),
    "heads.inclusive": (True, False),
    "output.border": (1.0, 0.0),
    # Theirs trained on background in crowds.
    "heads.crowd_cover": (None, 0.7),
    # Four outputs that nothing reads, but the files have them; R-FCN's here have them too.
    "heads.head.background_offsets": (True, False),
}
"""Settings in which an import and the configuration of the same row differ: (import, configuration)."""
ORACLE = Path(
    os.environ.get("CASCADE_TF_ORACLES", Path(__file__).parents[4] / "shared" / "oracles")
) / "paper" / "caffe_blobs.json"  # fmt: skip


def checkpoint(name):
    return synthetic.checkpoint(synthetic.blank(NETS[name]["blobs"]))


def of_net(name, table):
    return next(pair for part, pair in table.items() if part in name)[name.endswith("cascade")]


def mib(values):
    return 4 * sum(int(np.prod(value.shape)) for value in values) / 2**20


@pytest.mark.parametrize("name", NETS)
def test_settings(name):
    arrays = checkpoint(name)
    assert CAFFE.matches(arrays)
    assert CAFFE.num_classes(arrays) == (80 if name.startswith("coco") else 20)
    assert CAFFE.base(arrays) is of_net(name, RECIPES)
    settings = CAFFE.settings(arrays)
    assert settings["heads.ious"] == ((0.5, 0.6, 0.7) if name.endswith("cascade") else (0.5,))
    CAFFE.check_size(arrays, settings)
    recipe = CAFFE.recipe(arrays, settings)
    depth = recipe.value("backbone.depth")
    assert depth == (None if "res" not in name else 101 if "res101" in name else 50)
    anchors = FPN_PLUS_ANCHORS if "fpn" in name else (COCO_ANCHORS if "coco" in name else VOC_ANCHORS,)
    assert recipe.value("proposals.anchors") == anchors
    # At full size the files say nothing but what the recipes have.
    architecture = {key: value for key, value in settings.items() if "channels" in key or "units" in key}
    for key, value in architecture.items():
        standard = of_net(name, RECIPES).value(key)
        assert standard in (value, None), key


def plain(value):
    """A setting to compare: of a part its name, and lists and tuples alike."""
    if isinstance(value, Part):
        return value.name
    return tuple(map(plain, value)) if isinstance(value, list | tuple) else value


@pytest.mark.parametrize("name", NETS)
def test_an_import_has_the_settings_of_its_row(name):
    arrays = checkpoint(name)
    data, _, net = name.partition("/")
    row = of_net(name, ROWS).format(net[3 : net.index("-")])
    found = CAFFE.recipe(arrays, CAFFE.settings(arrays))
    configured = load_config(f"{data}/{row}").model
    assert found.names() == configured.names()
    for key, value in found.walk():
        expected = configured.value(key)
        if "channels" in key and expected is None:
            continue  # The standard widths, which test_settings compares.
        if plain(value) != plain(expected):
            assert OWN_TO_CAFFE.get(key) == (value, expected), key


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) for n in NETS])
def test_every_blob_has_its_variable_and_every_variable_its_blob(name, tmp_path):
    net = NETS[name]
    path = write_zeros(tmp_path / "net.caffemodel", net["blobs"])
    detector, _, report, _ = import_checkpoint(path)
    assert not report.missing
    fixed = {blob for blob in net["blobs"] if blob.endswith(("_2x/0", "_down/0"))}
    assert set(report.unused) == fixed
    taken = [blob for sources in report.loaded.values() for blob in sources]
    assert sorted(taken) == sorted(set(net["blobs"]) - fixed)
    found = places(detector)
    assert len(found) == len(detector.variables)
    # Constants: a frozen normalisation's statistics, which its scale and shift in Caffe hold already.
    without = {name for name, sources in report.loaded.items() if not sources}
    assert all(name.endswith(("moving_mean", "moving_variance")) for name in without)
    size = mib(place.variable for name, place in found.items() if name not in without)
    assert size == pytest.approx(net["mib"], rel=SHARE)
    kind, _, way = name.rpartition("-")
    if kind in PAPER:
        assert size == pytest.approx(PAPER[kind][way == "cascade"], rel=SHARE)


@pytest.mark.slow
def test_a_standard_pyramid_is_not_the_authors(monkeypatch):
    detector = faster_rcnn_fpn([f"class {n}" for n in range(80)], **{"heads.head.class_agnostic": True})
    trained = [v for v in detector.variables if not v.path.endswith(("moving_mean", "moving_variance"))]
    size = mib(trained)
    assert size == pytest.approx(158.1, abs=0.1)
    assert size != pytest.approx(PAPER["coco/res50-15s-800-fpn"][0], rel=SHARE)


def test_blobs_are_those_of_the_authors_files():
    if not ORACLE.is_file():
        pytest.skip("CASCADE_TF_ORACLES names no folder with paper/caffe_blobs.json")
    nets = {net["id"]: net for net in json.loads(ORACLE.read_text())["nets"]}
    theirs = {name.removeprefix("caffe:"): net for name, net in nets.items() if name.startswith("caffe:")}
    assert set(NETS) == set(theirs)
    for name, net in theirs.items():
        blobs = {
            f"{layer['name']}/{index}": blob["shape"]
            for layer in net["layers"]
            for index, blob in enumerate(layer.get("blobs") or [])
        }
        assert NETS[name]["blobs"] == blobs
        assert (NETS[name]["mib"], NETS[name]["params"]) == (net["mib"], net["params"])


@pytest.mark.parametrize(
    ("net", "name", "blob"),
    [
        ("coco/vgg-12s-600-rpn-cascade", "backbone.conv4_2.bias", "conv4_2/1"),
        ("coco/vgg-12s-600-rpn-cascade", "rpn.hidden1.kernel", "rpn_conv/0"),
        ("coco/vgg-12s-600-rpn-cascade", "head3.fc1.kernel", "fc6_3rd/0"),
        ("coco/vgg-12s-600-rpn-cascade", "head2.regressor.bias", "bbox_pred_2nd/1"),
        ("coco/res50-12s-600-rfcn-cascade", "backbone.res4.5.conv3.kernel", "res4f_branch2c/0"),
        ("coco/res101-12s-600-rfcn-base", "backbone.res4.22.conv2.norm.beta", "scale4b22_branch2b/1"),
        ("coco/res101-12s-600-rfcn-base", "backbone.res2.1.conv1.kernel", "res2b_branch2a/0"),
        ("coco/res50-12s-600-rfcn-cascade", "backbone.stem.conv1.norm.gamma", "scale_conv1/0"),
        ("coco/res50-12s-600-rfcn-cascade", "head2.hidden.kernel", "conv_new_2/0"),
        ("coco/res50-12s-600-rfcn-cascade", "head3.classifier.kernel", "rfcn_cls_3rd/0"),
        ("coco/res101-15s-800-fpn-cascade", "fpn.lateral4.kernel", "res4b22_side/0"),
        ("coco/res50-15s-800-fpn-cascade", "fpn.output5.kernel", "fpn5/0"),
        ("coco/res50-15s-800-fpn-cascade", "rpn.offsets3.bias", "rpn_fpn4_bbox/1"),
        ("coco/res50-15s-800-fpn-cascade", "head1.fc2.kernel", "fc2/0"),
    ],
)
def test_names(net, name, blob):
    blobs = NETS[net]["blobs"]
    assert blob_of(name, blobs) == blob
    assert blob in blobs


def describe(tmp_path, change, name="voc/alex-9s-600-rpn-base", **overrides):
    blobs = {key: tuple(shape) for key, shape in NETS[name]["blobs"].items()}
    path = write_zeros(tmp_path / "net.caffemodel", blobs | change)
    return describe_checkpoint(path, **overrides)


def test_description(tmp_path):
    described = describe(tmp_path, {}, **{"output.nms_iou": 0.45})
    assert described.recipe.value("output.nms_iou") == 0.45
    assert described.recipe.value("heads.pooling.output_size") == 6
    assert described.class_names[0] == "class 1"
    assert described.recipe.value("heads.inclusive") is True


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rpn_cls/0": (30, 512, 1, 1)}, r"got 15 anchors per cell, expected 12 \(COCO\) or 9 \(VOC\)"),
        ({"bbox_pred/0": (20, 2048)}, "got 20 offsets of a box, expected 8"),
        ({"cls_pred/0": (1, 2048)}, r"got cls_pred/0 with 1 rows, expected 1 for each of K \+ 1 classes"),
        ({"fc6/0": (2048000, 1)}, r"got \d+ numbers in all tensors, expected about \d+"),
        ({"conv5/0": ()}, "its tensors have shapes or values that no detector has"),
    ],
    ids=["anchors", "offsets", "classes", "size", "scalar"],
)
def test_what_cannot_be_built_is_refused(tmp_path, change, message):
    with pytest.raises(ValueError, match=message) as error:
        describe(tmp_path, change)
    assert "net.caffemodel (caffe)" in str(error.value)


def test_settings_of_other_detectors_are_refused(tmp_path):
    with pytest.raises(TypeError, match=r"unknown setting 'proposals\.anchor_sizes'"):
        describe(tmp_path, {}, **{"proposals.anchor_sizes": (32,)})
    assert "proposals.anchor_sizes" in cascade_rcnn_fpn.names()


def test_what_is_guessed_is_told(tmp_path):
    path = write_zeros(tmp_path / "net.caffemodel", ALEXNET)
    report = import_checkpoint(path, **{"output.nms_iou": 0.4}).report
    assert report.assumed["proposals.score_threshold_test"] == 0.05
    assert report.assumed["round_sides"] is True
    assert report.assumed["output.score_threshold"] == 0.1
    assert "output.nms_iou" not in report.assumed
    assert "proposals.anchor_sizes" not in report.assumed
