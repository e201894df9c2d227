"""prepare_data.py says what a data set holds and what is broken, and writes other layouts."""

from __future__ import annotations

import importlib
import io
import json
import re
import shutil

import pytest
from PIL import Image

from cascade_tf.conversion import LAYOUTS
from cascade_tf.data.coco import read_dataset_dir
from tests.data.sources.tool_samples import SPLIT, WHOLE, write


def test_tables(call, drawn):
    said = call("prepare_data", f"--dataset_dir={drawn}")
    assert said.status == 0, said.err
    rows = {line[:24].strip(): line[24:].split() for line in said.out.splitlines()}
    assert rows["images"] == ["6", "4"]
    assert rows["broken pictures"] == ["0", "0"]
    objects = [read_dataset_dir(drawn, split).num_objects for split in ("train", "val")]
    assert rows["objects"] == list(map(str, objects))
    assert "broken:" not in said.out


def test_broken_pictures_are_listed(call, dataset):
    pictures = sorted((dataset / "images").iterdir())
    pictures[0].write_bytes(pictures[0].read_bytes()[:-100])
    pictures[1].write_text("no picture")
    pictures[2].unlink()
    said = call("prepare_data", f"--dataset_dir={dataset}")
    assert "error: got 3 broken records and pictures, listed above; expected none" in said.complaint
    listed = said.out.partition("\nbroken:\n")[2].splitlines()
    for picture in pictures[:3]:
        assert sum(str(picture) in line for line in listed) == 1


def test_every_split_is_looked_at(call, dataset):
    (dataset / "instances_train.json").write_text("{")
    said = call("prepare_data", f"--dataset_dir={dataset}")
    assert "got 1 broken" in said.complaint
    assert f"train: {dataset / 'instances_train.json'}: is not JSON" in said.out
    assert "\nimages" in said.out


def test_damage_within_pixels_is_found_by_decoding_alone(call, dataset):
    picture = dataset / "images" / "val_00001.jpg"
    file = io.BytesIO()
    Image.open(picture).save(file, "PNG")
    data = bytearray(file.getvalue())
    start = data.index(b"IDAT") + 8
    data[start : start + 10] = bytes(10)
    picture.write_bytes(data)
    assert call("prepare_data", f"--dataset_dir={dataset}", "--nodecode").status == 0
    said = call("prepare_data", f"--dataset_dir={dataset}")
    assert "got 1 broken" in said.complaint
    assert f"{picture} cannot be decoded" in said.out


def test_writes_coco(call, drawn, tmp_path):
    said = call("prepare_data", f"--dataset_dir={drawn}", f"--coco={tmp_path / 'coco'}")
    assert said.status == 0, said.err
    for split in ("train", "val"):
        before, after = read_dataset_dir(drawn, split), read_dataset_dir(tmp_path / "coco", split)
        assert after.num_objects == before.num_objects
        assert after.categories == before.categories


def test_writes_shards_and_goes_on(call, drawn, tmp_path):
    flags = (f"--dataset_dir={drawn}", "--nodecode", f"--tfrecords={tmp_path / 'shards'}")
    said = call("prepare_data", *flags)
    assert said.status == 0, said.err
    assert f"The data set lies in {tmp_path / 'shards'}, in 2 shards." in said.out
    assert "in 2 shards, 2 of them from before." in call("prepare_data", *flags).out
    rows = [line for line in call("prepare_data", *flags[:2]).out.splitlines() if line]
    as_shards = call("prepare_data", f"--dataset_dir={tmp_path / 'shards'}").out.splitlines()
    assert [line for line in as_shards if line.startswith(("images", "objects"))] == [
        line for line in rows if line.startswith(("images", "objects"))
    ]


def test_shards_are_not_written_among_other_files(call, drawn, tmp_path):
    (tmp_path / "notes.txt").write_text("keep me")
    said = call("prepare_data", f"--dataset_dir={drawn}", f"--tfrecords={tmp_path}")
    assert "got notes.txt in it, expected shards or nothing" in said.complaint
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


def test_nothing_is_written_over_what_is_there(call, drawn, tmp_path):
    (tmp_path / "notes.txt").write_text("keep me")
    for flags in ((f"--coco={tmp_path}",), ("--to=yolo", f"--output={tmp_path}")):
        said = call("prepare_data", f"--dataset_dir={drawn}", *flags)
        assert "got notes.txt in it, expected an empty or a new folder" in said.complaint
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


def test_writes_what_is_not_broken(call, dataset, tmp_path):
    (dataset / "images" / "train_00000.jpg").write_text("no picture")
    target = tmp_path / "voc"
    said = call("prepare_data", f"--dataset_dir={dataset}", "--to=voc", f"--output={target}")
    assert "got 1 broken" in said.complaint
    assert len(read_dataset_dir(target, "train").examples) == 5


def test_splits_of_one_file(call, dataset, tmp_path):
    (dataset / "instances_val.json").unlink()
    said = call("prepare_data", f"--dataset_dir={dataset}", "--set", "data.val_fraction=0.3",
                f"--coco={tmp_path / 'coco'}")  # fmt: skip
    assert said.status == 0, said.err
    images = [len(read_dataset_dir(tmp_path / "coco", split).examples) for split in ("train", "val")]
    assert sum(images) == 6
    assert min(images) > 0


def test_pictures_that_train_and_val_share(call, dataset):
    content = json.loads((dataset / "instances_val.json").read_text())
    names = [image["file_name"] for image in content["images"]]
    shutil.copy(dataset / "images" / "train_00000.jpg", dataset / "images" / names[0])
    said = call("prepare_data", f"--dataset_dir={dataset}")
    assert said.status == 0, said.err
    assert "pictures with the same bytes in train and val: 1 (train_00000.jpg = val_00000.jpg)" in said.out


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--to=voc"], "got --to without --output, expected both"),
        (["--output=x"], "got --output without --to, expected both"),
        (["--coco=x", "--to=coco", "--output=y"], "got --coco and --to coco, expected one of them"),
        (["--split=nothing"], "no instances_nothing.json"),
        (["--set=data.layout=voc"], "no folder in the layout 'voc'"),
    ],
)
def test_wrong_flags(call, drawn, flags, complaint):
    assert complaint in call("prepare_data", f"--dataset_dir={drawn}", *flags).complaint


def test_layouts_to_write(call):
    assert importlib.import_module("prepare_data").OPTIONS.values["to"].parser.enum_values == list(LAYOUTS)


def test_folders_that_hold_no_data_set(call, tmp_path, drawn):
    assert "flag --dataset_dir is missing" in call("prepare_data").complaint
    assert "no such folder" in call("prepare_data", f"--dataset_dir={tmp_path / 'nowhere'}").complaint
    (tmp_path / "empty").mkdir()
    assert "no instances_train.json" in call("prepare_data", f"--dataset_dir={tmp_path / 'empty'}").complaint
    pictures = shutil.copytree(drawn / "images", tmp_path / "pictures" / "images")
    assert "no instances_train.json" in call("prepare_data", f"--dataset_dir={pictures.parent}").complaint


@pytest.mark.parametrize("sample", ["labelImg", "labelme", "VIA 1", "CreateML", "Datumaro of CVAT"])
def test_pictures_that_nobody_labelled(call, tmp_path, sample):
    folder, page = write(tmp_path / "own", WHOLE[sample][1]()), tmp_path / "page.html"
    program = ["prepare_data", f"--dataset_dir={folder}", "--set=data.val_fraction=0.4"]
    said = call(*program)
    assert said.status == 0, said.err
    assert "in no annotation" not in said.out
    (picture,) = folder.rglob("street_01.jpg")
    for name in ("new_1.jpg", "new_2.JPG", ".hidden.jpg"):
        shutil.copy(picture, picture.with_name(name))
    said = call(*program, f"--overview={page}")
    where = "the folder" if picture.parent == folder else picture.parent.relative_to(folder)
    line = f"pictures in {where} that are in no annotation and are not read: 2 of 5 (new_1.jpg, new_2.JPG)"
    assert line in said.out.partition("\nwarnings:\n")[2]
    assert line in page.read_text()


@pytest.mark.parametrize("sample", SPLIT)
def test_pictures_of_several_splits_are_read(call, tmp_path, sample):
    said = call("prepare_data", f"--dataset_dir={write(tmp_path, SPLIT[sample][1]())}")
    assert "in no annotation" not in said.out


def test_a_picture_of_a_broken_annotation_may_have_been_labelled(call, tmp_path):
    folder = write(tmp_path, WHOLE["labelImg"][1]())
    (folder / "Annotations" / "street_03.xml").write_text("<annotation><object>")
    said = call("prepare_data", f"--dataset_dir={folder}", "--set=data.val_fraction=0.4")
    line = "in images that are in no annotation that can be read and are not read: 1 of 3 (street_03.jpg)"
    assert line in said.out


def test_overview(call, drawn, tmp_path):
    page = tmp_path / "pages" / "data.html"
    said = call("prepare_data", f"--dataset_dir={drawn}", f"--overview={page}", "--config=custom/faster")
    assert said.status == 0, said.err
    assert f"The page about the data set is {page}." in said.out
    lines = said.out.partition("anchors of custom/faster:\n")[2].splitlines()
    for line, split in zip(lines[:2], ("train", "val"), strict=True):
        assert re.fullmatch(
            rf"  {split}: [\d.]+ % of the boxes have one of IoU 0.5 or more, [\d.]+ % one of 0.7", line
        )
    text = page.read_text()
    assert text.count("<img ") == 10
    assert "boxes with an anchor" in text


def test_overview_of_a_detector_without_anchors(call, drawn, tmp_path):
    page = tmp_path / "data.html"
    config = "--config=coco/fast_rcnn_r50_fpn_1x"
    said = call("prepare_data", f"--dataset_dir={drawn}", f"--overview={page}", config)
    assert said.status == 0, said.err
    assert "boxes with an anchor" not in page.read_text()
    assert "anchors of" not in said.out


def test_nothing_to_measure_on_is_a_warning(call, dataset):
    (dataset / "instances_val.json").unlink()
    said = call("prepare_data", f"--dataset_dir={dataset}")
    assert "there is no split val, which a training measures on" in said.out
    said = call("prepare_data", f"--dataset_dir={dataset}", "--split=train")
    assert "there is no split val" not in said.out


def test_a_split_to_learn_from_without_labels_is_broken(call, drawn, tmp_path):
    for split in ("train", "val"):
        shutil.copytree(drawn / "images", tmp_path / "images" / split)
    (tmp_path / "data.yaml").write_text("path: .\ntrain: images/train\nval: images/val\nnames: [disc]\n")
    said = call("prepare_data", f"--dataset_dir={tmp_path}", "--nodecode")
    assert said.status != 0
    assert "train: has no labels, expected some to learn from" in said.out + said.err
