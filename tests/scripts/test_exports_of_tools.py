"""The programs take the exports of labelling tools as they are, and split one file alike."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from cascade_tf.data.coco import read_dataset_dir
from cascade_tf.experiment import config
from tests.scripts.test_before_the_first_step import CONFIG, SMALL

TRAIN = [CONFIG, *SMALL]


@pytest.fixture(scope="module")
def label_studio(drawn, tmp_path_factory) -> Path:
    """All ten drawn pictures in one file, whose names are those of another machine."""
    folder = tmp_path_factory.mktemp("export")
    shutil.copytree(drawn / "images", folder / "images")
    merged: dict[str, list] = {"images": [], "annotations": []}
    for split in ("train", "val"):
        content = json.loads((drawn / f"instances_{split}.json").read_text())
        shift = 1000 if split == "val" else 0
        for image in content["images"]:
            name = f"..\\..\\label-studio\\media\\upload\\4\\{image['file_name']}"
            merged["images"].append({**image, "id": image["id"] + shift, "file_name": name})
        for record in content["annotations"]:
            ids = {"id": record["id"] + shift, "image_id": record["image_id"] + shift}
            merged["annotations"].append({**record, **ids})
    (folder / "result.json").write_text(json.dumps({**merged, "categories": content["categories"]}))
    return folder


@pytest.fixture
def roboflow(drawn, tmp_path) -> Path:
    for split, folder in (("train", "train"), ("val", "valid")):
        target = tmp_path / "roboflow" / folder
        target.mkdir(parents=True)
        shutil.copy(drawn / f"instances_{split}.json", target / "_annotations.coco.json")
        for picture in (drawn / "images").glob(f"{split}_*"):
            shutil.copy(picture, target)
    return tmp_path / "roboflow"


def detected(folder: Path) -> list[str]:
    content = json.loads((folder / "detections.json").read_text())
    return sorted(Path(image["file_name"]).name for image in content["images"])


def test_one_file_is_split_alike_by_every_program(call, label_studio, tmp_path):
    """What was not trained on is what is measured and looked at."""
    split = ["--set=data.val_fraction=0.3", r"--set=data.split_by=_(\d+)\.", "--set=data.split_seed=4"]
    run = f"--workdir={tmp_path / 'run'}"
    said = call("train", *TRAIN, f"--dataset_dir={label_studio}", run, *split)
    assert said.status == 0, said.err
    assert said.err.count("reading result.json with the pictures in images/, as Label Studio exports") == 2
    assert "10 of 10 pictures were found under another name than file_name: 10 by base name" in said.err

    experiment = config.read_experiment(tmp_path / "run")
    splitting = experiment.data.splitting()
    assert (splitting.val_fraction, splitting.seed, splitting.split_by) == (0.3, 4, r"_(\d+)\.")
    val = read_dataset_dir(label_studio, "val", splitting=splitting)
    names = sorted(Path(example.path).name for example in val.examples)
    # The pictures of train and val with one number are a group.
    assert 2 <= len(names) <= 4

    said = call("evaluate", run, f"--output={tmp_path / 'measured'}")
    assert said.status == 0, said.err
    assert f"val: {len(names)} images" in said.err
    said = call("predict", run, f"--dataset_dir={label_studio}", f"--output={tmp_path / 'seen'}")
    assert said.status == 0, said.err
    assert detected(tmp_path / "seen") == names
    said = call(
        "predict", run, f"--dataset_dir={label_studio}", "--split=all", f"--output={tmp_path / 'all'}"
    )
    assert said.status == 0, said.err
    assert len(detected(tmp_path / "all")) == 10


def test_one_file_without_a_fraction_names_the_setting(call, label_studio, tmp_path):
    run = f"--workdir={tmp_path / 'run'}"
    complaint = call("train", *TRAIN, f"--dataset_dir={label_studio}", run).complaint
    assert f"{label_studio / 'result.json'}: holds no split" in complaint
    assert "--set data.val_fraction=0.2" in complaint
    assert not (tmp_path / "run").exists()


def test_evaluation_is_the_same_in_another_layout(call, workdir, drawn, roboflow, tmp_path):
    results = []
    for folder in (drawn, roboflow):
        output = tmp_path / f"measured_{folder.name}"
        said = call("evaluate", f"--workdir={workdir}", f"--dataset_dir={folder}", f"--output={output}")
        assert said.status == 0, said.err
        results.append((output / "val.json").read_text())
    assert results[0] == results[1]
    assert "reading valid/_annotations.coco.json with the pictures beside it" in said.err


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("data.val_fraction=2", "data.val_fraction: got 2.0, expected a share between 0 and 1"),
        ("data.split_by=(", "data.split_by: got '(', expected a regular expression"),
    ],
)
def test_settings_that_are_none(call, label_studio, tmp_path, setting, message):
    arguments = [f"--dataset_dir={label_studio}", f"--workdir={tmp_path / 'run'}", f"--set={setting}"]
    assert message in call("train", *TRAIN, *arguments).complaint


def test_the_split_is_a_setting_of_the_run():
    plain = config.with_classes(config.load_config("demo/cascade"), ("a",), (1,))
    data = dataclasses.replace(plain.data, val_fraction=0.25, split_seed=3, split_by="^(.*)/")
    split = dataclasses.replace(plain, data=data)
    assert config.from_json(config.to_json(split)).data == data
    assert "data.val_fraction: 0.25, now None" in config.differences(split, plain)
