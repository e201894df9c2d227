"""The programs train on data sets and measure on them as they are distributed."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
import tensorflow as tf

from cascade_tf.data.coco import read_dataset_dir
from cascade_tf.formats.voc import CLASSES
from tests.scripts.test_before_the_first_step import CONFIG, SMALL


@pytest.fixture
def tensorboard_tags():
    """Reads the names of the curves in a folder of event files."""

    def read(folder: Path) -> set[str]:
        events = [
            tf.compat.v1.Event.FromString(record.numpy())
            for file in folder.iterdir()
            for record in tf.data.TFRecordDataset(str(file))
        ]
        return {value.tag for event in events for value in event.summary.value}

    return read


def test_train_and_evaluate(call, voc, tmp_path, tensorboard_tags):
    """The protocol of the layout judges the weights and stands in everything that a run writes."""
    folder = tmp_path / "run"
    said = call("train", CONFIG, *SMALL, f"--dataset_dir={voc}", f"--workdir={folder}")
    assert said.status == 0, said.err
    assert "reading PASCAL VOC's lists ImageSets/Main/train.txt" in said.err
    assert "6 to ignore of" in said.err
    assert said.out.startswith("PASCAL VOC 2010: average precision of each class\n")
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    (numbers,) = [line["evaluation"] for line in lines if "evaluation" in line]
    assert {"AP", "AP50", "voc2010/mAP", "voc2010/AP/disc"} <= set(numbers)
    best = json.loads((folder / "best.json").read_text())
    assert best == {"step": 2, "voc2010/mAP": numbers["voc2010/mAP"]}
    assert {"evaluation/AP", "evaluation/voc2010/mAP"} <= tensorboard_tags(folder / "events")
    said = call("evaluate", f"--workdir={folder}", f"--output={tmp_path / 'measured'}")
    assert said.status == 0, said.err
    assert "val: 4 images" in said.err
    measured = json.loads((tmp_path / "measured" / "val.json").read_text())
    assert measured["benchmark"]["numbers"]["mAP"] == numbers["voc2010/mAP"]


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


def test_stages_are_compared_by_the_protocols_number(call, workdir, voc, tmp_path):
    output = tmp_path / "measured"
    flags = (f"--workdir={workdir}", f"--dataset_dir={voc}", f"--output={output}")
    said = call("evaluate", *flags, "--per_stage", "--set=evaluation.protocol=voc2007")
    assert said.status == 0, said.err
    title = "PASCAL VOC 2007: average precision of each class"
    assert [line for line in said.out.splitlines() if line in (title, "COCO")] == [title, "COCO"] * 2
    with (output / "val_stages.csv").open(newline="") as file:
        stages = list(csv.DictReader(file))
    with (output / "val.csv").open(newline="") as file:
        whole = next(csv.DictReader(file))
    assert [stage["name"] for stage in stages] == ["stage 1", "stage 2", "stage 3", "detector"]
    assert stages[-1]["voc2007/mAP"] == whole["voc2007/mAP"]
    for number, stage in enumerate(stages[:-1], start=1):
        content = json.loads((output / f"val_stage{number}.json").read_text())
        assert float(stage["voc2007/mAP"]) == content["benchmark"]["numbers"]["mAP"]


@pytest.mark.parametrize("program", ["evaluate", "train"])
def test_a_protocol_that_does_not_fit_is_refused_before_anything_is_done(
    program, call, workdir, drawn, tmp_path
):
    if program == "evaluate":
        flags = (f"--workdir={workdir}",)
    else:
        flags = (CONFIG, *SMALL, f"--workdir={tmp_path / 'new'}")
    said = call(program, *flags, f"--dataset_dir={drawn}", "--set=evaluation.protocol=kitti")
    assert f"{drawn}/instances_val.json: is not laid out as KITTI, whose label_2 says" in said.complaint
    assert not (tmp_path / "new" / "experiment.json").exists()
    said = call(program, *flags, f"--dataset_dir={drawn}", "--set=evaluation.protocol=pascal")
    assert "evaluation.protocol: got 'pascal', expected one of auto, coco, voc2007" in said.complaint


VOC_SMALL = {
    "backbone.width": 0.125,
    "backbone.depth": 14,
    "proposals.channels": 8,
    "proposals.pre_nms_train": 20,
    "heads.head.channels": 8,
    "heads.num_samples": 16,
    "short_side": 96,
    "max_side": 128,
}


@pytest.mark.slow
def test_the_papers_configurations_learn_from_both_years_and_are_measured_on_2007(call, voc, tmp_path):
    """Small networks on a small devkit."""
    devkit = tmp_path / "VOCdevkit"
    shutil.copytree(voc, devkit / "VOC2007")
    shutil.copytree(voc, devkit / "VOC2012")
    names = dict(zip(read_dataset_dir(voc, "val").class_names, CLASSES, strict=False))
    for file in devkit.glob("*/Annotations/*.xml"):
        text = file.read_text()
        for name, other in names.items():
            text = text.replace(f"<name>{name}</name>", f"<name>{other}</name>")
        file.write_text(text)
    for year in ("VOC2007", "VOC2012"):
        lists = devkit / year / "ImageSets" / "Main"
        (lists / "train.txt").rename(lists / "trainval.txt")
        (lists / "val.txt").rename(lists / "test.txt")
    (devkit / "VOC2012" / "ImageSets" / "Main" / "test.txt").unlink()
    for part in ("Annotations", "JPEGImages"):  # years have names of their own
        for file in (devkit / "VOC2012" / part).iterdir():
            file.rename(file.with_name(f"2012_{file.name}"))
    file = devkit / "VOC2012" / "ImageSets" / "Main" / "trainval.txt"
    file.write_text("".join(f"2012_{name}\n" for name in file.read_text().split()))
    small = [f"--set=model.{name}={value}" for name, value in VOC_SMALL.items()]
    steps = ["--set=train.steps=1", "--set=train.batch_size=2", "--set=train.decay_steps="]
    run = f"--workdir={tmp_path / 'run'}"
    said = call("train", "--config=voc/cascade_rfcn_r50", *small, *steps, f"--dataset_dir={devkit}", run)
    assert said.status == 0, said.err
    assert "train: 12 images" in said.err
    assert "val: 4 images" in said.err
    assert said.out.startswith("PASCAL VOC 2007: average precision of each class\n")
    assert "\nCOCO\n" in said.out
    assert list(json.loads((tmp_path / "run" / "best.json").read_text())) == ["step", "voc2007/mAP"]
    content = json.loads((tmp_path / "run" / "evaluation" / "val.json").read_text())
    assert set(content["benchmark"]["numbers"]) == {"mAP", *(f"AP/{name}" for name in CLASSES)}
