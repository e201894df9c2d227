"""`train.py` takes what every labelling tool writes, as it is."""

from __future__ import annotations

import importlib

import pytest

from cascade_tf.experiment.config import DataConfig, Experiment
from cascade_tf.models import cascade_rcnn_fpn
from tests.data.sources.tool_samples import CLASSES, SPLIT, WHOLE, write
from tests.scripts.conftest import SCRIPTS


@pytest.fixture
def train(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("train")


@pytest.mark.parametrize("sample", [*WHOLE, *SPLIT])
def test_training_reads_it(train, tmp_path, sample):
    tree = {**WHOLE, **SPLIT}[sample][1]()
    share = 0.4 if sample in WHOLE else None
    data = DataConfig(dataset_dir=str(write(tmp_path, tree)), val_fraction=share)
    experiment, train_set, val_set = train.program.read_data(
        Experiment(name="x", model=cascade_rcnn_fpn, data=data)
    )
    assert experiment.class_names == val_set.class_names == CLASSES
    assert (len(train_set.examples), len(val_set.examples)) == (2, 1)
    assert train_set.num_objects + val_set.num_objects == 3
    assert {e.path for e in train_set.examples}.isdisjoint(e.path for e in val_set.examples)
