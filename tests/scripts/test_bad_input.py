"""Bad input of every kind through the real programs: one line, status 1, nothing half-written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

CONFIG = "--config=demo/cascade"


def listing(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def add_owl(content: dict) -> None:
    """Makes an object one of a class that no other split has."""
    content["categories"].append({"id": 50, "name": "owl"})
    content["annotations"][0]["category_id"] = 50


class TestSettings:
    @pytest.mark.parametrize(
        ("setting", "message"),
        [
            ("batchsize=4", "unknown setting 'batchsize'; did you mean 'train.batch_size'"),
            ("train.stepz=4", "unknown setting 'train.stepz'; did you mean 'train.steps'?"),
            ("model.depht=4", "unknown setting 'model.depht'; did you mean 'model.backbone.depth'?"),
            ("train.steps=many", "setting 'train.steps': got 'many', expected a whole number"),
            ("train.steps=0", "train.steps: got 0, expected 1 or more"),
            ("train.precision=float8", "train.precision: got 'float8', expected one of float32, "),
            ("data.max_side=-1", "data.max_side: got -1, expected sizes above 0"),
            ("train.steps", "got the override 'train.steps', expected the form a.b=value"),
        ],
    )
    def test_of_training(self, call, tmp_path, setting, message):
        workdir = tmp_path / "run"
        assert message in call("train", CONFIG, f"--set={setting}", f"--workdir={workdir}").complaint
        assert not workdir.exists()

    @pytest.mark.parametrize("name", ["evaluate", "export", "predict"])
    def test_of_a_finished_run(self, call, workdir, name, tmp_path):
        before = listing(workdir)
        arguments = ["--output", tmp_path / "out", "--set=evaluation.batchsize=2", f"--workdir={workdir}"]
        extra = [workdir / "x.jpg"] if name == "predict" else []
        assert "did you mean 'evaluation.batch_size'" in call(name, *arguments, *extra).complaint
        assert listing(workdir) == before
        assert not (tmp_path / "out").exists()

    def test_that_the_recipe_refuses(self, call, drawn, tmp_path):
        arguments = [
            CONFIG,
            f"--dataset_dir={drawn}",
            f"--workdir={tmp_path / 'run'}",
            "--set=model.backbone.depth=33",
        ]
        assert "depth" in call("train", *arguments).complaint
        assert listing(tmp_path / "run") == set()

    def test_of_a_model_without_settings(self, call, workdir, tmp_path):
        arguments = [
            "--model",
            workdir,
            "--output",
            tmp_path / "out",
            "--set=model.backbone.depth=3",
            "a.jpg",
        ]
        assert "got --set with --model, expected --workdir" in call("predict", *arguments).complaint


class TestData:
    def train(self, call, dataset, tmp_path) -> str:
        complaint = call(
            "train", CONFIG, f"--dataset_dir={dataset}", f"--workdir={tmp_path / 'run'}"
        ).complaint
        assert not (tmp_path / "run").exists()
        return complaint

    def test_no_data_set(self, call, tmp_path):
        assert (
            "flag --dataset_dir is missing"
            in call("train", CONFIG, f"--workdir={tmp_path / 'run'}").complaint
        )

    def test_missing_folder(self, call, tmp_path):
        complaint = self.train(call, tmp_path / "nothing", tmp_path)
        assert f"{tmp_path / 'nothing'}: no such folder; expected a data set folder" in complaint

    @pytest.mark.parametrize("part", ["images", "instances_train.json", "instances_val.json"])
    def test_missing_part(self, call, dataset, tmp_path, part):
        (dataset / part).rename(tmp_path / "elsewhere")
        assert part in self.train(call, dataset, tmp_path)

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"images": 3}', "null"])
    def test_empty_or_malformed_json(self, call, dataset, tmp_path, text):
        (dataset / "instances_train.json").write_text(text)
        assert str(dataset / "instances_train.json") in self.train(call, dataset, tmp_path)

    def test_category_without_name(self, call, dataset, edit_annotations, tmp_path):
        file = edit_annotations(lambda c: c["annotations"][2].update(category_id=77), "train")
        complaint = self.train(call, dataset, tmp_path)
        assert str(file) in complaint
        assert "77" in complaint
        assert "category_id" in complaint

    def test_missing_image(self, call, dataset, tmp_path):
        (dataset / "images" / "train_00002.jpg").unlink()
        assert "train_00002.jpg" in self.train(call, dataset, tmp_path)

    def test_splits_of_different_classes(self, call, dataset, edit_annotations, tmp_path):
        file = edit_annotations(add_owl)
        complaint = self.train(call, dataset, tmp_path)
        assert f"{file}: the data set has 6 classes" in complaint
        assert "owl (50), expected those of the experiment: 5 classes" in complaint

    def test_truncated_image(self, call, dataset, workdir):
        file = dataset / "images" / "val_00000.jpg"
        file.write_bytes(file.read_bytes()[:400])
        before = listing(workdir)
        complaint = call("evaluate", f"--workdir={workdir}", f"--dataset_dir={dataset}").complaint
        assert f"image 7: {file} is cut off in its header" in complaint
        assert listing(workdir) == before

    def test_missing_backbone_weights(self, call, drawn, tmp_path):
        arguments = [
            CONFIG,
            f"--dataset_dir={drawn}",
            f"--workdir={tmp_path / 'run'}",
            "--set=model.backbone.norm=frozen",
        ]
        complaint = call("train", *arguments, f"--backbone_weights={tmp_path / 'no.npz'}").complaint
        assert f"backbone weights '{tmp_path / 'no.npz'}': got no such file" in complaint
        assert listing(tmp_path / "run") == set()


class TestRuns:
    def test_missing_run(self, call, tmp_path):
        complaint = call("evaluate", f"--workdir={tmp_path / 'none'}").complaint
        assert "got no experiment.json, expected the folder of a training run" in complaint
        assert not (tmp_path / "none").exists()

    def test_run_without_weights(self, call, workdir):
        (workdir / "best.weights.h5").unlink()
        assert (
            "got no weights, expected best.weights.h5 or last"
            in call("export", f"--workdir={workdir}").complaint
        )
        assert not list(workdir.glob("export/*"))

    def test_broken_experiment(self, call, workdir):
        (workdir / "experiment.json").write_text('{"model": ')
        assert "experiment.json: got no valid JSON" in call("evaluate", f"--workdir={workdir}").complaint

    def test_class_count_that_does_not_fit_the_data(self, call, workdir, dataset, edit_annotations):
        edit_annotations(add_owl)
        complaint = call("evaluate", f"--workdir={workdir}", f"--dataset_dir={dataset}").complaint
        assert "has 6 classes" in complaint
        assert "expected those of the experiment: 5 classes: disc (1)" in complaint

    def test_class_count_that_does_not_fit_the_weights(self, call, workdir):
        content = json.loads((workdir / "experiment.json").read_text())
        content["class_names"] += ["owl"]
        content["category_ids"] += [50]
        (workdir / "experiment.json").write_text(json.dumps(content))
        complaint = call("export", f"--workdir={workdir}").complaint
        assert f"weights {workdir / 'best.weights.h5'}: do not fit the detector" in complaint

    @pytest.mark.parametrize(
        ("setting", "change"),
        [
            ("model.neck.channels=64", "model.neck.channels: 32, now 64"),
            ("model.heads.ious=0.5", "model.heads.ious: (0.5, 0.6, 0.7), now (0.5,)"),
        ],
    )
    def test_weights_of_another_model(self, call, workdir, setting, change):
        complaint = call("export", f"--workdir={workdir}", f"--set={setting}").complaint
        assert f"workdir {workdir} has trained another network: {change}" in complaint
        assert not list(workdir.glob("export/*"))

    def test_truncated_weights(self, call, workdir):
        file = workdir / "best.weights.h5"
        file.write_bytes(file.read_bytes()[:1000])
        assert f"weights {file}: do not fit" in call("export", f"--workdir={workdir}").complaint

    @pytest.mark.parametrize("name", ["train", "evaluate", "export", "predict"])
    def test_unwritable_folder(self, call, workdir, drawn, tmp_path, name):
        (tmp_path / "file").touch()
        target = tmp_path / "file" / "folder"
        arguments = {
            "train": [CONFIG, f"--dataset_dir={drawn}", f"--workdir={target}"],
            "evaluate": [f"--workdir={workdir}", f"--output={target}"],
            "export": [f"--workdir={workdir}", f"--output={target}"],
            "predict": [f"--workdir={workdir}", f"--output={target}", drawn / "images"],
        }
        complaint = call(name, *arguments[name]).complaint
        assert str(target) in complaint
        assert "Not a directory, expected a folder" in complaint

    def test_existing_version(self, call, workdir):
        (workdir / "export" / "1").mkdir(parents=True)
        complaint = call("export", f"--workdir={workdir}").complaint
        assert f"version 1: {workdir / 'export' / '1'} exists, expected a new --version" in complaint

    def test_version_zero(self, call, workdir):
        assert "--version=0" in call("export", f"--workdir={workdir}", "--version=0").complaint

    @pytest.mark.parametrize("resume", ["always"])
    def test_nothing_to_resume(self, call, drawn, tmp_path, resume):
        arguments = [CONFIG, f"--dataset_dir={drawn}", f"--workdir={tmp_path / 'run'}", f"--resume={resume}"]
        assert "got no checkpoint, expected one with --resume=always" in call("train", *arguments).complaint
        assert not (tmp_path / "run").exists()

    def test_demo_leaves_foreign_folders_alone(self, call, tmp_path):
        (tmp_path / "thesis.tex").write_text("years of work")
        complaint = call("demo", f"--workdir={tmp_path}").complaint
        assert "got a folder with other files, expected a new or empty one" in complaint
        assert (tmp_path / "thesis.tex").read_text() == "years of work"


class TestModels:
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (None, "got no such file or folder"),
            ("folder", "got a folder without"),
            ("text", "cannot be loaded"),
        ],
    )
    def test_what_is_no_model(self, call, tmp_path, drawn, content, message):
        model = tmp_path / "model.keras"
        if content == "folder":
            model.mkdir()
        elif content:
            model.write_text(content)
        complaint = call(
            "predict", f"--model={model}", f"--output={tmp_path / 'out'}", drawn / "images"
        ).complaint
        assert f"model {model}" in complaint
        assert message in complaint
        assert not (tmp_path / "out").exists()

    def test_two_models(self, call, tmp_path, workdir):
        arguments = ["--model=a", f"--workdir={workdir}", f"--output={tmp_path / 'out'}", "a.jpg"]
        assert "got both --model and --workdir, expected one" in call("predict", *arguments).complaint


class TestInputs:
    def test_none(self, call, workdir, tmp_path):
        complaint = call("predict", f"--workdir={workdir}", f"--output={tmp_path / 'out'}").complaint
        assert "got no inputs, expected image files, folders or patterns, or --dataset_dir" in complaint

    def test_nothing_readable(self, call, workdir, tmp_path):
        (tmp_path / "empty").mkdir()
        (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff nothing")
        names = [tmp_path / "empty", tmp_path / "bad.jpg", tmp_path / "*.png"]
        said = call("predict", f"--workdir={workdir}", f"--output={tmp_path / 'out'}", *names)
        assert "none of 3 inputs can be read" in said.complaint
        assert f"skipped: {tmp_path / 'empty'}: a folder without images" in said.err
        assert f"skipped: image {tmp_path / 'bad.jpg'}: cannot be decoded" in said.err
        assert f"skipped: {tmp_path / '*.png'}: no such file, folder or match" in said.err
        assert listing(tmp_path / "out") == set()
