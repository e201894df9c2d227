"""The program that draws the paper's figures from a run."""

from __future__ import annotations

import csv
import importlib
import json
import shutil
from types import SimpleNamespace

import pytest

from tests.scripts.conftest import SCRIPTS

CHEAP = ("--figures=localization,classification,samples,offsets", "--images=2")


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_figures_of_a_run_beside_another(call, workdir):
    """The other run is a copy, which --set does not change."""
    copy = shutil.copytree(workdir, workdir.parent / "other")
    said = call(
        "analyze", f"--workdir={workdir}", f"--beside={copy}", "--set=model.heads.iterations=2", *CHEAP
    )
    assert said.status == 0, said.err
    folder = workdir / "analysis"
    for name, what, outputs in (
        ("localization", "regressor", "123"),
        ("localization_along", "after", "1234"),
        ("classification", "classifier", "1234"),
    ):
        lines = {}
        for row in rows(folder / f"{name}.csv"):
            lines.setdefault(row.pop("line"), []).append(row)
        assert list(lines) == [
            f"{run}: {what} {n}" for run, ns in (("run", outputs), ("other", "123")) for n in ns
        ]
        for n in "123":
            assert lines[f"run: {what} {n}"] == lines[f"other: {what} {n}"]
    for name in ("samples", "proposals"):
        for stage in (1, 2, 3):
            found = rows(folder / f"{name}_{stage}.csv")
            assert sum(float(row["share"]) for row in found) == pytest.approx(1.0, abs=1e-4)
            shares = rows(folder / f"{name}_{stage}_shares.csv")
            above = [float(row["share"]) for row in found if float(row["from"]) > 0.65]
            assert float(shares[-1]["share"]) == pytest.approx(sum(above), abs=1e-4)
    assert (folder / "offsets_3_dw_dh.csv").exists()
    assert "Training, stage 2" in (folder / "analysis.html").read_text()


@pytest.mark.slow
def test_precision_on_the_boxes_of_another_run(call, workdir, tmp_path):
    """The other run is the same one, so that its boxes are its own, and a copy has the same AP."""
    experiment = json.loads((workdir / "experiment.json").read_text())
    experiment["model"]["heads"]["ensemble"] = "last_stage"
    experiment["model"]["output"]["max_detections"] = 100
    (workdir / "experiment.json").write_text(json.dumps(experiment))
    copy = shutil.copytree(workdir, workdir.parent / "other")
    said = call(
        "analyze",
        f"--workdir={workdir}",
        "--figures=others,truth,precision",
        "--images=2",
        f"--boxes_of={workdir}",
        f"--beside={copy}",
        f"--output={tmp_path}",
    )
    assert said.status == 0, said.err
    assert sorted(path.stem for path in tmp_path.glob("*.csv")) == ["others", "precision", "truth"]
    others, truth, precision = (
        {(row["line"], row["iou"]): row["ap"] for row in rows(tmp_path / f"{name}.csv")}
        for name in ("others", "truth", "precision")
    )
    assert {line for line, _ in precision} == {
        f"{run}: stage {n}" for run in ("run", "other") for n in (1, 2, 3)
    }
    for iou in ("0.5", "0.75"):
        assert precision["run: stage 1", iou] == precision["other: stage 1", iou]
        assert others["own proposals", iou] == others["boxes of stage 1", iou] == truth["proposals", iou]
        assert float(others["boxes of stage 3", iou]) == pytest.approx(
            float(precision["run: stage 3", iou]), abs=1e-3
        )
        assert ("proposals and objects", iou) in truth


@pytest.mark.slow
def test_detections_beside_those_of_another_run(call, workdir, dataset, tmp_path):
    copy = shutil.copytree(workdir, workdir.parent / "other")
    images = json.loads((dataset / "instances_val.json").read_text())["images"]
    said = call(
        "analyze",
        f"--workdir={workdir}",
        "--figures=detections",
        f"--beside={copy}",
        f"--image_ids={images[1]['id']}",
        "--score_threshold=0.0",
        f"--output={tmp_path}",
    )
    assert said.status == 0, said.err
    found = rows(tmp_path / "detections.csv")
    assert {row["picture"] for row in found} == {images[1]["file_name"]}
    # The same weights twice: their boxes are the same under both names.
    halves = [
        [{**row, "detector": ""} for row in found if row["detector"] == name] for name in ("run", "other")
    ]
    assert halves[0]
    assert halves[0] == halves[1]


def test_every_head_meets_the_boxes_of_every_stage(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    analyze = importlib.import_module("analyze")
    look = SimpleNamespace(
        thresholds=[0.5, 0.6], precision_on_boxes=lambda head, stage: {0.5: 0.1 * head + 0.01 * stage}
    )
    found = [table.rows for figure in analyze.stages(look) for table in figure.tables]
    assert found == [
        [("head 1", 0.5, pytest.approx(0.11)), ("head 2", 0.5, pytest.approx(0.21))],
        [("head 1", 0.5, pytest.approx(0.12)), ("head 2", 0.5, pytest.approx(0.22))],
    ]


def test_figures_of_a_detector_without_stages(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    analyze = importlib.import_module("analyze")
    plain, staged = (
        SimpleNamespace(detector=SimpleNamespace(heads=heads))
        for heads in (SimpleNamespace(), SimpleNamespace(stages=[]))
    )
    chosen = ["localization", "precision"]
    for figures, looks, expected in (
        (None, [plain], ["precision", "detections"]),
        (None, [staged, plain], ["precision", "detections"]),
        (None, [staged, staged], chosen),
        ("localization,precision", [plain], chosen),
    ):
        options = SimpleNamespace(values=SimpleNamespace(figures=figures))
        monkeypatch.setattr(analyze, "OPTIONS", options)
        assert analyze.figures_of(looks, chosen) == expected


def test_runs_are_named_by_what_tells_them_apart(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    program = importlib.import_module("program")
    assert program.short_names(["runs/u50", "/other/u60/", "u70"]) == ["u50", "u60", "u70"]
    assert program.short_names(["runs/u50/seed1", "runs/u60/seed1"]) == ["u50/seed1", "u60/seed1"]
    with pytest.raises(ValueError, match="got the run 'a' twice, expected others beside it"):
        program.short_names(["b", "a", "./a"])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--figures=colours",), "figures: got 'colours', expected some of localization"),
        (("--figures=others",), "got others without --boxes_of"),
        (
            ("--figures=samples,truth", "--beside=other"),
            "beside: got runs for samples, truth, expected one of",
        ),
        (("--figures=detections", "--image_ids=no"), "image_ids: got 'no', expected ids of images of"),
    ],
)
def test_wrong_figures_are_answered_in_one_line(call, workdir, flags, message):
    assert message in call("analyze", f"--workdir={workdir}", *flags).complaint


def test_a_split_without_objects_is_refused(call, workdir, dataset, edit_annotations):
    edit_annotations(lambda content: content.update(annotations=[]))
    said = call("analyze", f"--workdir={workdir}", f"--dataset_dir={dataset}", "--figures=classification")
    assert "has no objects, expected some to look at" in said.complaint
    assert json.loads((dataset / "instances_val.json").read_text())["annotations"] == []
