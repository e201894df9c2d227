"""The MS-CNN authors' networks: names and shapes of all blobs at full size, settings, and what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from cascade_tf.models import (
    cascade_mscnn_citypersons,
    cascade_mscnn_kitti,
    cascade_mscnn_widerface,
    mscnn_citypersons,
    mscnn_kitti,
    mscnn_widerface,
)
from cascade_tf.parts import Part
from cascade_tf.weights.families import DETECTOR_FAMILIES
from cascade_tf.weights.families.mscnn import MSCNN_FAMILY, blob_of
from cascade_tf.weights.importing import describe_checkpoint, import_checkpoint
from cascade_tf.weights.places import places
from tests.weights import synthetic
from tests.weights.caffe_writer import data, integer, layer
from tests.weights.sparse_caffemodel import write_zeros
from tests.weights.synthetic_caffe import MSCNN

# Blobs and sizes of the networks of zhaoweicai/mscnn, revision 534bcac, in the second step of training.
NETS = json.loads((Path(__file__).parent / "mscnn_blobs.json").read_text())
RECIPES = {
    "kitti_car/mscnn-7s-576-2x-trainval": mscnn_kitti,
    "kitti_car/cascade-mscnn-7s-576-2x-trainval": cascade_mscnn_kitti,
    "citypersons/mscnn-8s-1344-2x": mscnn_citypersons,
    "citypersons/cascade-mscnn-8s-1344-2x": cascade_mscnn_citypersons,
    "widerface/mscnn-12s-2x": mscnn_widerface,
    "widerface/cascade-mscnn-12s-align": cascade_mscnn_widerface,
}
# Settings in which an import and its recipe differ: the authors' pixels, what trained weights expect.
CONVENTIONS = {
    "round_sides",
    "proposals.inclusive",
    "proposals.shift_into_image",
    "heads.inclusive",
    "heads.crowd_cover",
}
ORACLE = Path(
    os.environ.get("CASCADE_TF_ORACLES", Path(__file__).parents[4] / "shared" / "oracles")
) / "paper" / "caffe_blobs.json"  # fmt: skip


def checkpoint(name):
    return synthetic.checkpoint(synthetic.blank(NETS[name]["blobs"]))


def test_all_nets_have_recipes():
    assert NETS.keys() == RECIPES.keys()


@pytest.mark.parametrize("name", NETS)
def test_settings_are_those_of_the_recipe(name):
    arrays, recipe = checkpoint(name), RECIPES[name]
    assert [family.name for family in DETECTOR_FAMILIES if family.matches(arrays)] == ["mscnn"]
    assert MSCNN_FAMILY.num_classes(arrays) == (4 if name.startswith("kitti") else 1)
    assert MSCNN_FAMILY.base(arrays) is recipe
    settings = MSCNN_FAMILY.settings(arrays)
    MSCNN_FAMILY.check_size(arrays, settings)
    found = MSCNN_FAMILY.recipe(arrays, settings)
    widths = {"backbone.channels": (64, 128, 256, 512, 512)}
    for key, value in found.walk():
        standard = widths.get(key, recipe.value(key))
        if isinstance(value, Part):
            assert value.constructor is standard.constructor, key
        elif key == "round_sides" and name.startswith("widerface"):
            assert value is standard is True
        elif key in CONVENTIONS:
            assert value != standard, key
        elif key == "proposals.templates" and name.startswith("widerface"):
            assert value[2] == ((128.0, 128.0), (196.0, 196.0))
            assert standard[2] == ((128.0, 128.0), (192.0, 192.0))
        else:
            assert value == standard, key


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) for n in NETS])
def test_every_blob_has_its_variable_and_every_variable_its_blob(name, tmp_path):
    net = NETS[name]
    detector, _, report, _ = import_checkpoint(write_zeros(tmp_path / "net.caffemodel", net["blobs"]))
    assert not report.missing
    fixed = {blob for blob in net["blobs"] if blob == "conv4_3_2x/0"}
    assert set(report.unused) == fixed
    taken = [blob for sources in report.loaded.values() for blob in sources]
    assert sorted(taken) == sorted(set(net["blobs"]) - fixed)
    found = places(detector)
    assert len(found) == len(detector.variables) == len(taken)
    interpolation = sum(int(np.prod(net["blobs"][blob])) for blob in fixed)
    assert sum(int(np.prod(p.variable.shape)) for p in found.values()) == net["params"] - interpolation


def test_blobs_are_those_of_the_authors_files():
    if not ORACLE.is_file():
        pytest.skip("CASCADE_TF_ORACLES names no folder with paper/caffe_blobs.json")
    nets = {net["id"]: net for net in json.loads(ORACLE.read_text())["nets"]}
    for name, net in NETS.items():
        theirs = nets[f"mscnn:{name}/trainval_2nd"]
        blobs = {
            f"{layer['name']}/{index}": blob["shape"]
            for layer in theirs["layers"]
            for index, blob in enumerate(layer.get("blobs") or [])
        }
        assert net["blobs"] == blobs
        assert (net["mib"], net["params"]) == (theirs["mib"], theirs["params"])


@pytest.mark.parametrize(
    ("net", "name", "blob"),
    [
        ("kitti_car/mscnn-7s-576-2x-trainval", "backbone.conv4_2.bias", "conv4_2/1"),
        ("kitti_car/mscnn-7s-576-2x-trainval", "fpn.conv6_1.kernel", "conv6_1/0"),
        ("kitti_car/mscnn-7s-576-2x-trainval", "rpn.hidden1.kernel", "loss1_conv1/0"),
        ("kitti_car/mscnn-7s-576-2x-trainval", "rpn.template1_2.bias", "LFCN_1_7x7/1"),
        ("citypersons/cascade-mscnn-8s-1344-2x", "rpn.template4_1.kernel", "LFCN_4_3x5/0"),
        ("citypersons/cascade-mscnn-8s-1344-2x", "head2.conv1.kernel", "roi_c1_2nd/0"),
        ("citypersons/cascade-mscnn-8s-1344-2x", "head3.fc1.kernel", "fc6_3rd/0"),
        ("widerface/cascade-mscnn-12s-align", "rpn.hidden3.bias", "rpn_3_conv/1"),
        ("widerface/cascade-mscnn-12s-align", "rpn.template1_2.kernel", "LFCN_1_16x16/0"),
        ("widerface/cascade-mscnn-12s-align", "head1.regressor.kernel", "bbox_pred/0"),
    ],
)
def test_names(net, name, blob):
    blobs = synthetic.blank(NETS[net]["blobs"])
    assert blob_of(name, blobs) == blob
    assert blob in blobs


def test_other_classes_start_afresh(tmp_path):
    path = write_zeros(tmp_path / "net.caffemodel", MSCNN)
    detector, _, report, _ = import_checkpoint(path, class_names=("car", "bus", "tram"))
    left = set(report.missing)
    assert {"rpn.template1_1.kernel", "rpn.template4_1.bias", "head1.classifier.kernel"} <= left
    assert {"rpn.hidden1.kernel", "fpn.conv6_1.bias", "head1.fc1.kernel"} <= set(report.loaded)
    assert detector.proposals.template_layers[0][1].kernel.shape == (7, 7, 4, 8)


def with_templates(path, templates, blobs=MSCNN):
    """A net with the layer that makes proposals, whose parameters have the sizes of the templates."""
    write_zeros(path, blobs)
    sides = b"".join(
        integer(number, template[axis]) for number, axis in ((4, 1), (5, 0)) for template in templates
    )
    path.write_bytes(path.read_bytes() + layer("proposals", "BoxOutput", more=data(151, sides)))
    return path


def test_templates_are_read_from_the_file(tmp_path):
    """The authors' net for images of 1280 x 384 has the very weights of that for 1920 x 576."""
    sides = (40, 56, 80, 112, 160, 224, 320)
    path = with_templates(tmp_path / "net.caffemodel", [(side, side) for side in sides])
    detector, _, report, _ = import_checkpoint(path)
    assert detector.proposals.templates[0] == ((40.0, 40.0), (56.0, 56.0))
    assert detector.proposals.templates[3] == ((320.0, 320.0),)
    assert "proposals.templates" not in report.assumed
    # Without the layer those of the recipe are a guess.
    bare = import_checkpoint(write_zeros(tmp_path / "bare.caffemodel", MSCNN))
    assert bare.detector.proposals.templates[3] == ((480.0, 480.0),)
    assert bare.report.assumed["proposals.templates"][3] == ((480.0, 480.0),)


def test_width_and_height_of_a_template_are_told_apart(tmp_path):
    sides = [(30 + number, 60 + number) for number in range(7)]
    detector = import_checkpoint(with_templates(tmp_path / "net.caffemodel", sides)).detector
    assert detector.proposals.templates[1] == ((32.0, 62.0), (33.0, 63.0))


def test_heads_without_the_enlarged_map_pool_from_conv4_3(tmp_path):
    blobs = {name: shape for name, shape in MSCNN.items() if not name.startswith("conv4_3_2x")}
    detector = import_checkpoint(write_zeros(tmp_path / "net.caffemodel", blobs)).detector
    pooling = detector.heads.pooling
    assert (detector.neck.enlarged, pooling.level, pooling.stride) == (False, "P3", 8)
    enlarged = import_checkpoint(write_zeros(tmp_path / "other.caffemodel", MSCNN)).detector
    pooling = enlarged.heads.pooling
    assert (enlarged.neck.enlarged, pooling.level, pooling.stride) == (True, "P2", 4)


@pytest.mark.parametrize(
    ("templates", "message"),
    [
        ([(60, 60)] * 8, r"got the templates .* of the layer 'proposals', expected 7 of pixels"),
        ([(60, 60)] * 6 + [(0, 60)], r"got the templates .* of the layer 'proposals', expected 7 of pixels"),
    ],
)
def test_templates_that_no_branch_has_are_refused(tmp_path, templates, message):
    with pytest.raises(ValueError, match=message):
        describe_checkpoint(with_templates(tmp_path / "net.caffemodel", templates))


def test_nets_of_other_kernels_are_refused_in_a_line(tmp_path):
    """Caltech's: kernels of pedestrians, and one of them on the last map."""
    name = "citypersons/mscnn-8s-1344-2x"
    blobs = {key: shape for key, shape in NETS[name]["blobs"].items() if "LFCN_4_5x7" not in key}
    with pytest.raises(ValueError, match=r"expected those for KITTI, CityPersons or WIDER FACE$") as error:
        describe_checkpoint(write_zeros(tmp_path / "net.caffemodel", blobs))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("net", "change", "message"),
    [
        (
            "kitti_car/mscnn-7s-576-2x-trainval",
            {"bbox_pred/0": (12, 4096)},
            "got 12 offsets of a box, expect",
        ),
        ("kitti_car/mscnn-7s-576-2x-trainval", {"fc6/0": (4096, 25088)}, "got fc6/0 with 25088 inputs"),
        ("kitti_car/mscnn-7s-576-2x-trainval", {"cls_pred/0": (1, 4096)}, "got cls_pred/0 with 1 rows"),
        ("citypersons/mscnn-8s-1344-2x", {"LFCN_1_3x5/0": (6, 512, 9, 9)}, "got proposal branches with kern"),
        (
            "citypersons/mscnn-8s-1344-2x",
            {"cls_pred_2nd/0": (2, 2048)},
            "got 2 heads, expected 1, a baseline",
        ),
        (
            "widerface/mscnn-12s-2x",
            {"roi_c1/0": ()},
            "its tensors have shapes or values that no detector has",
        ),
    ],
    ids=["offsets", "cells", "classes", "kernels", "heads", "scalar"],
)
def test_what_cannot_be_built_is_refused(tmp_path, net, change, message):
    blobs = {key: tuple(shape) for key, shape in NETS[net]["blobs"].items()}
    with pytest.raises(ValueError, match=message) as error:
        describe_checkpoint(write_zeros(tmp_path / "net.caffemodel", blobs | change))
    assert "net.caffemodel (mscnn)" in str(error.value)
