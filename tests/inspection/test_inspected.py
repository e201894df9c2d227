"""What is broken and what is odd in one split, and in several together."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from cascade_tf.data.coco import read_dataset_dir
from cascade_tf.inspection.inspected import inspect
from cascade_tf.inspection.remarks import class_remarks, completeness, duplicate_remarks, split_remarks
from cascade_tf.inspection.table import class_table, split_table
from tests.data.small_dataset import content, write_annotations, write_pictures
from tests.data.sources.small_voc import Thing, write_year


@pytest.fixture
def folder(tmp_path) -> Path:
    write_pictures(tmp_path / "images")
    write_annotations(tmp_path, content())
    return tmp_path


def look(folder, split="train"):
    return inspect(read_dataset_dir(folder, split, skip_broken=True))


def test_broken_records_are_told_from_boxes_that_are_left_out(folder):
    annotations = content()
    annotations["annotations"][0]["category_id"] = 99
    annotations["annotations"][3]["bbox"][2] = 0
    write_annotations(folder, annotations)
    (folder / "images" / "e.png").write_bytes(b"")
    split = look(folder)
    assert [line.split(":")[0] for line in split.problems] == ["annotations[0] (id 1)", "image 14"]
    assert len(split.dropped) == 1
    assert "is empty" in split.dropped[0]
    assert [one.image_id for one in split.examples] == [10, 11, 12, 13]
    assert split.statistics.images == 4
    assert len(split.usable().examples) == 4


def test_no_picture_is_left(folder):
    for file in (folder / "images").iterdir():
        file.write_text("text")
    split = look(folder)
    assert len(split.problems) == 5
    assert split.statistics.images == 0
    # Tables have nothing to divide by.
    assert "broken pictures" in split_table({"train": split})
    with pytest.raises(ValueError, match="no usable image is left"):
        split.usable()


def test_remarks_on_a_split(folder):
    annotations = content()
    annotations["annotations"][3]["bbox"][2] = 0
    write_annotations(folder, annotations)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (60, 40)).save(folder / "images" / "a.png", exif=exif)
    lines = split_remarks(look(folder))
    assert sum("is empty" in line for line in lines) == 1
    assert lines[-1].startswith("1 of 5 pictures have the annotated size as they are stored")


def test_pictures_in_train_and_val(folder):
    shutil.copy(folder / "images" / "a.png", folder / "images" / "f.png")
    shutil.copy(folder / "images" / "b.png", folder / "images" / "g.png")
    other = {**content(), "annotations": []}
    other["images"] = [{"id": 1, "file_name": "f.png", "width": 60, "height": 40}]
    (folder / "instances_val.json").write_text(json.dumps(other))
    third = content()
    third["images"].append({"id": 99, "file_name": "g.png", "width": 64, "height": 48})
    write_annotations(folder, third)
    counts = []
    lines = duplicate_remarks({"train": look(folder), "val": look(folder, "val")}, counts.append)
    assert lines == [
        "pictures with the same bytes in train and val: 1 (a.png = f.png); "
        "what is measured on them was learnt",
        "train: 1 of 6 pictures have the same bytes as another one of them",
    ]
    assert sum(counts) == 7


def test_classes_that_one_split_lacks(folder):
    other = content()
    other["annotations"] = other["annotations"][:1]
    (folder / "instances_val.json").write_text(json.dumps(other))
    splits = {"train": look(folder), "val": look(folder, "val")}
    assert class_remarks(splits) == ["val has no object of classes that train has: dog"]
    table = class_table(splits)
    assert [line.split() for line in table.splitlines()[1:]] == [
        ["cat", "2", "(2)", "1", "(1)"],
        ["dog", "2", "(2)", "0", "(0)"],
    ]


def test_a_benchmark_that_is_not_complete(tmp_path):
    things = {name: [Thing("cat", (1, 1, 9, 9))] for name in ("1", "2", "3")}
    write_year(tmp_path / "VOC2007", {"trainval": ["1", "2"], "test": ["3"]}, things)
    splits = {name: look(tmp_path, name) for name in ("train", "val")}
    assert completeness(splits) == (
        [],
        [
            "PASCAL VOC 2007 trainval: 2 of the 5,011 images of the benchmark, 5,009 are missing",
            "PASCAL VOC 2007 test: 1 of the 4,952 images of the benchmark, 4,951 are missing",
        ],
    )


def test_a_benchmark_that_is_complete(tmp_path, monkeypatch):
    from cascade_tf.data.sources import voc

    monkeypatch.setitem(voc._PUBLISHED["VOC2007"], "trainval", 2)
    write_year(tmp_path / "VOC2007", {"trainval": ["1", "2"]}, {"1": [Thing("cat", (1, 1, 9, 9))], "2": []})
    assert completeness({"train": look(tmp_path)}) == (["PASCAL VOC 2007 trainval: complete, 2 images"], [])


def test_years_of_voc_count_together(tmp_path):
    for year, name in (("VOC2007", "000001"), ("VOC2012", "2008_000001")):
        write_year(tmp_path / year, {"trainval": [name]}, {name: [Thing("cat", (1, 1, 9, 9))]})
    published = look(tmp_path).dataset.source.published
    assert published == ("PASCAL VOC 2007 trainval and 2012 trainval", 16_551, 20)


def test_a_folder_of_ones_own_is_no_benchmark(folder, tmp_path):
    assert completeness({"train": look(folder)}) == ([], [])
    # Nor where it has the names of one's files.
    write_year(tmp_path / "VOC2007", {"train": ["1"]}, {"1": [Thing("robot", (1, 1, 9, 9))]})
    assert completeness({"train": look(tmp_path / "VOC2007")}) == ([], [])
    (folder / "instances_train.json").rename(folder / "instances_train2017.json")
    named = look(folder)
    assert named.dataset.source.published == ("COCO train2017", 118_287, 80)
    assert completeness({"train": named}) == ([], [])
