"""Training in two steps with one command: the branches of MS-CNN, then everything."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from cascade_tf.experiment.config import build_detector, read_experiment
from cascade_tf.training.run_log import read_metrics
from tests.scripts.conftest import SCRIPTS

pytestmark = pytest.mark.slow

CONFIG = """
from cascade_tf.experiment.config import DataConfig, Experiment
from cascade_tf.models import cascade_mscnn_kitti
from cascade_tf.training.settings import TrainConfig


def experiment():
    model = cascade_mscnn_kitti.replace(
        {
            "backbone.width": 1 / 16,
            "backbone.freeze_at": 1,
            "inputs.std": (64.0, 64.0, 64.0),
            "neck.channels": 32,
            "proposals.hidden": (16, None, None, None),
            "proposals.min_object_side": 0.0,
            "proposals.post_nms_test": 20,
            "heads.head.channels": 16,
            "heads.head.units": 16,
            "heads.ious": (0.5, 0.6),
            "heads.num_samples": 16,
            "short_side": 128,
            "max_side": 192,
        }
    )
    return Experiment(
        name="two steps",
        model=model,
        train=TrainConfig(
            batch_size=2,
            steps=3,
            learning_rate=0.01,
            warmup_steps=0,
            decay_steps=(2,),
            checkpoint_every=1,
            log_every=1,
        ),
        first_step={
            "train.steps": 2,
            "train.learning_rate": 0.02,
            "train.decay_steps": (),
            "model.learns": "proposals",
            "model.proposals.negatives": "random",
            "model.proposals.box_weight": 0.05,
            "model.backbone.freeze_at": 0,
        },
    )
"""


def arrays(file: Path) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    with h5py.File(file) as content:
        content.visititems(
            lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
        )
    return found


def same(first: Path, second: Path) -> bool:
    one, other = arrays(first), arrays(second)
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


class Killed:
    """Batches of a training that gets SIGTERM before one of them."""

    def __init__(self, batches, at):
        self.element_spec = batches.element_spec
        self.batches = batches
        self.at = at

    def __iter__(self):
        for number, batch in enumerate(self.batches, start=1):
            if number == self.at:
                os.kill(os.getpid(), signal.SIGTERM)
            yield batch


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("config") / "two_steps.py"
    file.write_text(CONFIG)
    return file


@pytest.fixture(scope="module")
def whole(tmp_path_factory, config, drawn) -> Path:
    """A run that was not interrupted."""
    workdir = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPTS))
        command = ["train.py", f"--config={config}", f"--dataset_dir={drawn}", f"--workdir={workdir}"]
        assert importlib.import_module("train").main(command) == 0
    return workdir


def test_the_first_step_trains_the_branches_alone(whole):
    first, second = (json.dumps(read_metrics(folder)) for folder in (whole / "first_step", whole))
    assert "rpn_box" in first
    assert "stage1_class" not in first
    assert "stage2_class" in second


def values(experiment, weights: Path | None = None) -> dict[str, np.ndarray]:
    """The variables of an experiment's detector by their paths, fresh ones or those of a file."""
    keras.utils.set_random_seed(experiment.train.seed)
    detector = build_detector(experiment)
    if weights is not None:
        detector.load_weights(str(weights))
    return {variable.path: variable.numpy() for variable in detector.variables}


def changes(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> set[str]:
    return {path for path in before if not np.array_equal(before[path], after[path])}


def test_each_step_changes_what_it_trains(whole):
    first, second = read_experiment(whole / "first_step"), read_experiment(whole)
    fresh = values(first)
    branches = values(first, whole / "first_step" / "last.weights.h5")
    everything = values(second, whole / "last.weights.h5")
    in_first, in_second = changes(fresh, branches), changes(branches, everything)
    assert fresh.keys() == everything.keys()
    assert not [path for path in in_first if "heads/" in path]
    for part in ("conv1_1/kernel", "proposals/template1_1/kernel", "proposals/hidden1/bias"):
        assert [path for path in in_first if part in path], part
    assert not [path for path in in_second if "conv1_" in path]
    for part in ("conv2_1/kernel", "proposals/template1_1/kernel", "heads/"):
        assert [path for path in in_second if part in path], part


def test_the_recall_of_the_first_step_is_measured(whole):
    summary = json.loads((whole / "first_step" / "evaluation" / "recall.json").read_text())["summary"]
    best = json.loads((whole / "first_step" / "best.json").read_text())
    assert 0 <= summary["AR1000"] <= 1
    assert summary["AR1000"] in best.values()


@pytest.mark.parametrize(
    ("folder", "step"), [("first_step", 2), ("", 2)], ids=["at the border", "in the second"]
)
def test_a_run_that_was_interrupted_ends_with_the_same_weights(
    whole, config, drawn, call, tmp_path, monkeypatch, folder, step
):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    train = importlib.import_module("train")
    batches = train.training_batches
    in_first = folder == "first_step"

    def killed(experiment, *args, **kwargs):
        found = batches(experiment, *args, **kwargs)
        return Killed(found, step) if (not experiment.first_step) == in_first else found

    command = ["train", f"--config={config}", f"--dataset_dir={drawn}", f"--workdir={tmp_path}"]
    with monkeypatch.context() as patch:
        patch.setattr(train, "training_batches", killed)
        said = call(*command)
    assert said.status == 128 + signal.SIGTERM
    assert f"Stopped after step {step}" in said.out
    assert call(*command).status == 0
    for file in ("first_step/last.weights.h5", "last.weights.h5"):
        assert same(whole / file, tmp_path / file)


def test_other_settings_of_the_first_step_are_refused(whole, config, drawn, call):
    said = call(
        "train",
        f"--config={config}",
        f"--dataset_dir={drawn}",
        f"--workdir={whole}",
        "--set=first_step.train.learning_rate=0.5",
    )
    assert "first_step.train.learning_rate: 0.02, now 0.5" in said.complaint


def test_the_weights_of_a_first_step_belong_to_the_model_of_the_second(whole, config, drawn, call, tmp_path):
    said = call(
        "train",
        f"--config={config}",
        f"--dataset_dir={drawn}",
        f"--workdir={tmp_path}",
        f"--weights={whole / 'first_step'}",
        "--set=first_step=none",
        "--set=data.crop=true",
        "--set=data.crop_size=96,128",
        "--set=train.steps=1",
    )
    assert said.status == 0, said.err
    model = read_experiment(tmp_path).model
    assert (model.value("learns"), model.value("proposals.negatives")) == ("everything", "hardest")
    assert "stage2_class" in json.dumps(read_metrics(tmp_path))


def test_a_first_step_says_how_long_it_is(config, drawn, call, tmp_path):
    said = call(
        "train",
        "--config=demo/faster",
        f"--dataset_dir={drawn}",
        f"--workdir={tmp_path}",
        "--set=first_step.model.learns=proposals",
    )
    assert "first_step: got no train.steps, expected its own number of updates" in said.complaint


def test_a_run_that_is_in_its_first_step_has_no_detector_yet(whole, drawn, call, tmp_path):
    shutil.copytree(whole / "first_step", tmp_path / "first_step")
    shutil.copy(whole / "experiment.json", tmp_path)
    said = call("evaluate", f"--workdir={tmp_path}", f"--dataset_dir={drawn}")
    assert f"its first step has some, in {tmp_path / 'first_step'}" in said.complaint


def test_the_heads_of_a_first_step_are_told_to_be_untrained(whole, drawn, call, tmp_path):
    flags = (f"--workdir={whole / 'first_step'}", f"--dataset_dir={drawn}")
    told = "is a first step of training, which learns the proposals alone"
    said = call("evaluate", *flags, f"--output={tmp_path}", "--noerrors", "--noper_stage", "--split=train")
    assert told in said.err
    assert "the detector has learnt from train: numbers of train do not tell" in said.err
    assert told not in call("propose", *flags, f"--output={tmp_path / 'boxes.npz'}", "--nomeasure").err
