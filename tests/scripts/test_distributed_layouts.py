"""The programs train on data sets and measure on them as they are distributed."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from pathlib import Path

import pytest

from tests.data.sources.small_voc import Thing, write_year
from tests.scripts.test_before_the_first_step import CONFIG, SMALL


@pytest.fixture
def voc(drawn, tmp_path) -> Path:
    """The drawn scenes as PASCAL VOC has them; the last object of each image to train on is difficult."""
    lists, things = {}, defaultdict(list)
    for split in ("train", "val"):
        content = json.loads((drawn / f"instances_{split}.json").read_text())
        names = {image["id"]: Path(image["file_name"]).stem for image in content["images"]}
        classes = {category["id"]: category["name"] for category in content["categories"]}
        lists[split] = list(names.values())
        things |= {name: [] for name in lists[split]}
        for one in content["annotations"]:
            x, y, width, height = one["bbox"]
            box = (x + 1, y + 1, x + width, y + height)
            things[names[one["image_id"]]].append(Thing(classes[one["category_id"]], box))
    for name in lists["train"]:
        things[name][-1] = things[name][-1]._replace(marks={"difficult": 1})
    folder = write_year(tmp_path / "voc", lists, things, size=(128, 96))
    shutil.rmtree(folder / "JPEGImages")
    shutil.copytree(drawn / "images", folder / "JPEGImages")
    return folder


def test_train_and_evaluate(call, voc, tmp_path):
    run = f"--workdir={tmp_path / 'run'}"
    said = call("train", CONFIG, *SMALL, f"--dataset_dir={voc}", run)
    assert said.status == 0, said.err
    assert "reading PASCAL VOC's lists ImageSets/Main/train.txt" in said.err
    assert "6 to ignore of" in said.err
    said = call("evaluate", run, f"--output={tmp_path / 'measured'}")
    assert said.status == 0, said.err
    assert "val: 4 images" in said.err


def test_an_evaluation_is_the_same_in_every_layout(call, workdir, drawn, voc, tmp_path):
    results = []
    for folder in (drawn, voc):
        output = tmp_path / f"measured_{folder.name}"
        said = call("evaluate", f"--workdir={workdir}", f"--dataset_dir={folder}", f"--output={output}")
        assert said.status == 0, said.err
        results.append(json.loads((output / "val.json").read_text())["summary"])
    for number in ("AP", "AP50", "AR100"):
        assert results[0][number] == pytest.approx(results[1][number], abs=1e-9)


def test_images_without_labels_are_predicted_but_not_learnt(call, workdir, voc, tmp_path):
    for file in (voc / "Annotations").iterdir():
        file.unlink()
    run = f"--workdir={tmp_path / 'run'}"
    complaint = call("train", CONFIG, *SMALL, f"--dataset_dir={voc}", run).complaint
    assert f"{voc}: has no labels, expected some to learn from" in complaint
    complaint = call("evaluate", f"--workdir={workdir}", f"--dataset_dir={voc}").complaint
    assert f"{voc}: has no labels, expected some to measure by" in complaint
    said = call("predict", f"--workdir={workdir}", f"--dataset_dir={voc}", f"--output={tmp_path / 'seen'}")
    assert said.status == 0, said.err
    assert len(json.loads((tmp_path / "seen/detections.json").read_text())["images"]) == 4
