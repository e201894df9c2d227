"""The program that draws the paper's figures from a run."""

from __future__ import annotations

import csv
import importlib
import json
from types import SimpleNamespace

import pytest

from tests.scripts.conftest import SCRIPTS

CHEAP = ("--figures=localization,classification,samples,offsets", "--images=2")


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_figures_of_a_run(call, workdir):
    said = call("analyze", f"--workdir={workdir}", *CHEAP)
    assert said.status == 0, said.err
    folder = workdir / "analysis"
    for name in ("localization", "localization_along", "classification"):
        assert {row["line"][-1] for row in rows(folder / f"{name}.csv")} == {"1", "2", "3"}
    for name in ("samples", "proposals"):
        for stage in (1, 2, 3):
            found = rows(folder / f"{name}_{stage}.csv")
            assert sum(float(row["share"]) for row in found[:10]) == pytest.approx(1.0, abs=1e-4)
    assert (folder / "offsets_3_dw_dh.csv").exists()
    assert "Training, stage 2" in (folder / "analysis.html").read_text()


@pytest.mark.slow
def test_precision_on_the_boxes_of_another_run(call, workdir, tmp_path):
    """The other run is the same one, so that its boxes are its own."""
    said = call(
        "analyze",
        f"--workdir={workdir}",
        "--figures=others,truth,precision",
        "--images=2",
        f"--boxes_of={workdir}",
        f"--output={tmp_path}",
        "--set=model.heads.ensemble=last_stage",
        "--set=model.output.max_detections=100",
    )
    assert said.status == 0, said.err
    assert sorted(path.stem for path in tmp_path.glob("*.csv")) == ["others", "precision", "truth"]
    others, truth, precision = (
        {(row["line"], row["iou"]): row["ap"] for row in rows(tmp_path / f"{name}.csv")}
        for name in ("others", "truth", "precision")
    )
    for iou in ("0.5", "0.75"):
        assert others["own proposals", iou] == others["boxes of stage 1", iou] == truth["proposals", iou]
        assert float(others["boxes of stage 3", iou]) == pytest.approx(
            float(precision["stage 3", iou]), abs=1e-3
        )
        assert ("proposals and objects", iou) in truth


@pytest.mark.slow
def test_detections_beside_those_of_another_run(call, workdir, dataset, tmp_path):
    images = json.loads((dataset / "instances_val.json").read_text())["images"]
    said = call(
        "analyze",
        f"--workdir={workdir}",
        "--figures=detections",
        f"--boxes_of={workdir}",
        f"--image_ids={images[1]['id']}",
        "--score_threshold=0.0",
        f"--output={tmp_path}",
    )
    assert said.status == 0, said.err
    found = rows(tmp_path / "detections.csv")
    assert {row["picture"] for row in found} == {images[1]["file_name"]}
    # The same run twice: its boxes are the same under both names.
    halves = [
        [{**row, "detector": ""} for row in found if row["detector"] == name]
        for name in (workdir.name, str(workdir))
    ]
    assert halves[0]
    assert halves[0] == halves[1]


def test_every_head_meets_the_boxes_of_every_stage(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    analyze = importlib.import_module("analyze")
    look = SimpleNamespace(
        thresholds=[0.5, 0.6], precision_on_boxes=lambda head, stage: {0.5: 0.1 * head + 0.01 * stage}
    )
    found = [figure.rows for figure in analyze.stages(look)]
    assert found == [
        [("head 1", 0.5, pytest.approx(0.11)), ("head 2", 0.5, pytest.approx(0.21))],
        [("head 1", 0.5, pytest.approx(0.12)), ("head 2", 0.5, pytest.approx(0.22))],
    ]


def test_figures_of_a_detector_without_stages(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    analyze = importlib.import_module("analyze")
    plain, staged = (
        SimpleNamespace(heads=heads) for heads in (SimpleNamespace(), SimpleNamespace(stages=[]))
    )
    chosen = ["localization", "precision"]
    for figures, detector, expected in (
        (None, plain, ["precision", "detections"]),
        (None, staged, chosen),
        ("localization,precision", plain, chosen),
    ):
        options = SimpleNamespace(values=SimpleNamespace(figures=figures))
        monkeypatch.setattr(analyze, "OPTIONS", options)
        assert analyze.figures_of(detector, chosen) == expected


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--figures=colours",), "figures: got 'colours', expected some of localization"),
        (("--figures=others",), "got others without --boxes_of"),
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
