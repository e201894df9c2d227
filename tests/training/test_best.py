"""The best weights are those with the best number, whichever that is and whatever an older run wrote."""

from __future__ import annotations

import json
import logging
import math

import pytest

from cascade_tf.training.best import BestKeeper

MISS_RATE = "citypersons/MR/reasonable"


@pytest.fixture
def keep(tmp_path):
    """A keeper that goes on in the folder and writes which offer is the best."""

    def make(key="AP", **settings):
        return BestKeeper(tmp_path, lambda path: path.touch(), key, **settings)

    return make


def offers(keeper, key, values):
    return [keeper.offer(step, {key: value}) for step, value in enumerate(values)]


def test_lower_is_better(keep, tmp_path):
    keeper = keep(MISS_RATE, lower_is_better=True)
    values = [math.nan, 100.0, math.nan, 40.0, 60.0, 40.0, 0.0]
    assert offers(keeper, MISS_RATE, values) == [True, True, False, True, False, False, True]
    assert json.loads((tmp_path / "best.json").read_text()) == {"step": 6, MISS_RATE: 0.0}
    assert not keep(MISS_RATE, lower_is_better=True).offer(7, {MISS_RATE: 10.0})


def test_what_is_not_defined_is_null(keep, tmp_path):
    keep(MISS_RATE, lower_is_better=True).offer(3, {MISS_RATE: math.nan})
    assert json.loads((tmp_path / "best.json").read_text()) == {"step": 3, MISS_RATE: None}
    assert keep(MISS_RATE, lower_is_better=True).offer(4, {MISS_RATE: math.nan})


@pytest.mark.parametrize(("written", "expected"), [(0.3, [False, True]), (-1.0, [True, True])])
def test_files_of_older_versions(keep, tmp_path, written, expected):
    (tmp_path / "best.json").write_text(json.dumps({"step": 9, "AP": written}))
    (tmp_path / "best.weights.h5").touch()
    assert offers(keep(), "AP", [0.2, 0.4]) == expected


def test_another_number_begins_anew(keep, tmp_path, caplog):
    keep().offer(1, {"AP": 0.9})
    with caplog.at_level(logging.WARNING, "absl"):
        keeper = keep("voc2007/mAP")
    assert caplog.messages[-1].endswith(
        "judged by AP; from here on voc2007/mAP judges, and the next evaluation's weights take their place"
    )
    assert keeper.best is None
    assert keeper.offer(2, {"AP": 0.1, "voc2007/mAP": 12.0})


def test_a_number_that_was_measured_otherwise_begins_anew(keep, tmp_path, caplog):
    number = "kitti/mean/AP40/moderate"
    keep(number, measured_by="the rule of 2016").offer(1, {number: 60.0})
    assert not keep(number, measured_by="the rule of 2016").offer(2, {number: 50.0})
    with caplog.at_level(logging.WARNING, "absl"):
        keeper = keep(number, measured_by="the rule of 2017")
    assert (
        f"judged by {number} (the rule of 2016); from here on {number} (the rule of 2017)"
        in caplog.messages[-1]
    )
    assert keeper.offer(3, {number: 50.0})
    written = {"step": 3, number: 50.0, "measured_by": "the rule of 2017"}
    assert json.loads((tmp_path / "best.json").read_text()) == written


def test_older_files_do_not_say_how_a_number_was_measured(keep, tmp_path):
    (tmp_path / "best.json").write_text(json.dumps({"step": 9, "AP": 0.5}))
    (tmp_path / "best.weights.h5").touch()
    assert not keep(measured_by="a rule").offer(10, {"AP": 0.4})


@pytest.mark.parametrize("content", ["[]", "{}", '{"step": 1}', '{"step": 1, "AP": "high"}', "{"])
def test_a_broken_file_is_named(keep, tmp_path, content):
    (tmp_path / "best.json").write_text(content)
    (tmp_path / "best.weights.h5").touch()
    with pytest.raises(ValueError, match=r"best\.json: got no step and AP in it"):
        keep()
    assert keep(fresh=True).best is None


def test_results_without_the_number(keep):
    with pytest.raises(ValueError, match=r"evaluation: got AP, AP50, expected kitti/mean/AP40/moderate"):
        keep("kitti/mean/AP40/moderate").offer(1, {"AP": 0.1, "AP50": 0.2})
