"""How many images benchmarks have, by the parts that sources read."""

from __future__ import annotations

from pathlib import Path

import pytest

from cascade_tf.data.sources.citypersons import CityPersonsSplit
from cascade_tf.data.sources.coco import find_coco
from cascade_tf.data.sources.kitti import KittiFrames
from cascade_tf.data.sources.voc import find_voc
from cascade_tf.data.sources.widerface import WiderFaceSplit
from tests.data.sources.small_voc import write_year

HERE = Path("somewhere")


@pytest.mark.parametrize(
    ("source", "published"),
    [
        (KittiFrames("", "training", (), ""), ("KITTI training", 7481, 3)),
        (KittiFrames("", "testing", (), "", labelled=False), ("KITTI testing", 7518, 3)),
        (CityPersonsSplit("", HERE, "train"), ("CityPersons train", 2975, 1)),
        (CityPersonsSplit("", HERE, "val"), ("CityPersons val", 500, 1)),
        (CityPersonsSplit("", HERE, "test"), ("CityPersons test", 1525, 1)),
        (CityPersonsSplit("", HERE, "train_extra"), None),
        (WiderFaceSplit("", HERE, "train"), ("WIDER FACE train", 12_880, 1)),
        (WiderFaceSplit("", HERE, "val"), ("WIDER FACE val", 3226, 1)),
        (WiderFaceSplit("", HERE, "test"), ("WIDER FACE test", 16_097, 1)),
    ],
)
def test_parts(source, published):
    assert source.published == published


@pytest.mark.parametrize(
    ("file", "split", "published"),
    [
        ("instances_train2017.json", "train", ("COCO train2017", 118_287, 80)),
        ("instances_val2017.json", "val", ("COCO val2017", 5000, 80)),
        ("image_info_test-dev2017.json", "test-dev", ("COCO test-dev2017", 20_288, 80)),
        ("instances_val2017.json.gz", "val", ("COCO val2017", 5000, 80)),
        ("instances_train.json", "train", None),
    ],
)
def test_files_of_coco(tmp_path, file, split, published):
    (tmp_path / file).write_text("{}")
    assert find_coco(tmp_path, split, splitting=False).published == published


def test_lists_of_voc(tmp_path):
    for year, lists in (("VOC2007", ("trainval", "test", "mine")), ("VOC2012", ("trainval", "train", "val"))):
        write_year(tmp_path / year, {name: ["1"] for name in lists}, {"1": []})
    found = {
        split: find_voc(tmp_path, split, splitting=False).published
        for split in ("train", "val", "mine", "all")
    }
    assert found == {
        "train": ("PASCAL VOC 2007 trainval and 2012 trainval", 16_551, 20),
        "val": ("PASCAL VOC 2007 test", 4952, 20),
        "mine": None,
        "all": None,
    }
    assert find_voc(tmp_path / "VOC2012", "val", splitting=False).published == (
        "PASCAL VOC 2012 val",
        5823,
        20,
    )
