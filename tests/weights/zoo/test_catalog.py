from __future__ import annotations

import dataclasses
import re
from pathlib import PurePosixPath

import pytest

from cascade_tf.models import cascade_rcnn_fpn
from cascade_tf.weights.families import BACKBONE_FAMILIES, DETECTOR_FAMILIES
from cascade_tf.weights.zoo.catalog import CATALOG, find

ENTRIES = list(CATALOG.values())
DETECTORS = [entry for entry in ENTRIES if entry.kind == "detector"]
BACKBONES = [entry for entry in ENTRIES if entry.kind == "backbone"]


def name_of(entry):
    return entry.name


@pytest.mark.parametrize(
    ("name", "box_ap", "mask_ap"),
    [
        ("detectron2/cascade_mask_rcnn_R_50_FPN_1x", 42.1, 36.4),
        ("detectron2/cascade_mask_rcnn_R_50_FPN_3x", 44.3, 38.5),
        ("detectron2/cascade_mask_rcnn_X_152_32x8d_FPN_IN5k_gn_dconv", 50.2, 44.0),
        ("detectron2/faster_rcnn_R_50_FPN_3x", 40.2, None),
        ("detectron2/faster_rcnn_R_101_FPN_3x", 42.0, None),
        ("detectron2/mask_rcnn_R_50_FPN_3x", 41.0, 37.2),
        ("detectron2/mask_rcnn_R_101_FPN_3x", 42.9, 38.6),
        ("mmdetection/cascade_rcnn_r50_fpn_1x_coco", 40.3, None),
        ("mmdetection/cascade_rcnn_r101_fpn_1x_coco", 42.0, None),
        ("mmdetection/cascade_mask_rcnn_r50_fpn_1x_coco", 41.2, 35.9),
        ("torchvision/resnet50", None, None),
        ("detectron/X-152-32x8d-IN5k", None, None),
    ],
)
def test_the_zoos_models_are_there_with_their_published_ap(name, box_ap, mask_ap):
    entry = find(name)
    assert (entry.name, entry.box_ap, entry.mask_ap) == (name, box_ap, mask_ap)


@pytest.mark.parametrize("entry", ENTRIES, ids=name_of)
def test_addresses_are_of_single_files_over_https(entry):
    assert re.fullmatch(r"https://[a-z0-9.]+(/[A-Za-z0-9_.-]+)+\.(pkl|pth)", entry.url)
    assert entry.url.endswith(f"/{entry.file_name}")
    assert entry.cited.startswith("https://github.com/")
    assert entry.licence


@pytest.mark.parametrize("entry", ENTRIES, ids=name_of)
def test_the_digest_is_the_one_in_the_files_name(entry):
    if entry.source == "detectron_imagenet":
        assert entry.digest_prefix is None
        assert entry.sha256 is None
        return
    algorithm, length = ("md5", 6) if entry.source == "detectron2" else ("sha256", 8)
    assert entry.digest_prefix.algorithm == algorithm
    assert re.fullmatch(f"[0-9a-f]{{{length}}}", entry.digest_prefix.digits)
    assert re.search(rf"[_-]{entry.digest_prefix.digits}\.\w+$", entry.file_name)
    if entry.sha256 is not None:
        assert re.fullmatch("[0-9a-f]{64}", entry.sha256)
        assert entry.sha256.startswith(entry.digest_prefix.digits)


def test_no_two_entries_share_a_file():
    assert len({entry.url for entry in ENTRIES}) == len(ENTRIES)
    assert list(CATALOG) == [entry.name for entry in ENTRIES]


@pytest.mark.parametrize("entry", ENTRIES, ids=name_of)
def test_only_a_checked_digest_counts_as_verified(entry):
    assert not entry.verified or (entry.sha256 is not None and entry.size is not None)


@pytest.mark.parametrize("entry", DETECTORS, ids=name_of)
def test_detectors_have_a_plausible_ap_of_what_they_find(entry):
    assert 35.0 < entry.box_ap < 52.0
    assert (entry.mask_ap is not None) == ("mask" in entry.name)
    assert entry.mask_ap is None or entry.box_ap - 7.0 < entry.mask_ap < entry.box_ap


@pytest.mark.parametrize("entry", BACKBONES, ids=name_of)
def test_backbones_have_no_ap(entry):
    assert entry.box_ap is None
    assert entry.mask_ap is None


@pytest.mark.parametrize("entry", ENTRIES, ids=name_of)
def test_there_is_an_importer_for_every_file(entry):
    families = DETECTOR_FAMILIES if entry.kind == "detector" else BACKBONE_FAMILIES
    assert entry.source in [family.name for family in families]


@pytest.mark.parametrize("entry", ENTRIES, ids=name_of)
def test_settings_are_arguments_of_the_recipe(entry):
    assert set(entry.settings) <= set(cascade_rcnn_fpn.names())


def test_resnext_and_group_normalisation_have_the_stride_in_the_3x3_convolution():
    for entry in DETECTORS:
        if entry.source == "detectron2":
            expected = {"backbone.stride_in_1x1": False} if re.search("X_1|gn$", entry.name) else {}
            assert {key: value for key, value in entry.settings.items() if "stride" in key} == expected
    assert find("detectron2/mask_rcnn_X_101_32x8d_FPN_3x").settings["inputs.std"] == (57.375, 57.12, 58.395)
    assert find("detectron/R-50").settings == {"backbone.stride_in_1x1": True}
    assert find("detectron/R-50-GN").settings == {"backbone.stride_in_1x1": False}


def test_the_catalogue_cannot_be_changed_by_accident():
    entry = find("detectron2/mask_rcnn_R_50_FPN_3x_gn")
    with pytest.raises(dataclasses.FrozenInstanceError):
        entry.url = "https://example.org/other.pkl"
    with pytest.raises(TypeError):
        entry.settings["backbone.stride_in_1x1"] = True
    with pytest.raises(TypeError):
        CATALOG["new"] = entry


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("detectron2/cascade_mask_rcnn_R50_FPN_3x", "detectron2/cascade_mask_rcnn_R_50_FPN_3x"),
        ("cascade_mask_rcnn_R_50_FPN_3x", "detectron2/cascade_mask_rcnn_R_50_FPN_3x"),
        ("torchvision/ResNet-50", "torchvision/resnet50"),
        ("cascade_rcnn_r50_1x", "mmdetection/cascade_rcnn_r50_fpn_1x_coco"),
    ],
)
def test_an_unknown_name_gives_near_ones(typed, meant):
    with pytest.raises(ValueError, match=re.escape(f"no checkpoint '{typed}' in the catalogue")) as error:
        find(typed)
    assert f"did you mean '{meant}'" in str(error.value)


def test_a_name_like_no_other():
    with pytest.raises(ValueError, match="no name resembles it; list_pretrained"):
        find("42")


def test_a_path_is_no_name():
    with pytest.raises(TypeError, match="got PurePosixPath, expected str"):
        find(PurePosixPath("torchvision/resnet50"))
