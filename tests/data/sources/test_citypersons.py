"""CityPersons as a data set: persons and what is ignored, both kinds of files, and what is broken."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from cascade_tf.boxes import ignored_objects
from cascade_tf.data.coco import read_dataset_dir
from cascade_tf.data.pipeline import train_batches
from tests.metrics.oracles import oracle

LABELS = ("ignore", "pedestrian", "rider", "sitting person", "person (other)", "person group")
# x, y, width, height, and what is visible.
BOX, VISIBLE = [10, 5, 20, 30], [10, 5, 20, 15]


@pytest.fixture
def folder(tmp_path):
    """A picture with all labels and an empty one to train on; one to detect in."""
    for split, names in (("train", ("bonn/bonn_0", "ulm/ulm_1")), ("test", ("berlin/berlin_0",))):
        for name in names:
            path = tmp_path / "leftImg8bit" / split / f"{name}_leftImg8bit.png"
            path.parent.mkdir(parents=True)
            Image.new("RGB", (64, 32)).save(path)
    return tmp_path


@pytest.fixture
def with_json(folder):
    def write(objects):
        for name, some in (("bonn/bonn_0", objects), ("ulm/ulm_1", [])):
            path = folder / "gtBboxCityPersons" / "train" / f"{name}_gtBboxCityPersons.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"imgHeight": 32, "imgWidth": 64, "objects": some}))
        return folder

    return write


@pytest.fixture
def with_mat(folder):
    savemat = pytest.importorskip("scipy.io").savemat
    rows = [[label, *BOX, 24000 + label, *VISIBLE] for label in range(len(LABELS))]
    cells = np.empty((1, 2), object)
    for i, (name, some) in enumerate((("bonn/bonn_0", np.uint16(rows)), ("ulm/ulm_1", np.zeros((0, 0))))):
        city, name = name.split("/")
        cells[0, i] = {"cityname": city, "im_name": f"{name}_leftImg8bit.png", "bbs": some}
    (folder / "annotations").mkdir()
    savemat(folder / "annotations" / "anno_train.mat", {"anno_train_aligned": cells})
    return folder


def objects():
    return [
        {"label": label, "bbox": BOX, "bboxVis": VISIBLE, "instanceId": 24000 + number}
        for number, label in enumerate(LABELS)
    ]


@pytest.fixture(params=["mat", "json"])
def folder_of_both(request):
    if request.param == "mat":
        return request.getfixturevalue("with_mat")
    return request.getfixturevalue("with_json")(objects())


def test_persons(folder_of_both):
    dataset = read_dataset_dir(folder_of_both, "train")
    assert dataset.class_names == ("pedestrian",)
    first, second = dataset.examples
    assert first.path == str(folder_of_both / "leftImg8bit/train/bonn/bonn_0_leftImg8bit.png")
    np.testing.assert_array_equal(first.boxes, [[10, 5, 30, 32]] * 6)  # clipped to the picture
    assert first.crowd.tolist() == [True, False, False, False, False, True]
    assert first.ignored.tolist() == [False, False, True, True, True, False]
    assert len(second.boxes) == 0
    assert dataset.num_objects == 1


def test_ground_truth_keeps_what_the_protocol_needs(folder_of_both):
    truth = read_dataset_dir(folder_of_both, "train").ground_truth()
    assert [image["id"] for image in truth["images"]] == [1, 2]
    assert [one["ignore"] for one in truth["annotations"]] == [1, 0, 1, 1, 1, 1]
    assert [one["label"] for one in truth["annotations"]] == [
        "ignore region", "pedestrian", "rider", "sitting person", "other person", "people group",
    ]  # fmt: skip
    assert truth["annotations"][1]["bbox"] == BOX
    assert truth["annotations"][1]["vis_bbox"] == VISIBLE


def test_nothing_is_learnt_from_others(with_json):
    dataset = read_dataset_dir(with_json(objects()), "train")
    settings = {"short_sides": (32,), "max_side": 64, "flip": False, "num_steps": 1}
    ((_, targets),) = train_batches(dataset, batch_size=2, **settings)
    row = int(np.argmax(targets.classes.numpy().any(axis=1)))
    assert targets.valid[row].numpy().tolist() == [False, True, False, False, False, False]
    assert targets.crowd[row].numpy().tolist() == [True, False, False, False, False, True]
    assert ignored_objects(targets)[row].numpy().tolist() == [False, False, True, True, True, False]


def test_a_split_without_labels(with_json):
    test = read_dataset_dir(with_json(objects()), "test")
    assert not test.labelled
    assert [example.path.rpartition("/")[2] for example in test.examples] == ["berlin_0_leftImg8bit.png"]
    with pytest.raises(FileNotFoundError, match=r"no split 'val', expected one of test, train"):
        read_dataset_dir(with_json(objects()), "val")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": "people group"}, r"bonn_0_gtBboxCityPersons\.json, object 0: label is 'people group'"),
        ({"label": "dog"}, r"bonn/bonn_0_gtBboxCityPersons\.json, object 0: label is 'dog', expected one of"),
        (
            {"bboxVis": [1, 2]},
            r"bonn_0_gtBboxCityPersons\.json, object 0: bboxVis is \[1, 2\], expected",
        ),
        ({"bbox": None}, r"bonn_0_gtBboxCityPersons\.json, object 0: bbox is None, expected four"),
    ],
)
def test_broken_annotations_name_file_object_and_field(with_json, change, message):
    folder = with_json([{**objects()[1], **change}])
    with pytest.raises(ValueError, match=message):
        read_dataset_dir(folder, "train")
    dataset = read_dataset_dir(folder, "train", skip_broken=True)
    assert [example.image_id for example in dataset.examples] == [2]


def test_a_missing_picture_is_named(with_json):
    folder = with_json(objects())
    (folder / "leftImg8bit/train/bonn/bonn_0_leftImg8bit.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"bonn/bonn_0_leftImg8bit\.png: file_name: no such image"):
        read_dataset_dir(folder, "train")


def test_the_official_annotations(tmp_path):
    """The pictures are not at hand; empty ones of one size have their names."""
    pytest.importorskip("scipy")
    (tmp_path / "anno_val.mat").write_bytes((oracle("citypersons") / "anno_val.mat").read_bytes())
    official = json.loads((oracle("citypersons") / "val_gt.json").read_text())
    source = tmp_path / "blank.png"
    Image.new("L", (2048, 1024)).save(source)
    for image in official["images"]:
        name = image["im_name"]
        folder = tmp_path / "leftImg8bit" / "val" / name.split("_")[0]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).hardlink_to(source)
    truth = read_dataset_dir(tmp_path, "val").ground_truth()
    kept = {key: [one[key] for one in truth["annotations"]] for key in ("image_id", "bbox", "ignore")}
    assert kept == {key: [one[key] for one in official["annotations"]] for key in kept}
