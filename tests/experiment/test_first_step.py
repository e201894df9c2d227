"""Experiments whose training has a first step with settings of its own."""

from __future__ import annotations

import dataclasses

import pytest

from cascade_tf.backbones import VGG16
from cascade_tf.experiment.config import Experiment, differences, from_json, settings, to_json
from cascade_tf.experiment.first_step import change_first_step, first_experiment
from cascade_tf.models import cascade_mscnn_kitti
from cascade_tf.parts import part
from cascade_tf.training.settings import TrainConfig

CHANGES = {
    "train.steps": 100,
    "train.decay_steps": (50,),
    "model.learns": "proposals",
    "model.proposals.negatives": "random",
    "model.backbone.freeze_at": 0,
    "data.flip": False,
}


def experiment(**changes):
    return Experiment(
        name="x", model=cascade_mscnn_kitti, train=TrainConfig(steps=300, batch_size=4), first_step=changes
    )


def test_the_first_step_has_the_other_settings_of_the_second():
    whole = experiment(**CHANGES)
    first = first_experiment(whole)
    old, new = settings(whole), settings(first)
    assert {name: new[name] for name in CHANGES} == CHANGES
    assert {name for name in old if old[name] != new.get(name)} == {
        *CHANGES,
        *(f"first_step.{name}" for name in CHANGES),
    }
    assert old["model.proposals.negatives"] == "hardest"


def test_without_one_there_is_none():
    assert first_experiment(experiment()) is None


def test_a_part_comes_before_the_settings_inside_it():
    first = first_experiment(
        experiment(
            **{"model.backbone.width": 0.5, "model.backbone": part(VGG16, freeze_at=1, levels=("C4", "C5"))}
        )
    )
    assert first.model.value("backbone.width") == 0.5
    assert first.model.value("backbone.freeze_at") == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train.stepz": 3}, r"first_step: unknown setting 'train.stepz'; did you mean .*train.steps"),
        ({"model.proposals.negative": 3}, r"first_step: unknown setting .*; first_step=none"),
        ({"train.steps": "many"}, r"first_step: setting 'train.steps': got 'many', expected a whole number"),
        ({"train.steps": 0}, r"first_step: train.steps: got 0, expected 1 or more"),
        (
            {"data.dataset_dir": "y"},
            r"got 'data.dataset_dir', expected a setting of model or train, or one of",
        ),
        ({"name": "y"}, r"got 'name', expected a setting of model or train"),
    ],
)
def test_what_is_no_setting_of_a_step_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        experiment(**changes)


def test_an_experiment_comes_back_from_its_file():
    whole = experiment(**CHANGES, **{"model.neck": None})
    again = from_json(to_json(whole))
    assert settings(again) == settings(whole)
    assert dict(again.first_step) == dict(whole.first_step)
    part_inside = experiment(**{"model.backbone": part(VGG16, width=0.5, levels=("C4", "C5"))})
    assert from_json(to_json(part_inside)).first_step == part_inside.first_step


def test_a_file_of_an_older_version_has_no_first_step():
    text = to_json(experiment()).replace('"first_step": {}', '"weights": null')
    assert from_json(text).first_step == {}


def test_a_file_with_an_unknown_setting_is_refused():
    text = to_json(experiment(**{"train.steps": 3})).replace('"train.steps"', '"train.stepz"')
    with pytest.raises(ValueError, match=r"unknown setting 'first_step.train.stepz'"):
        from_json(text)


class TestAssignments:
    def test_change_add_and_remove_settings(self):
        whole = experiment(**CHANGES)
        changed = change_first_step(whole, ["first_step.train.steps=7", "first_step.train.learning_rate=0.5"])
        assert changed.first_step == {**CHANGES, "train.steps": 7, "train.learning_rate": 0.5}
        assert change_first_step(changed, ["first_step=none"]).first_step == {}

    def test_give_an_experiment_a_first_step(self):
        changed = change_first_step(experiment(), ["first_step.*.freeze_at=0"])
        assert changed.first_step == {"model.backbone.freeze_at": 0}

    def test_with_other_values_are_refused(self):
        with pytest.raises(ValueError, match=r"setting 'first_step': got 'yes', expected none"):
            change_first_step(experiment(), ["first_step=yes"])
        for assignment, message in (
            (
                "first_step.train.steps=many",
                r"first_step: setting 'train.steps': got 'many', expected a whole",
            ),
            ("first_step.train.stepz=3", "first_step: unknown setting 'train.stepz'"),
            (
                "first_step.name=x",
                "first_step: got 'name', expected a setting of model or train, or one of data.sh",
            ),
            ("first_step.=x", "first_step: got '', expected a setting of model or train"),
            ("first_step.model=x", "first_step: got 'model', expected a setting of"),
        ):
            with pytest.raises(ValueError, match=message):
                change_first_step(experiment(), [assignment])


def test_what_decides_the_weights_is_a_difference():
    whole = experiment(**CHANGES)
    for name, value in (("train.steps", 101), ("model.proposals.negatives", "hardest")):
        other = dataclasses.replace(whole, first_step={**CHANGES, name: value})
        assert differences(whole, other) == [f"first_step.{name}: {CHANGES[name]!r}, now {value!r}"]
    parts = [part(VGG16, width=width, levels=("C4", "C5")) for width in (0.25, 0.5)]
    one, other = (dataclasses.replace(whole, first_step={"model.backbone": backbone}) for backbone in parts)
    assert differences(one, other) == ["first_step.model.backbone.width: 0.25, now 0.5"]
    harmless = dataclasses.replace(whole, first_step={**CHANGES, "train.log_every": 3})
    assert differences(whole, harmless) == []
