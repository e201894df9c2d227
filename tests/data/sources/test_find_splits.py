"""The splits that a data set has, in any layout."""

from __future__ import annotations

import json

import pytest

from cascade_tf.data.sources.layout import find_splits
from tests.data.small_dataset import content, write_annotations, write_pictures
from tests.data.sources.small_voc import Thing, write_year


@pytest.fixture
def folder(tmp_path):
    write_pictures(tmp_path / "images")
    return tmp_path


def test_one_split(folder):
    write_annotations(folder, content())
    assert find_splits(folder) == ("train",)
    assert find_splits(folder, splitting=True) == ("train", "val")


def test_a_file_without_a_split(folder):
    (folder / "annotations.json").write_text(json.dumps(content()))
    assert find_splits(folder) == ("all",)
    assert find_splits(folder / "annotations.json") == ("all",)
    assert find_splits(folder, splitting=True) == ("train", "val")


def test_lists_of_tests(folder):
    for split in ("train", "val", "test", "test-dev"):
        kind = "image_info" if split.startswith("test") else "instances"
        (folder / f"{kind}_{split}.json").write_text(json.dumps(content()))
    assert find_splits(folder) == ("train", "val", "test", "test-dev")


def test_a_split_under_two_names_is_one(tmp_path):
    things = {name: [Thing("cat", (1, 1, 9, 9))] for name in ("1", "2")}
    write_year(tmp_path / "VOC2007", {"trainval": ["1"], "test": ["2"]}, things)
    assert find_splits(tmp_path) == ("train", "val")


def test_kitti_without_lists(tmp_path):
    for part in ("training/image_2", "training/label_2", "testing/image_2"):
        (tmp_path / part).mkdir(parents=True)
    assert find_splits(tmp_path) == ("test", "all")


def test_several_files_that_may_be_a_split(folder):
    for name in ("a_train.json", "b_train.json", "a_val.json"):
        (folder / name).write_text(json.dumps(content()))
    with pytest.raises(ValueError, match=r"a_train\.json"):
        find_splits(folder)


def test_nothing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no instances_train\.json"):
        find_splits(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        find_splits(tmp_path / "nowhere")
