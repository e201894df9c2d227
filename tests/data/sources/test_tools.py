"""Whatever tool has labelled the same three pictures: the same boxes, classes and splits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cascade_tf.data.coco import read_dataset_dir
from cascade_tf.data.sources.layout import find_splits
from cascade_tf.data.splitting import Splitting
from tests.data.sources import tool_samples
from tests.data.sources.tool_samples import CLASSES, OBJECTS, SIZES, SPLIT, WHOLE, write


def check(dataset, *names: str) -> None:
    """Holds that a data set is these pictures with all of their objects."""
    assert dataset.class_names == CLASSES
    assert sorted(Path(example.path).stem for example in dataset.examples) == sorted(names)
    for example in dataset.examples:
        name = Path(example.path).stem
        assert (example.width, example.height) == SIZES[name]
        assert [CLASSES[number - 1] for number in example.classes] == [kind for kind, _ in OBJECTS[name]]
        expected = np.array([box for _, box in OBJECTS[name]], np.float32).reshape(-1, 4)
        np.testing.assert_allclose(example.boxes, expected, atol=1e-4)
        assert not example.crowd.any()
        assert not example.ignored.any()
    assert dataset.dropped == ()


@pytest.mark.parametrize("sample", WHOLE)
def test_an_export_of_all_pictures(tmp_path, sample):
    layout, tree = WHOLE[sample]
    folder = write(tmp_path, tree())
    recognised = read_dataset_dir(folder, "train" if "obj.data" in tree() else "all")
    check(recognised, *SIZES)
    assert recognised.notes[0].startswith("reading ")
    # Some formats have no place for sizes, and the others here have them.
    assert not [note for note in recognised.notes if "width" in note]
    named = read_dataset_dir(folder, "all", layout=layout)
    assert named.ground_truth()["annotations"] == recognised.ground_truth()["annotations"]


@pytest.mark.parametrize("sample", WHOLE)
def test_a_part_to_measure_on(tmp_path, sample):
    folder = write(tmp_path, WHOLE[sample][1]())
    with pytest.raises((ValueError, FileNotFoundError), match=r"--set data\.val_fraction=0\.2"):
        read_dataset_dir(folder, "val")
    sides = [read_dataset_dir(folder, side, splitting=Splitting(0.4)) for side in ("train", "val")]
    names = [Path(example.path).stem for side in sides for example in side.examples]
    assert sorted(names) == sorted(SIZES)
    assert find_splits(folder, splitting=True) == ("train", "val")


@pytest.mark.parametrize("sample", SPLIT)
def test_an_export_with_splits(tmp_path, sample):
    layout, tree = SPLIT[sample]
    folder = write(tmp_path, tree())
    for options in ({}, {"layout": layout}):
        train = read_dataset_dir(folder, "train", **options)
        assert sorted(Path(example.path).stem for example in train.examples) == ["street_01", "street_03"]
        check(train, "street_01", "street_03")
    val = read_dataset_dir(folder, "val")
    (example,) = val.examples
    assert Path(example.path).stem == "street_02"
    assert [val.class_names[number - 1] for number in example.classes] == ["person"]
    np.testing.assert_allclose(example.boxes, [[10, 15, 30, 45]], atol=1e-4)
    assert find_splits(folder) == ("train", "val")


@pytest.mark.parametrize(
    ("first", "second"),
    [("VIA 1", "CreateML"), ("labelImg, beside the pictures", "YOLO of labelImg, beside the pictures")],
)
def test_two_tools_in_a_folder_stop_with_their_names(tmp_path, first, second):
    for sample in (first, second):
        write(tmp_path, WHOLE[sample][1]())
    with pytest.raises(ValueError, match=r"holds .* and .*; expected one of them") as error:
        read_dataset_dir(tmp_path, "all")
    files = {"VIA 1": "via_region_data.json", "CreateML": "annotations.json"}
    assert files.get(first, "street_01.xml") in str(error.value)
    assert files.get(second, "street_01.txt") in str(error.value)
    for sample in (first, second):
        check(read_dataset_dir(tmp_path, "all", layout=WHOLE[sample][0]), *SIZES)


def test_a_coco_file_beside_labels_of_yolo(tmp_path):
    tree = WHOLE["YOLO of labelImg, beside the pictures"][1]()
    coco = {
        "images": [{"id": 1, "file_name": "street_02.jpg", "width": 40, "height": 60}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}],
        "categories": [{"id": 1, "name": "dog"}],
    }
    write(tmp_path, {**tree, "export.json": coco})
    with pytest.raises(ValueError, match=r"holds a COCO file \(export\.json\) and YOLO's labels \(street_01"):
        read_dataset_dir(tmp_path, "all")
    assert read_dataset_dir(tmp_path, "all", layout="coco").class_names == ("dog",)
    check(read_dataset_dir(tmp_path, "all", layout="yolo"), *SIZES)
    # The names of COCO's own files are plain.
    (tmp_path / "export.json").rename(tmp_path / "instances_train.json")
    assert read_dataset_dir(tmp_path, "train").class_names == ("dog",)


def test_several_files_of_one_tool_stop_with_their_names(tmp_path):
    tree = {
        **tool_samples.pictures("."),
        "a.json": tool_samples.via_project(),
        "b.json": tool_samples.via_regions(2),
    }
    write(tmp_path, tree)
    with pytest.raises(ValueError, match=r"found 2 annotation files for all: a\.json, b\.json; expected one"):
        read_dataset_dir(tmp_path, "all")
    check(read_dataset_dir(tmp_path / "b.json", "all"), *SIZES)


@pytest.mark.parametrize("layout", ["yolo", "xml", "via", "createml", "labelme", "datumaro"])
def test_a_layout_that_is_not_there(tmp_path, layout):
    write(tmp_path, tool_samples.pictures("images"))
    with pytest.raises(FileNotFoundError, match=f"no folder in the layout '{layout}'"):
        read_dataset_dir(tmp_path, "all", layout=layout)


@pytest.mark.parametrize("sample", ["CreateML of Roboflow", "Datumaro"])
def test_a_file_of_a_split_that_is_cut_off_is_told(tmp_path, sample):
    folder = write(tmp_path, SPLIT[sample][1]())
    (file,) = (path for path in folder.rglob("*.*") if path.suffix == ".json" and "val" in str(path))
    file.write_bytes(file.read_bytes()[:100])
    assert find_splits(folder) == ("train", "val")
    assert len(read_dataset_dir(folder, "train").examples) > 0
    with pytest.raises(ValueError, match=rf"{file.name}: is not JSON"):
        read_dataset_dir(folder, "val")
