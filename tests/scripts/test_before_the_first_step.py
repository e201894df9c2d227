"""What can stop a run is found before its first step, and what fails later costs no weights."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cascade_tf.experiment import config

# The detector of one stage: what is seen here is the same with more of them, which take longer to trace.
CONFIG = "--config=demo/faster"
SMALL = [
    f"--set={setting}"
    for setting in (
        "model.backbone.depth=14",
        "model.backbone.width=0.125",
        "model.neck.channels=32",
        "model.heads.head.units=32",
        "model.heads.masks=none",
        "model.short_side=96",
        "model.max_side=128",
        "data.short_sides=96",
        "data.max_side=128",
        "train.batch_size=2",
        "train.steps=2",
        "train.warmup_steps=0",
        "train.decay_steps=",
    )
]


@pytest.fixture
def train(call, dataset, tmp_path):
    """Starts a run on the data set and gives what it said."""

    def start(*more: str):
        return call(
            "train", CONFIG, f"--dataset_dir={dataset}", f"--workdir={tmp_path / 'run'}", *SMALL, *more
        )

    return start


@pytest.fixture
def no_detector(monkeypatch):
    """Lets a test fail that builds a detector."""

    def build(*_):
        raise AssertionError("no detector must be built")

    monkeypatch.setattr(config, "build_detector", build)


def cut_off(file: Path) -> Path:
    file.write_bytes(file.read_bytes()[:-50])
    return file


@pytest.mark.usefixtures("no_detector")
def test_a_data_service_that_does_not_answer(train, tmp_path):
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        address = f"localhost:{taken.getsockname()[1]}"
        complaint = train(f"--set=data.service={address}").complaint
    assert f"data.service: nobody answers at {address} (" in complaint
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("no_detector")
class TestPictures:
    @pytest.mark.parametrize(("split", "number"), [("train", 2), ("val", 8)])
    def test_that_are_cut_off(self, train, dataset, tmp_path, split, number):
        file = cut_off(dataset / "images" / f"{split}_00001.jpg")
        complaint = train().complaint
        size = file.stat().st_size
        assert (
            f"instances_{split}.json: image {number}: {file} is cut off ({size} bytes), expected a whole JPEG"
            in complaint
        )
        assert "--set data.skip_broken=true" in complaint
        assert not (tmp_path / "run").exists()

    def test_that_are_none(self, train, dataset):
        (dataset / "images" / "val_00000.jpg").write_text("<html>404</html>")
        assert "val_00000.jpg is no picture of a known format" in train().complaint

    def test_of_another_size(self, train, dataset):
        Image.fromarray(np.zeros([20, 30, 3], np.uint8)).save(dataset / "images" / "val_00000.jpg")
        assert "val_00000.jpg has 30 x 20 pixels, expected 128 x 96 as annotated" in train().complaint

    def test_all_of_them_are_listed(self, train, dataset):
        files = sorted((dataset / "images").glob("train_*"))
        for file in files:
            cut_off(file)
        said = train()
        assert f"{len(files)} records are broken" in said.complaint
        assert all(str(file) in said.err for file in files)

    def test_both_splits_are_told_together(self, train, dataset):
        files = [cut_off(dataset / "images" / f"{split}_00001.jpg") for split in ("train", "val")]
        said = train()
        assert str(files[0]) in said.complaint
        assert f"\n  {dataset / 'instances_val.json'}: image 8: {files[1]} is cut off" in said.err

    def test_a_missing_folder_is_told_once(self, train, dataset):
        dataset.rename(dataset.parent / "elsewhere")
        assert train().err.count("no such folder") == 1


class TestLevels:
    def test_headers_alone(self, train, dataset, no_detector):
        file = cut_off(dataset / "images" / "train_00001.jpg")
        (dataset / "images" / "val_00000.jpg").write_text("nothing")
        said = train("--set=data.check_images=headers")
        assert "val_00000.jpg is no picture" in said.complaint
        assert str(file) not in said.err

    def test_another_word(self, train):
        said = train("--set=data.check_images=some")
        assert "data.check_images: got 'some', expected one of full, headers, none" in said.complaint


@pytest.mark.parametrize("name", ["evaluate"])
def test_evaluation_checks_before_it_detects(call, dataset, workdir, name, monkeypatch):
    import cascade_tf.prediction.inference

    def detect(*_, **__):
        raise AssertionError("nothing must be detected")

    monkeypatch.setattr(cascade_tf.prediction.inference, "detect_dataset", detect)
    file = cut_off(dataset / "images" / "val_00003.jpg")
    assert f"{file} is cut off" in call(name, f"--workdir={workdir}", f"--dataset_dir={dataset}").complaint


@pytest.mark.slow
class TestRuns:
    def test_a_failed_evaluation_keeps_the_weights_and_the_run_goes_on_with_skip_broken(
        self, train, dataset, tmp_path, call
    ):
        # Damage in the middle is what no header tells.
        file = dataset / "images" / "val_00001.png"
        with Image.open(dataset / "images" / "val_00001.jpg") as image:
            image.save(file)
        content = bytearray(file.read_bytes())
        content[len(content) // 2 : len(content) // 2 + 40] = bytes(40)
        file.write_bytes(content)
        annotations = json.loads((dataset / "instances_val.json").read_text())
        annotations["images"][1]["file_name"] = "val_00001.png"
        (dataset / "instances_val.json").write_text(json.dumps(annotations))
        run = tmp_path / "run"
        said = train()
        assert f"the evaluation after step 2 failed (broken image: {file} cannot be read" in said.complaint
        assert f"all 2 steps are done and their weights lie in {run / 'last.weights.h5'}" in said.complaint
        assert "the same command repeats the evaluation" in said.complaint
        assert f"python scripts/evaluate.py --workdir {run}" in said.complaint
        assert (run / "last.weights.h5").exists()
        assert not (run / "best.weights.h5").exists()
        said = train("--set=data.skip_broken=true")
        assert said.status == 0
        assert "data.skip_broken is true now and was not before: all training images are there" in said.err
        assert (run / "best.weights.h5").exists()

    def test_extreme_values_that_are_accepted_go_through_training_evaluation_and_export(
        self, train, edit_annotations, tmp_path, call
    ):
        ids, most = {}, 2**63 - 1
        names = ["a\nb", '"quoted", with comma', "<b>&amp;", "\u65e5\u672c \U0001f431", " "]

        def change(content):
            for number, category in enumerate(content["categories"]):
                ids[category["id"]] = (most, -most - 1, 0, 7, -7)[number]
                category.update(id=ids[category["id"]], name=names[number])
            for number, image in enumerate(content["images"][:2]):
                old, image["id"] = image["id"], (most, -most - 1)[number]
                for record in content["annotations"]:
                    record["image_id"] = image["id"] if record["image_id"] == old else record["image_id"]
            values = (None, "7", "text", float("nan"), [], 2**70, -1.0, 1e300)
            for number, record in enumerate(content["annotations"]):
                record.update(category_id=ids[record["category_id"]], area=values[number % len(values)])
                record.pop("segmentation", None)

        for split in ("train", "val"):
            edit_annotations(change, split)
        run = tmp_path / "run"
        said = train("--set=model.output.score_threshold=0.0")
        assert said.status == 0, said.err
        assert set(config.read_experiment(run).category_ids) == {most, -most - 1, 0, 7, -7}
        found = json.loads((run / "evaluation" / "val_detections.json").read_text())
        assert {most, -most - 1} < {detection["image_id"] for detection in found}
        assert {detection["category_id"] for detection in found} <= {most, -most - 1, 0, 7, -7}
        summary = json.loads((run / "evaluation" / "val.json").read_text())["summary"]
        assert 0.0 <= summary["AP"] <= 1.0
        assert call("export", f"--workdir={run}").status == 0
        assert (run / "export" / "1" / "saved_model.pb").exists()

    def test_pictures_that_break_while_a_run_rests_are_left_out_of_both_splits(
        self, train, dataset, tmp_path
    ):
        assert train().status == 0
        files = [cut_off(dataset / "images" / f"{split}_00001.jpg") for split in ("train", "val")]
        more = ["--set=train.steps=3"]
        assert "--set data.skip_broken=true" in train(*more).complaint
        said = train(*more, "--set=data.skip_broken=true")
        assert said.status == 0
        assert all(f"{file} is cut off" in said.err for file in files)
        assert "train: 5 images" in said.err
        assert "val: 3 images" in said.err
        assert "data.skip_broken is true now and was not before: 1 training images are left out" in said.err
        assert "AP from here on is that of 3 validation images, without 1 that are left out" in said.err
        assert config.read_experiment(tmp_path / "run").data.skip_broken
