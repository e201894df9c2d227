"""Which runs take proposals from a file, and what is said of a setting that names one in vain."""

from __future__ import annotations

import importlib

import pytest

from cascade_tf.experiment.config import DataConfig, Experiment
from cascade_tf.models import fast_rcnn_fpn, faster_rcnn_fpn
from cascade_tf.parts import of_kind, part
from cascade_tf.proposals import GivenProposals, LevelProposals
from tests.scripts.conftest import SCRIPTS


@pytest.fixture
def program(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("program")


@of_kind("proposals")
def few(limit: int = 10, name: str | None = None) -> GivenProposals:
    return GivenProposals(limit_test=limit, name=name)


@of_kind("proposals")
def own(channels: int = 8, name: str | None = None) -> LevelProposals:
    return LevelProposals(channels=channels, name=name)


def test_who_takes_proposals_from_a_file(program):
    """What the part makes decides, also where a function makes it."""
    models = {
        "network": faster_rcnn_fpn,
        "file": fast_rcnn_fpn,
        "function": faster_rcnn_fpn.replace({"proposals": part(few, limit=3)}),
        "function of a network": fast_rcnn_fpn.replace({"proposals": part(own)}),
    }
    found = {
        name: program.takes_proposals(Experiment(name="x", model=model)) for name, model in models.items()
    }
    assert found == {"network": False, "file": True, "function": True, "function of a network": False}


@pytest.mark.parametrize(
    ("split", "given", "named"),
    [
        ("train", {"proposals": "a.npz"}, "data.proposals=a.npz"),
        ("val", {"proposals": "a.npz"}, "data.proposals=a.npz"),
        ("val", {"proposals": "a.npz", "val_proposals": "b.npz"}, "data.val_proposals=b.npz"),
    ],
)
def test_the_setting_that_was_given_is_the_one_that_is_named(program, drawn, split, given, named):
    data = DataConfig(dataset_dir=str(drawn), check_images="none", **given)
    experiment = Experiment(name="x", model=faster_rcnn_fpn, data=data)
    with pytest.raises(
        ValueError, match=f"^got {named}, expected none: the model makes its proposals itself"
    ):
        program.read_split(experiment, split)


def test_training_complains_once_of_one_setting(program, drawn):
    data = DataConfig(dataset_dir=str(drawn), check_images="none", proposals="a.npz")
    experiment = Experiment(name="x", model=faster_rcnn_fpn, data=data)
    with pytest.raises(ValueError, match="proposals itself") as error:
        program.read_data(experiment)
    assert str(error.value).count("expected none") == 1


def test_a_stage_that_is_not_there_is_told_before_the_data_is_read(call, workdir, tmp_path):
    flags = (f"--workdir={workdir}", "--dataset_dir=nowhere", f"--output={tmp_path / 'x.npz'}")
    assert (
        "stage: got 4, expected one of the detector's, 1..3" in call("propose", *flags, "--stage=4").complaint
    )
