"""KITTI's folders as a data set: classes and what is ignored, the splits of its lists, and what is broken."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from cascade_tf.boxes import ignored_objects
from cascade_tf.data.coco import read_dataset_dir
from cascade_tf.data.pipeline import train_batches
from cascade_tf.data.splitting import Splitting
from tests.data.sources.samples import sample

REST = "1.5 1.6 3.9 2.0 1.5 20.0 1.5"


def line(kind, box, truncated=0.0, occluded=0):
    return f"{kind} {truncated} {occluded} -1.5 {' '.join(map(str, box))} {REST}\n"


CAR = line("Car", (10.25, 5, 30.5, 25), 0.25, 2)
VAN = line("Van", (2, 3, 12, 13))
SITTING = line("Person_sitting", (40, 3, 48, 23))
TRUCK = line("Truck", (0, 0, 9, 9))
REGION = line("DontCare", (50, 30, 60, 40), -1, -1)


@pytest.fixture
def folder(tmp_path):
    """Three frames with labels, of which the lists know two, and one to detect in."""
    labels = {"000000": CAR + VAN + SITTING + TRUCK + REGION, "000003": CAR, "000007": ""}
    for part, frames in (("training", labels), ("testing", ["000000"])):
        (tmp_path / part / "image_2").mkdir(parents=True)
        for frame in frames:
            Image.new("RGB", (60, 40)).save(tmp_path / part / "image_2" / f"{frame}.png")
    (tmp_path / "training" / "label_2").mkdir()
    for frame, text in labels.items():
        (tmp_path / "training" / "label_2" / f"{frame}.txt").write_text(text)
    (tmp_path / "ImageSets").mkdir()
    (tmp_path / "ImageSets" / "train.txt").write_text("000000\n")
    (tmp_path / "ImageSets" / "val.txt").write_text("000003")
    return tmp_path


def ids(dataset):
    return [example.image_id for example in dataset.examples]


def test_classes_and_what_is_ignored(folder):
    dataset = read_dataset_dir(folder, "train")
    assert dataset.class_names == ("Car", "Pedestrian", "Cyclist")
    (example,) = dataset.examples
    np.testing.assert_array_equal(
        example.boxes, [[10.25, 5, 30.5, 25], [2, 3, 12, 13], [40, 3, 48, 23], [50, 30, 60, 40]]
    )
    assert example.classes.tolist() == [1, 1, 2, 0]
    assert example.ignored.tolist() == [False, True, True, False]
    assert example.crowd.tolist() == [False, False, False, True]
    assert dataset.num_objects == 1
    assert dataset.dropped == ()


def test_cars_alone(folder):
    dataset = read_dataset_dir(folder, "train", classes=["Car"])
    assert (dataset.class_names, dataset.category_ids) == (("Car",), (1,))
    (example,) = dataset.examples
    assert example.boxes.tolist() == [[10.25, 5, 30.5, 25], [2, 3, 12, 13], [50, 30, 60, 40]]
    assert example.classes.tolist() == [1, 1, 0]
    assert example.ignored.tolist() == [False, True, False]
    assert example.crowd.tolist() == [False, False, True]
    kinds = [(one["type"], one["category_id"]) for one in dataset.ground_truth()["annotations"]]
    assert kinds == [("Car", 1), ("Van", 1), ("DontCare", 1)]
    assert f"{folder.name}: 1 object of Pedestrian, Cyclist is left out (data.classes)" in dataset.notes


def test_vans_trucks_and_trams_are_classes_where_they_are_named(folder):
    """The four classes of the MS-CNN authors' files, in whose order they number them."""
    dataset = read_dataset_dir(folder, "train", classes=["Tram", "Truck", "Van", "Car"])
    assert dataset.class_names == ("Car", "Van", "Truck", "Tram")
    (example,) = dataset.examples
    assert example.classes.tolist() == [1, 2, 3, 0]
    assert not example.ignored.any()
    truth = dataset.ground_truth()
    assert [one["category_id"] for one in truth["annotations"]] == [1, 4, 5, *dataset.category_ids]
    assert [one["ignore"] for one in truth["annotations"][:3]] == [0, 0, 0]
    sitting = read_dataset_dir(folder, "train", classes=["Pedestrian", "Person_sitting"])
    assert sitting.examples[0].classes.tolist() == [2, 0]
    assert read_dataset_dir(folder, "test", classes=["Van"]).class_names == ("Van",)


def test_unknown_classes_are_refused_with_the_known_ones(folder):
    known = "Car, Pedestrian, Cyclist, Van, Truck, Person_sitting, Tram, Misc"
    with pytest.raises(ValueError, match=f"classes: got 'car', expected some of {known}$"):
        read_dataset_dir(folder, "train", classes=["Car", "car"])


def test_ground_truth_keeps_what_protocols_need(folder):
    truth = read_dataset_dir(folder, "train").ground_truth()
    car, van, sitting, *regions = truth["annotations"]
    assert (car["type"], car["truncated"], car["occluded"], car["ignore"]) == ("Car", 0.25, 2, 0)
    assert (van["type"], van["category_id"], van["ignore"], van["iscrowd"]) == ("Van", 1, 1, 0)
    assert (sitting["type"], sitting["category_id"], sitting["ignore"]) == ("Person_sitting", 2, 1)
    # Any class may be there: the region is a crowd of each.
    assert [(one["type"], one["category_id"], one["iscrowd"]) for one in regions] == [
        ("DontCare", 1, 1), ("DontCare", 2, 1), ("DontCare", 3, 1),
    ]  # fmt: skip
    assert truth["images"][0]["width"] == 60


def test_nothing_is_learnt_from_vans_and_regions(folder):
    dataset = read_dataset_dir(folder, "train", crowds_as_objects=True)
    ((_, targets),) = train_batches(
        dataset, batch_size=1, short_sides=(40,), max_side=60, flip=False, num_steps=1
    )
    assert targets.valid.numpy().tolist() == [[True, False, False, False]]
    assert targets.crowd.numpy().tolist() == [[False, False, False, True]]
    assert ignored_objects(targets).numpy().tolist() == [[False, True, True, False]]


def test_splits(folder):
    read = {split: ids(read_dataset_dir(folder, split)) for split in ("train", "val", "trainval", "all")}
    assert read == {"train": [0], "val": [3], "trainval": [0, 3, 7], "all": [0, 3, 7]}
    test = read_dataset_dir(folder, "test")
    assert not test.labelled
    assert [example.path for example in test.examples] == [str(folder / "testing/image_2/000000.png")]
    assert test.notes == ("reading KITTI's frames of testing",)


def test_without_lists_a_fraction_is_measured_on(folder):
    for name in ("train", "val"):
        (folder / "ImageSets" / f"{name}.txt").unlink()
    with pytest.raises(ValueError, match=r"has no lists of splits.*--set data\.val_fraction"):
        read_dataset_dir(folder, "train")
    train, val = (
        ids(read_dataset_dir(folder, split, splitting=Splitting(0.4, seed=1))) for split in ("train", "val")
    )
    assert sorted([*train, *val]) == [0, 3, 7]
    assert train
    assert val


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Car 0 0 1\n", r"training/label_2/000003\.txt, line 1: expected 15 columns, got 4"),
        (CAR + CAR.replace("10.25", "left"), r"training/label_2/000003\.txt, line 2: .*'left'"),
    ],
)
def test_broken_labels_name_file_and_line(folder, text, message):
    (folder / "training" / "label_2" / "000003.txt").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_dataset_dir(folder, "all")
    assert ids(read_dataset_dir(folder, "all", skip_broken=True)) == [0, 7]


def test_a_type_that_there_is_not_is_no_background(folder):
    path = folder / "training" / "label_2" / "000003.txt"
    path.write_text(CAR + CAR.replace("Car", "Vehicle"))
    message = r"training/label_2/000003\.txt, object 1: type is 'Vehicle', expected one of Car, Van, Truck"
    with pytest.raises(ValueError, match=message):
        read_dataset_dir(folder, "all")
    assert ids(read_dataset_dir(folder, "all", skip_broken=True)) == [0, 3, 7]


def test_missing_files_are_named(folder):
    (folder / "training" / "label_2" / "000003.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"training/label_2/000003\.txt: no such file"):
        read_dataset_dir(folder, "val")
    (folder / "training" / "image_2" / "000000.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"label_2/000000\.txt: file_name: no such image file"):
        read_dataset_dir(folder, "train")


def test_real_frames():
    dataset = read_dataset_dir(sample("kitti_sample"), "all")
    assert ids(dataset) == [0, 1, 2]
    sizes = [(example.height, example.width) for example in dataset.examples]
    assert sizes == [(370, 1224), (375, 1242), (375, 1242)]
    assert dataset.num_objects == 4
    assert [int(example.crowd.sum()) for example in dataset.examples] == [0, 4, 0]
    cyclist = dataset.ground_truth()["annotations"][2]
    assert (cyclist["type"], cyclist["occluded"]) == ("Cyclist", 3)


def test_made_up_frames():
    dataset = read_dataset_dir(sample("layout_samples") / "kitti_dataset/kitti_detection", "all")
    assert [example.ignored.tolist() for example in dataset.examples] == [[True], [True] * 3]
    assert dataset.num_objects == 0
