"""What the training program makes of data sets that are read, but not as COCO would write them."""

from __future__ import annotations

import dataclasses
import importlib
import logging

import pytest

from cascade_tf.experiment.config import DataConfig, load_config, with_classes, write_experiment
from cascade_tf.training.best import BestKeeper
from tests.scripts.conftest import SCRIPTS


@pytest.fixture
def train(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("train")


def experiment(folder, **settings):
    data = DataConfig(dataset_dir=str(folder), **settings)
    return dataclasses.replace(load_config("demo/cascade"), data=data)


def test_no_objects_to_train_on_stop(train, dataset, edit_annotations):
    file = edit_annotations(lambda content: content.update(annotations=[]), "train")
    with pytest.raises(ValueError, match="has no objects, expected some to learn from") as error:
        train.program.read_data(experiment(dataset))
    assert str(error.value).startswith(f"{file}: ")


def test_no_objects_to_validate_on_are_told(train, dataset, edit_annotations, caplog):
    file = edit_annotations(lambda content: content.update(annotations=[]), "val")
    with caplog.at_level(logging.WARNING, "absl"):
        _, train_set, val_set = train.program.read_data(experiment(dataset))
    assert train_set.num_objects
    assert not val_set.num_objects
    assert caplog.messages[-1] == (
        f"{file}: has no objects: AP cannot be measured, and best.weights.h5 will be the newest weights"
    )


def test_the_newest_weights_are_kept_while_no_ap_is_a_number(tmp_path):
    keeper = BestKeeper(tmp_path, lambda path: path.touch())
    offers = [float("nan"), float("nan"), 0.2, float("nan"), 0.2, 0.3]
    assert [keeper.offer(step, {"AP": ap}) for step, ap in enumerate(offers)] == [
        True, True, True, False, False, True,
    ]  # fmt: skip


def test_crowds_are_objects_where_the_setting_says_so(train, dataset, edit_annotations):
    for split in ("train", "val"):
        edit_annotations(lambda c: [record.update(iscrowd=1) for record in c["annotations"]], split)
    with pytest.raises(ValueError, match=r"objects are crowds, .*--set data.crowds_as_objects=true"):
        train.program.read_data(experiment(dataset))
    _, train_set, val_set = train.program.read_data(experiment(dataset, crowds_as_objects=True))
    assert train_set.num_objects
    assert val_set.num_objects


def number_otherwise(content):
    for record in (*content["categories"], *content["annotations"]):
        key = "category_id" if "category_id" in record else "id"
        record[key] = 100 - record[key]


def test_validation_categories_are_matched_by_name(train, dataset, edit_annotations):
    _, _, before = train.program.read_data(experiment(dataset))
    truth = before.ground_truth()["annotations"]
    edit_annotations(number_otherwise, "val")
    resolved, train_set, val_set = train.program.read_data(experiment(dataset))
    assert val_set.categories == train_set.categories == before.categories
    assert resolved.category_ids == before.category_ids
    assert val_set.ground_truth()["annotations"] == truth
    assert "5 of the detector's 5 classes were matched by name" in val_set.notes[-1]


def add_placeholder(content):
    content["categories"].append({"id": 0, "name": "shapes", "supercategory": "none"})
    content["categories"][0]["supercategory"] = "shapes"


def test_a_run_that_took_a_placeholder_for_a_class_goes_on(
    train, dataset, edit_annotations, tmp_path, monkeypatch
):
    for split in ("train", "val"):
        edit_annotations(add_placeholder, split)
    new, _, _ = train.program.read_data(experiment(dataset), tmp_path)
    assert "shapes" not in new.class_names
    old = ("shapes", *new.class_names), (0, *new.category_ids)
    write_experiment(with_classes(experiment(dataset), *old), tmp_path)
    monkeypatch.setattr(train.program.training_data, "has_started", lambda workdir: True)
    resolved, train_set, val_set = train.program.read_data(experiment(dataset), tmp_path)
    assert (resolved.class_names, resolved.category_ids) == old
    assert train_set.categories == val_set.categories
    assert min(c for example in train_set.examples for c in example.classes.tolist()) == 2
    train.program.check_resumption(resolved, tmp_path, "auto")
