"""A configuration with mask heads reads masks; without them nothing changes."""

from __future__ import annotations

import dataclasses
import importlib

import pytest

from cascade_tf.experiment.config import DataConfig, load_config
from cascade_tf.heads import mask_heads
from cascade_tf.parts import part
from cascade_tf.structures import InstanceTargets, Targets
from tests.scripts.conftest import SCRIPTS

CONFIG = "--config=demo/cascade"
MASKS = "--set=model.heads.masks=mask_heads"


@pytest.mark.parametrize(("masks", "kind"), [(None, Targets), (part(mask_heads), InstanceTargets)])
def test_batches_are_those_that_the_detector_needs(drawn, monkeypatch, masks, kind):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    train = importlib.import_module("train")
    experiment = load_config("demo/cascade")
    model = experiment.model.replace({"heads.masks": masks})
    data = DataConfig(dataset_dir=str(drawn), short_sides=(96,), max_side=128)
    experiment, train_set, _ = train.program.read_data(
        dataclasses.replace(experiment, model=model, data=data)
    )
    _, targets = next(iter(train.training_batches(experiment, train_set)))
    assert type(targets) is kind
    if masks:
        assert targets.masks.shape[2:] == (96, 16)
        assert targets.masks.numpy().any(axis=(2, 3))[targets.valid.numpy()].all()


def test_data_without_masks(call, dataset, edit_annotations, tmp_path):
    def strip(content):
        for record in content["annotations"]:
            del record["segmentation"]

    file = edit_annotations(strip, "train")
    complaint = call(
        "train", CONFIG, MASKS, f"--dataset_dir={dataset}", f"--workdir={tmp_path / 'run'}"
    ).complaint
    assert f"{file}: " in complaint
    assert "objects have no segmentation, the first is annotations[0] (id 1); expected one" in complaint


def test_a_broken_mask(call, dataset, edit_annotations, tmp_path):
    def spoil(content):
        content["annotations"][1]["segmentation"] = [[1, 2, 3, 4]]

    file = edit_annotations(spoil, "train")
    complaint = call(
        "train", CONFIG, MASKS, f"--dataset_dir={dataset}", f"--workdir={tmp_path / 'run'}"
    ).complaint
    assert (
        f"{file}: annotations[1] (id 2): segmentation: polygon 0 has 2 points, expected at least 3"
        in complaint
    )
