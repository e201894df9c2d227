"""PASCAL VOC's devkit as a data set: boxes, marks, classes, the splits of its lists, and what is broken."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from cascade_tf.boxes import ignored_objects
from cascade_tf.data.coco import read_dataset_dir
from cascade_tf.data.pipeline import train_batches
from cascade_tf.data.splitting import Splitting
from cascade_tf.formats.voc import CLASSES
from cascade_tf.metrics import evaluate_coco
from tests.data.sources.samples import sample
from tests.data.sources.small_voc import Thing, annotation, write_year

DOG = Thing("dog", (11, 6, 30, 25), {"truncated": 1, "occluded": 1, "difficult": 0})
HARD = Thing("person", (1, 1, 60, 40), {"difficult": 1})


@pytest.fixture
def devkit(tmp_path):
    """2007 with annotated tests, 2012 with tests that nobody may know; three images to train on."""
    folder = tmp_path / "VOCdevkit"
    write_year(
        folder / "VOC2007",
        {"trainval": ["000005"], "train": ["000005"], "dog_trainval": ["000005"], "test": ["000001"]},
        {"000005": [DOG, HARD], "000001": [DOG]},
    )
    write_year(
        folder / "VOC2012",
        {"train": ["2008_000002", "2008_000003"], "trainval": ["2008_000002"], "test": ["2008_000001"]},
        {"2008_000002": [HARD, DOG], "2008_000003": []},
    )
    return folder


def ids(dataset):
    return [example.image_id for example in dataset.examples]


def test_objects_and_their_marks(devkit):
    dataset = read_dataset_dir(devkit / "VOC2007", "trainval")
    assert dataset.class_names == CLASSES
    (example,) = dataset.examples
    assert (example.height, example.width) == (40, 60)
    # The first pixel is 1 and the last is part of the box.
    np.testing.assert_array_equal(example.boxes, [[10, 5, 30, 25], [0, 0, 60, 40]])
    assert [CLASSES[number - 1] for number in example.classes] == ["dog", "person"]
    assert example.crowd.tolist() == [False, False]
    assert example.ignored.tolist() == [False, True]
    assert dataset.num_objects == 1
    assert "1 object and 0 crowds, 1 to ignore" in dataset.summary()


def test_ground_truth_keeps_what_protocols_need(devkit):
    truth = read_dataset_dir(devkit / "VOC2007", "trainval").ground_truth()
    dog, hard = truth["annotations"]
    assert (dog["bbox"], dog["area"]) == ([10, 5, 20, 20], 400)
    marks = ("iscrowd", "ignore", "difficult", "truncated", "occluded")
    assert [dog[mark] for mark in marks] == [0, 0, 0, 1, 1]
    assert [hard[mark] for mark in marks] == [0, 1, 1, 0, 0]
    assert [category["name"] for category in truth["categories"]] == list(CLASSES)
    assert truth["images"][0]["id"] == 5


def test_what_is_found_of_a_difficult_object_is_neither_right_nor_wrong(devkit):
    truth = read_dataset_dir(devkit / "VOC2007", "trainval").ground_truth()
    found = [
        {"image_id": 5, "category_id": one["category_id"], "bbox": one["bbox"], "score": 0.5}
        for one in truth["annotations"]
    ]
    result = evaluate_coco(truth, found)
    assert result.per_class["dog"]["AP"] == 1.0
    assert result.per_class["person"]["objects"] == 0


def test_years_are_joined_to_train_on_and_tests_are_measured_on(devkit):
    train, val = (read_dataset_dir(devkit, split) for split in ("train", "val"))
    assert ids(train) == [5, 2008000002]
    assert ids(val) == [1]
    assert train.notes[0] == (
        "reading PASCAL VOC's lists VOC2007/ImageSets/Main/trainval.txt, VOC2012/ImageSets/Main/trainval.txt"
    )


def test_one_year_has_its_own_splits(devkit):
    year = devkit / "VOC2012"
    assert ids(read_dataset_dir(year, "train")) == [2008000002, 2008000003]
    assert ids(read_dataset_dir(year, "trainval")) == [2008000002]
    assert ids(read_dataset_dir(year, "all")) == [2008000002, 2008000003]
    with pytest.raises(FileNotFoundError, match=r"VOC2012: no split 'val', expected one of .*val_fraction"):
        read_dataset_dir(year, "val")
    sides = [ids(read_dataset_dir(year, side, splitting=Splitting(0.5))) for side in ("train", "val")]
    assert sorted([*sides[0], *sides[1]]) == [2008000002, 2008000003]
    assert len(sides[0]) == 1


def test_a_list_of_images_without_annotations_has_no_labels(devkit):
    test = read_dataset_dir(devkit / "VOC2012", "test")
    assert ids(test) == [2008000001]
    assert not test.labelled
    assert test.class_names == CLASSES
    assert (test.examples[0].height, test.examples[0].width) == (40, 60)
    assert [note for note in test.notes if "lists" not in note] == []


def test_other_classes_and_pictures(tmp_path):
    folder = write_year(
        tmp_path, {"train": ["a", "b"]}, {"a": [Thing("zebra", (1, 1, 9, 9))], "b": [DOG]}, suffix=".png"
    )
    dataset = read_dataset_dir(folder, "train")
    assert dataset.class_names == ("dog", "zebra")
    assert ids(dataset) == [1, 2]


def test_difficult_objects_are_ignored_or_learnt(devkit):
    settings = {"batch_size": 1, "short_sides": (40,), "max_side": 60, "flip": False, "num_steps": 1}
    for learn, valid in ((False, [True, False]), (True, [True, True])):
        dataset = read_dataset_dir(devkit / "VOC2007", "trainval", learn_difficult=learn)
        ((_, targets),) = train_batches(dataset, **settings)
        assert targets.valid.numpy().tolist() == [valid]
        assert not targets.crowd.numpy().any()
        assert ignored_objects(targets).numpy().tolist() == [[not one for one in valid]]
        assert [one["ignore"] for one in dataset.ground_truth()["annotations"]] == [0, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotation>", r"Annotations/2008_000002\.xml: not XML"),
        (
            annotation([DOG]).replace("<xmin>11</xmin>", "<xmin>left</xmin>"),
            r"Annotations/2008_000002\.xml, object 0: bndbox/xmin is 'left', expected a finite number",
        ),
        (
            annotation([DOG]).replace("<width>60", "<width>6.5"),
            r"Annotations/2008_000002\.xml: size/width is 6\.5, expected a whole number",
        ),
    ],
)
def test_a_broken_annotation_names_file_and_field(devkit, text, message):
    (devkit / "VOC2012" / "Annotations" / "2008_000002.xml").write_text(text)
    with pytest.raises(ValueError, match=rf"VOCdevkit: VOC2012/{message}.*skip_broken"):
        read_dataset_dir(devkit, "train")
    dataset = read_dataset_dir(devkit, "train", skip_broken=True)
    assert ids(dataset) == [5]
    assert len(dataset.dropped) == 1
    assert {one["image_id"] for one in dataset.ground_truth()["annotations"]} == {5}


def test_missing_files_name_what_asks_for_them(devkit):
    (devkit / "VOC2012" / "Annotations" / "2008_000002.xml").unlink()
    with pytest.raises(FileNotFoundError, match=r"VOC2012/Annotations/2008_000002\.xml: no such"):
        read_dataset_dir(devkit, "train")
    # A picture of the same name elsewhere, as of masks, is none of it.
    (devkit / "VOC2007" / "JPEGImages" / "000001.jpg").rename(devkit / "VOC2007" / "000001.jpg")
    with pytest.raises(
        FileNotFoundError, match=r"VOC2007/Annotations/000001\.xml: file_name: no such .*000001\.jpg"
    ):
        read_dataset_dir(devkit, "val")


def test_an_empty_box_names_its_object(devkit):
    (devkit / "VOC2007" / "Annotations" / "000001.xml").write_text(
        annotation([DOG, Thing("cat", (9, 9, 2, 20))])
    )
    dataset = read_dataset_dir(devkit, "val")
    assert dataset.dropped[0].startswith("VOC2007/Annotations/000001.xml, object 1 of image 1: box ")


def test_the_layout_may_be_said(devkit):
    (devkit / "VOC2007" / "instances_train.json").write_text("{}")
    with pytest.raises(ValueError, match="'images' is missing"):
        read_dataset_dir(devkit / "VOC2007", "train")
    assert ids(read_dataset_dir(devkit / "VOC2007", "train", layout="voc")) == [5]
    shutil.rmtree(devkit / "VOC2007" / "ImageSets")
    with pytest.raises(FileNotFoundError, match="VOC2007: no folder in the layout 'voc'"):
        read_dataset_dir(devkit / "VOC2007", "train", layout="voc")
    with pytest.raises(ValueError, match="layout: got 'tar', expected auto, coco, voc"):
        read_dataset_dir(devkit, "train", layout="tar")


def test_real_annotations():
    dataset = read_dataset_dir(sample("voc_sample"), "val50")
    assert len(dataset.examples) == 50
    assert dataset.num_objects == 99
    assert sum(int(example.ignored.sum()) for example in dataset.examples) == 20
    assert dataset.dropped == ()


def test_parts_and_missing_marks_of_made_up_data():
    dataset = read_dataset_dir(sample("layout_samples") / "voc_dataset/voc_dataset1", "train")
    (example,) = dataset.examples
    np.testing.assert_array_equal(example.boxes, [[0, 1, 3, 4], [3, 4, 6, 7]])
    assert dataset.class_names == ("cat", "person")
