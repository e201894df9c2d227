"""The program that trains the runs of a study, here with a training that takes no time."""

from __future__ import annotations

import importlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from cascade_tf.experiment.config import to_json
from cascade_tf.study import load_study, runs
from cascade_tf.study.progress import experiment_of, state_of
from tests.scripts.conftest import SCRIPTS

STUDY = """
from cascade_tf.study import Again, Row, Study


def study():
    rows = (
        Row("base", "demo/faster"),
        Row("three", "demo/cascade"),
        Row("first_stage", "demo/cascade", stage=1),
        Row("on_three", again=Again("base", "evaluate", ("--boxes_of={run:three}",))),
    )
    numbers = ("AP", "AP50", "voc2007/mAP")
    return Study("small", rows, seeds=(0, 1), numbers=numbers, changes=("train.steps=3",))
"""

# Leaves behind what a training does, where the file "slow" is there only once it is stopped. Seed 1 of three
# fails as long as the file "broken" is there.
TRAINING = """
import json, pathlib, signal, sys, time
words = dict(word.lstrip("-").split("=", 1) for word in sys.argv[1:])
here, workdir = pathlib.Path(__file__).parent, pathlib.Path(words["workdir"])
row, seed = workdir.parts[-2:]
with (here / "started").open("a") as log:
    log.write(f"{row} {seed}\\n")
if (here / "slow").exists():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    (here / "begun").touch()
    try:
        time.sleep(60)
    finally:
        (here / "checkpoint").touch()
if (row, seed) == ("three", "seed1") and (here / "broken").exists():
    print("train.py: error: no luck")
    sys.exit(1)
workdir.mkdir(parents=True, exist_ok=True)
# Whole or not at all, as a training writes it: the study may look at any moment.
(workdir / "new").write_text((here / f"{row}-{seed}.json").read_text())
(workdir / "new").rename(workdir / "experiment.json")
ap = {"base": 0.3, "three": 0.4}[row] + 0.01 * int(seed[-1])
lines = [
    {"step": 3, "metrics": {"stage1_positives": 7.0}, "time": 10.0},
    {"step": 3, "evaluation": {"AP": ap, "AP50": None, "voc2007/mAP": 100 * ap}, "time": 12.0},
]
(workdir / "metrics.jsonl").write_text("".join(json.dumps(line) + "\\n" for line in lines))
(workdir / "evaluation").mkdir(exist_ok=True)
(workdir / "evaluation" / "val_stage1.json").write_text(json.dumps({"summary": {"AP": ap - 0.05}}))
"""

# A measurement of a run, of which the run of another row is told.
MEASURING = """
import json, pathlib, sys
words = dict(word.lstrip("-").split("=", 1) for word in sys.argv[1:])
here, output = pathlib.Path(__file__).parent, pathlib.Path(words["output"])
assert "/base/" in words["workdir"] and pathlib.Path(words["boxes_of"]).parts[-2] == "three"
with (here / "measured").open("a") as log:
    log.write(output.name + "\\n")
output.mkdir(parents=True, exist_ok=True)
(output / "val.json").write_text(json.dumps({"summary": {"AP": 0.2}}))
"""


@pytest.fixture
def training(tmp_path, monkeypatch) -> Path:
    """Folder of the study's file, and of a training that takes no time."""
    (tmp_path / "small.py").write_text(STUDY)
    (tmp_path / "train.py").write_text(TRAINING)
    (tmp_path / "evaluate.py").write_text(MEASURING)
    for run in runs(load_study(tmp_path / "small.py")):
        (tmp_path / f"{run.name}-seed{run.seed}.json").write_text(to_json(experiment_of(run)))
    monkeypatch.syspath_prepend(str(SCRIPTS))
    program = importlib.import_module("study")
    monkeypatch.setattr(program.program, "SCRIPTS", tmp_path)
    monkeypatch.setattr(program, "SECONDS", 0.05)
    return tmp_path


@pytest.fixture
def study(training, call):
    def run(*more):
        return call(
            "study",
            f"--study={training / 'small.py'}",
            f"--dataset_dir={training}",
            f"--workdir={training / 'out'}",
            *more,
        )

    return run


def started(training: Path) -> list[str]:
    file = training / "started"
    return sorted(file.read_text().splitlines()) if file.exists() else []


EVERY = ["base seed0", "base seed1", "three seed0", "three seed1"]


@pytest.mark.parametrize("jobs", [1, 3])
def test_every_run_is_trained_once_and_the_results_are_written(study, training, jobs):
    said = study(f"--jobs={jobs}")
    assert said.status == 0, said.err
    assert started(training) == EVERY
    content = json.loads((training / "out" / "study.json").read_text())
    assert content["rows"]["three"]["numbers"]["AP"]["values"] == pytest.approx([0.40, 0.41])
    assert content["rows"]["three"]["numbers"]["voc2007/mAP"]["values"] == pytest.approx([0.40, 0.41])
    assert content["rows"]["first_stage"]["numbers"]["AP"]["values"] == pytest.approx([0.35, 0.36])
    assert content["rows"]["three"]["differences"]["AP"]["mean"] == pytest.approx(0.1)
    assert "AP50" not in content["rows"]["three"]["numbers"]
    assert "+10.0 ±0.0" in said.out
    assert content["rows"]["on_three"]["numbers"]["AP"]["values"] == [0.2, 0.2]
    assert "8 of 8 results are there" in (training / "out" / "study.html").read_text()
    assert study().status == 0
    assert started(training) == EVERY
    assert sorted((training / "measured").read_text().split()) == ["seed0", "seed1"]


def test_a_run_that_fails_is_told_and_the_others_go_on(study, training):
    (training / "broken").touch()
    said = study()
    assert said.status == 1
    assert started(training) == EVERY
    assert "three/seed1: train.py: error: no luck" in said.err
    page = (training / "out" / "study.html").read_text()
    assert "three, seed 1: train.py: error: no luck" in page
    assert "on_three, seed 1: not measured on base yet" in page
    (training / "broken").unlink()
    assert study().status == 0
    assert started(training) == sorted([*EVERY, "three seed1"])


def test_an_interruption_lets_the_runs_end(study, training):
    (training / "slow").touch()
    before = signal.getsignal(signal.SIGTERM)

    def interrupt():
        while not (training / "begun").exists():
            time.sleep(0.02)
        # Processes of parallel tests ignore SIGINT.
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=interrupt, daemon=True).start()
    said = study()
    assert said.status == 130
    assert signal.getsignal(signal.SIGTERM) is before
    assert (training / "checkpoint").exists()
    assert len(started(training)) == 1
    (training / "slow").unlink()
    assert study().status == 0


def test_commands_of_the_runs_that_are_left(study, training):
    assert study("--seeds=0").status == 0
    for result in (training / "out").glob("study.*"):
        result.unlink()
    said = study("--print_commands")
    # It collects what has finished.
    assert "4 of 8 results are there" in (training / "out" / "study.html").read_text()
    lines = [shlex.split(line) for line in said.out.splitlines()]
    assert len(lines) == 2
    for row, line in zip(("base", "three"), lines, strict=True):
        assert f"--workdir={training}/out/runs/{row}/seed1" in line
    assert all("--set=train.seed=1" in line and "--set=train.steps=3" in line for line in lines)
    assert started(training) == ["base seed0", "three seed0"]


def test_commands_of_measurements_come_when_their_runs_are_there(study, training):
    assert study().status == 0
    shutil.rmtree(training / "out" / "again")
    lines = [shlex.split(line) for line in study("--print_commands").out.splitlines()]
    assert [Path(line[1]).name for line in lines] == ["evaluate.py", "evaluate.py"]
    for seed, line in enumerate(lines):
        assert f"--boxes_of={training}/out/runs/three/seed{seed}" in line
        subprocess.run(line, check=True)
    assert study("--print_commands").out == ""


def test_a_run_with_other_settings_is_refused(study, training):
    assert study("--seeds=0").status == 0
    said = study("--seeds=0", "--set=train.learning_rate=0.5")
    assert "train.learning_rate: 0.02, now 0.5" in said.complaint


def test_how_far_a_run_is(training):
    run = runs(load_study(training / "small.py"))[0]
    out = training / "out"
    assert state_of(run, out)[:3] == (0, 3, False)
    workdir = run.workdir(out)
    workdir.mkdir(parents=True)
    shutil.copy(training / "base-seed0.json", workdir / "experiment.json")
    (workdir / "metrics.jsonl").write_text(
        '{"step": 2, "time": 1.5}\n{"step": 2, "evaluation": {}, "time": 4.5}\n'
    )
    assert state_of(run, out) == (2, 3, False, 3.0)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((), "got no --study and no --configs"),
        (("--study=x", "--configs=a,b"), "got both --study and --configs"),
        (("--configs=demo/faster",), "expected two or more"),
        (("--configs=demo/faster,demo/cascade", "--seeds=a"), "seeds: got 'a', expected whole numbers"),
        (("--configs=demo/faster,demo/cascade", "--set=train.stepz=3"), "did you mean 'train.steps'"),
        (("--configs=demo/faster,demo/nothing",), "configuration 'demo/nothing': got no such file"),
    ],
)
def test_wrong_flags_are_answered_in_one_line(training, call, flags, message):
    assert message in call("study", "--dataset_dir=x", f"--workdir={training / 'y'}", *flags).complaint
