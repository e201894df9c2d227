"""Exports of labelling tools are read as they are: both splits, the same objects in the same pictures."""

from __future__ import annotations

import copy
import gzip
import json
from pathlib import Path

import pytest
from PIL import Image

from cascade_tf.data.coco import read_coco, read_dataset_dir
from cascade_tf.data.layouts import find_split
from cascade_tf.data.splitting import Splitting
from tests.data import small_dataset

TRAIN, VAL = ("a.png", "b.png", "c.png"), ("d.png", "e.png")


def part(*names: str, prefix: str = "") -> dict:
    """The small data set's file with some of its images, called ``prefix + name``."""
    content = copy.deepcopy(small_dataset.content())
    content["images"] = [image for image in content["images"] if image["file_name"] in names]
    ids = {image["id"] for image in content["images"]}
    content["annotations"] = [record for record in content["annotations"] if record["image_id"] in ids]
    for image in content["images"]:
        image["file_name"] = prefix + image["file_name"]
    return content


def lay_out(root: Path, files: dict[str, object]) -> Path:
    """Writes a tree: names of pictures to their new places, dicts as JSON, texts as they are."""
    sizes = {name: (width, height) for name, width, height in small_dataset.PICTURES}
    for place, value in files.items():
        path = root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(value, dict):
            path.write_text(json.dumps(value))
        elif value in sizes:
            Image.fromarray(small_dataset.draw_picture(*sizes[value])).save(path, "PNG")
        else:
            path.write_text(str(value))
    return root


def pictures(folder: str, *names: str, prefix: str = "") -> dict[str, object]:
    return {f"{folder}/{prefix}{name}": name for name in names}


# Name: (tree, what the note says of the split to train on).
SPLIT = {
    "own": (
        {
            "instances_train.json": part(*TRAIN),
            "instances_val.json": part(*VAL),
            **pictures("images", *TRAIN, *VAL),
        },
        None,
    ),
    "own with folders per split": (
        {
            "instances_train.json": part(*TRAIN),
            "instances_val.json": part(*VAL),
            **pictures("images/train", *TRAIN),
            **pictures("images/val", *VAL),
        },
        "reading instances_train.json with the pictures in images/train/",
    ),
    "Roboflow": (
        {
            "train/_annotations.coco.json": part(*TRAIN),
            **pictures("train", *TRAIN),
            "valid/_annotations.coco.json": part(*VAL),
            **pictures("valid", *VAL),
            "test/_annotations.coco.json": part("a.png"),
            **pictures("test", "a.png"),
            "README.roboflow.txt": "",
        },
        "reading train/_annotations.coco.json with the pictures beside it, as Roboflow exports",
    ),
    "Roboflow with images/": (
        {
            "train/_annotations.coco.json": part(*TRAIN),
            **pictures("train/images", *TRAIN),
            "valid/_annotations.coco.json": part(*VAL),
            **pictures("valid/images", *VAL),
        },
        "reading train/_annotations.coco.json with the pictures in train/images/, as Roboflow exports",
    ),
    "CVAT": (
        {
            "annotations/instances_Train.json": part(*TRAIN),
            "annotations/instances_Validation.json": part(*VAL),
            **pictures("images/Train", *TRAIN),
            **pictures("images/Validation", *VAL),
        },
        "reading annotations/instances_Train.json with the pictures in images/Train/",
    ),
    "CVAT, one folder": (
        {
            "annotations/instances_Train.json": part(*TRAIN, prefix="job/"),
            "annotations/instances_Validation.json": part(*VAL, prefix="job/"),
            **pictures("images/job", *TRAIN, *VAL),
        },
        "reading annotations/instances_Train.json with the pictures in images/",
    ),
    "COCO": (
        {
            "annotations/instances_train2017.json": part(*TRAIN),
            "annotations/instances_val2017.json": part(*VAL),
            "annotations/captions_train2017.json": {"images": [], "annotations": []},
            "annotations/person_keypoints_train2017.json": part(*TRAIN),
            "annotations/person_keypoints_val2017.json": part(*VAL),
            **pictures("train2017", *TRAIN),
            **pictures("val2017", *VAL),
        },
        "reading annotations/instances_train2017.json with the pictures in train2017/, as COCO lies",
    ),
    "COCO in images/": (
        {
            "annotations/instances_train2017.json": part(*TRAIN),
            "annotations/instances_val2017.json": part(*VAL),
            **pictures("images/train2017", *TRAIN),
            **pictures("images/val2017", *VAL),
        },
        "reading annotations/instances_train2017.json with the pictures in images/train2017/, as COCO lies",
    ),
    "FiftyOne": (
        {
            "train/labels.json": part(*TRAIN),
            **pictures("train/data", *TRAIN),
            "validation/labels.json": part(*VAL),
            **pictures("validation/data", *VAL),
        },
        "reading train/labels.json with the pictures in train/data/, as FiftyOne exports",
    ),
    "plain names": (
        {
            "annotations/training.json": part(*TRAIN),
            "annotations/val_annotations.json": part(*VAL),
            **pictures("pictures", *TRAIN, *VAL),
        },
        "reading annotations/training.json with the pictures in ./",
    ),
}
WHOLE = {
    "CVAT": (
        {
            "annotations/instances_default.json": part(*TRAIN, *VAL),
            **pictures("images", *TRAIN, *VAL),
        },
        "reading annotations/instances_default.json with the pictures in images/, as CVAT exports",
    ),
    "CVAT with a subset's folder": (
        {
            "annotations/instances_default.json": part(*TRAIN, *VAL),
            **pictures("images/default", *TRAIN, *VAL),
        },
        "reading annotations/instances_default.json with the pictures in images/default/, as CVAT exports",
    ),
    "Label Studio": (
        {
            "result.json": part(*TRAIN, *VAL, prefix="images/cb0618f6-"),
            **pictures("images", *TRAIN, *VAL, prefix="cb0618f6-"),
        },
        "reading result.json with the pictures beside it, as Label Studio exports",
    ),
    "Label Studio on Windows": (
        {
            "result.json": part(*TRAIN, *VAL, prefix="..\\..\\label-studio\\media\\upload\\4\\cb0618f6-"),
            **pictures("images", *TRAIN, *VAL, prefix="cb0618f6-"),
        },
        "reading result.json with the pictures in images/, as Label Studio exports",
    ),
    "labelme": (
        {
            "annotations.json": part(*TRAIN, *VAL, prefix="JPEGImages/"),
            **pictures("JPEGImages", *TRAIN, *VAL),
            **{f"Visualization/{name}": name for name in TRAIN},
        },
        "reading annotations.json with the pictures beside it, as labelme exports",
    ),
    "labelme2coco": (
        {"dataset.json": part(*TRAIN, *VAL, prefix="/home/x/set/"), **pictures("pictures", *TRAIN, *VAL)},
        "reading dataset.json with the pictures beside it",
    ),
    "FiftyOne": (
        {"labels.json": part(*TRAIN, *VAL), **pictures("data", *TRAIN, *VAL), "fiftyone.yml": "name: x"},
        "reading labels.json with the pictures in data/, as FiftyOne exports",
    ),
    "Roboflow without splits": (
        {"train/_annotations.coco.json": part(*TRAIN, *VAL), **pictures("train", *TRAIN, *VAL)},
        "reading train/_annotations.coco.json with the pictures beside it, as Roboflow exports",
    ),
    "makesense": (
        {
            "labels_my-project-name_2026-11-27-10-20-30.json": part(*TRAIN, *VAL),
            **pictures(".", *TRAIN, *VAL),
        },
        "reading labels_my-project-name_2026-11-27-10-20-30.json with the pictures beside it",
    ),
}


def objects(data) -> dict[str, tuple]:
    """The objects of each picture, by the picture's own name."""
    return {
        Path(example.path).name.removeprefix("cb0618f6-"): (
            example.height,
            example.width,
            example.boxes.tolist(),
            example.classes.tolist(),
            example.crowd.tolist(),
        )
        for example in data.examples
    }


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> dict[str, tuple]:
    folder = lay_out(tmp_path_factory.mktemp("expected"), SPLIT["own"][0])
    found = [objects(read_coco(folder / f"instances_{s}.json", folder / "images")) for s in ("train", "val")]
    return found[0] | found[1]


def picked(expected: dict[str, tuple], *names: str) -> dict[str, tuple]:
    return {name: expected[name] for name in names}


@pytest.mark.parametrize("layout", SPLIT)
def test_both_splits_are_read_as_they_lie(tmp_path, expected, layout):
    tree, note = SPLIT[layout]
    folder = lay_out(tmp_path, tree)
    train, val = read_dataset_dir(folder, "train"), read_dataset_dir(folder, "val")
    assert objects(train) == picked(expected, *TRAIN)
    assert objects(val) == picked(expected, *VAL)
    assert all(Path(example.path).is_file() for example in train.examples + val.examples)
    assert train.notes[:1] == (() if note is None else (note,))
    assert [record["id"] for record in train.ground_truth()["annotations"]] == [1, 2, 3, 4]
    assert [record["id"] for record in val.ground_truth()["annotations"]] == [5]


@pytest.mark.parametrize("layout", WHOLE)
def test_one_file_is_split_and_read_whole(tmp_path, expected, layout):
    tree, note = WHOLE[layout]
    folder = lay_out(tmp_path, tree)
    train, val = (read_dataset_dir(folder, s, splitting=Splitting(0.4)) for s in ("train", "val"))
    assert objects(train) | objects(val) == expected
    assert len(train.examples) + len(val.examples) == 5
    assert 1 <= len(val.examples) <= 3
    assert train.categories == val.categories
    assert train.notes[0] == val.notes[0] == note
    count = len(val.examples)
    assert val.notes[1] == (
        f"val is {count} image{'s' if count > 1 else ''} of a file that is split, chosen by their names "
        "(val_fraction 0.4, seed 0)"
    )
    ids = {example.image_id for example in val.examples}
    truth = val.ground_truth()
    assert {image["id"] for image in truth["images"]} == ids
    assert {record["image_id"] for record in truth["annotations"]} <= ids
    assert len(truth["annotations"]) + len(train.ground_truth()["annotations"]) == 5
    if "train" not in note:
        assert objects(read_dataset_dir(folder, "all")) == expected


@pytest.mark.parametrize("name", ["result.json", "instances_train.json", "x.json.gz"])
def test_a_file_in_the_place_of_the_folder(tmp_path, expected, name):
    file = lay_out(tmp_path, {name: part(*TRAIN, *VAL), **pictures("images", *TRAIN, *VAL)}) / name
    assert objects(read_dataset_dir(file, "all")) == expected
    train, val = (read_dataset_dir(file, s, splitting=Splitting(0.4)) for s in ("train", "val"))
    assert objects(train) | objects(val) == expected
    with pytest.raises(ValueError, match=r"holds no split, .* --set data.val_fraction=0.2"):
        read_dataset_dir(file, "train")


def test_frames_of_one_video_stay_on_one_side(tmp_path):
    names = [f"{video}_{frame}.png" for video in "pqrst" for frame in range(4)]
    content = part("a.png")
    record = content["images"][0]
    content["images"] = [{**record, "id": i, "file_name": name} for i, name in enumerate(names)]
    content["annotations"] = []
    lay_out(tmp_path, {"result.json": content, **{f"images/{name}": "a.png" for name in names}})
    splitting = Splitting(0.3, split_by="^[^_]+")
    val = {Path(e.path).name for e in read_dataset_dir(tmp_path, "val", splitting=splitting).examples}
    assert len(val) in (4, 8)
    assert val == {name for name in names if name[0] in {chosen[0] for chosen in val}}


def test_the_same_names_are_split_the_same_on_another_machine(tmp_path):
    trees = {
        "linux": {"result.json": part(*TRAIN, *VAL), **pictures("images", *TRAIN, *VAL)},
        "windows": {
            "result.json": part(*TRAIN, *VAL, prefix="D:\\x\\"),
            **pictures("images", *TRAIN, *VAL),
        },
    }
    for name, tree in trees.items():
        lay_out(tmp_path / name, tree)
    found = [objects(read_dataset_dir(tmp_path / n, "val", splitting=Splitting(0.4))) for n in trees]
    assert found[0] == found[1]


def test_files_for_both_splits_go_before_splitting(tmp_path, expected):
    folder = lay_out(tmp_path, SPLIT["Roboflow"][0])
    val = read_dataset_dir(folder, "val", splitting=Splitting(0.4))
    assert objects(val) == picked(expected, *VAL)
    unused = "val_fraction is not used: the data set has files for both splits"
    assert unused in val.notes
    test = read_dataset_dir(
        lay_out(tmp_path / "more", {"test/_annotations.coco.json": part(*VAL), **pictures("test", *VAL)}),
        "test",
        splitting=Splitting(0.4),
    )
    assert unused not in test.notes


def test_test_is_read_where_it_is_asked_for(tmp_path, expected):
    folder = lay_out(tmp_path, SPLIT["Roboflow"][0])
    assert objects(read_dataset_dir(folder, "test")) == picked(expected, "a.png")
    with pytest.raises(FileNotFoundError, match=r"no instances_test.json; found"):
        read_dataset_dir(lay_out(tmp_path / "x", SPLIT["FiftyOne"][0]), "test")


def test_lists_of_test_images_have_no_labels(tmp_path):
    lists = {
        f"annotations/image_info_{split}2017.json": {
            key: value for key, value in part(*names).items() if key != "annotations"
        }
        for split, names in (("test", VAL), ("test-dev", VAL[:1]))
    }
    folder = lay_out(tmp_path, {**SPLIT["COCO"][0], **lists, **pictures("test2017", *VAL)})
    for split, names in (("test", VAL), ("test-dev", VAL[:1])):
        dataset = read_dataset_dir(folder, split)
        assert not dataset.labelled
        assert dataset.image_dir == str(tmp_path / "test2017")
        assert sorted(Path(example.path).name for example in dataset.examples) == sorted(names)
        assert dataset.class_names == ("dog", "cat")
        assert len(dataset.notes) == 1
        assert dataset.ground_truth()["annotations"] == []
    assert read_dataset_dir(folder, "val").labelled
    with pytest.raises(ValueError, match="is COCO's image information without annotations"):
        read_coco(folder / "annotations" / "image_info_test2017.json")


def test_test_is_never_taken_for_val(tmp_path):
    tree = {name: value for name, value in SPLIT["Roboflow"][0].items() if not name.startswith("valid")}
    with pytest.raises(FileNotFoundError) as error:
        read_dataset_dir(lay_out(tmp_path, tree), "val")
    message = str(error.value)
    assert message.startswith(f"{tmp_path}: no instances_val.json; found test/_annotations.coco.json, train/")
    assert "--set data.val_fraction=0.2" in message


def test_several_files_are_refused_with_their_names(tmp_path):
    tree = {**SPLIT["COCO"][0], "annotations/instances_train2014.json": part(*TRAIN)}
    with pytest.raises(ValueError, match="found 2 annotation files for train: ") as error:
        read_dataset_dir(lay_out(tmp_path, tree), "train")
    assert "annotations/instances_train2014.json, annotations/instances_train2017.json" in str(error.value)
    tree = {"one.json": part(*TRAIN), "two.json": part(*VAL), **pictures("images", *TRAIN, *VAL)}
    with pytest.raises(ValueError, match=r"found 2 annotation files for all images: one.json, two.json; "):
        read_dataset_dir(lay_out(tmp_path / "x", tree), "train", splitting=Splitting(0.4))


def test_the_own_files_go_before_all_others(tmp_path, expected):
    tree = {**SPLIT["Roboflow"][0], **SPLIT["own"][0]}
    train = read_dataset_dir(lay_out(tmp_path, tree), "train")
    assert Path(train.annotation_file) == tmp_path / "instances_train.json"
    assert train.notes == ()
    assert objects(train) == picked(expected, *TRAIN)


def test_what_is_missing_names_the_layouts(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder; expected a data set folder: images/ with"):
        find_split(tmp_path / "absent", "train")
    for layout in ("_annotations.coco.json", "instances_<split>.json", "result.json", "labels.json"):
        with pytest.raises(FileNotFoundError, match=layout):
            find_split(tmp_path, "train")


@pytest.mark.parametrize(
    ("tool", "tree"),
    [
        ("Supervisely", {"meta.json": {"classes": [{"title": "a", "shape": "b"}], "tags": []}}),
        ("Label Studio", {"project-1.json": {"data": {"image": "a.jpg"}, "annotations": []}}),
        ("CVAT XML", {"annotations.xml": "<annotations/>", "images/a.jpg": ""}),
    ],
)
def test_folders_of_other_tools_are_refused_by_name(tmp_path, tool, tree):
    with pytest.raises(ValueError, match=tool):
        read_dataset_dir(lay_out(tmp_path, tree), "train")


def test_pictures_are_found_where_they_are_not_named(tmp_path, expected):
    file = lay_out(tmp_path, SPLIT["COCO"][0]) / "annotations" / "instances_val2017.json"
    data = read_coco(file)
    assert objects(data) == picked(expected, *VAL)
    assert data.image_dir == str(tmp_path / "val2017")


def test_a_compressed_file_is_recognised(tmp_path):
    lay_out(tmp_path, pictures("images", *TRAIN))
    (tmp_path / "annotations").mkdir()
    file = tmp_path / "annotations" / "instances_train.json.gz"
    file.write_bytes(gzip.compress(json.dumps(part(*TRAIN)).encode()))
    assert find_split(tmp_path, "train") == (file, False)
