"""A benchmark's numbers beside COCO's: tables, files and names."""

from __future__ import annotations

import csv
import json
import math

import pytest

from cascade_tf.metrics import (
    BenchmarkResult,
    CocoResult,
    Measurement,
    compare_measurements,
    write_comparison,
)
from cascade_tf.metrics.measurement import Grid
from cascade_tf.metrics.results import CLASS_KEYS, IOU_THRESHOLDS, SUMMARY_KEYS


def coco(ap: float) -> CocoResult:
    return CocoResult(
        dict.fromkeys(SUMMARY_KEYS, ap),
        {"car": dict.fromkeys(CLASS_KEYS, ap)},
        dict.fromkeys(IOU_THRESHOLDS, ap),
    )


def measurement(ap: float, miss_rate: float) -> Measurement:
    numbers = {"MR/reasonable": miss_rate, "MR/heavy": math.nan}
    grid = Grid(("reasonable", "heavy"), (("IoU >= 0.5", tuple(numbers)),))
    benchmark = BenchmarkResult(
        "citypersons", "Miss rates", numbers, "MR/reasonable", True, ("MR/reasonable",), grid
    )
    return Measurement(coco(ap), benchmark)


def test_the_benchmark_stands_first_in_tables():
    lines = measurement(0.25, 12.345).to_table().splitlines()
    assert lines[0] == "Miss rates"
    assert lines[1].split() == ["reasonable", "heavy"]
    assert lines[3].split() == ["IoU", ">=", "0.5", "12.35", "-"]
    assert lines[5] == "COCO"
    assert lines[8].split()[:3] == ["all", "classes", "25.0"]
    assert Measurement(coco(0.25)).to_table() == coco(0.25).to_table()


def test_numbers_of_benchmarks_have_its_name_and_are_percents():
    numbers = measurement(0.25, 12.5).numbers()
    assert (numbers["AP"], numbers["citypersons/MR/reasonable"]) == (0.25, 12.5)
    assert math.isnan(numbers["citypersons/MR/heavy"])
    assert set(Measurement(coco(0.25)).numbers()) == set(SUMMARY_KEYS)


def test_json(tmp_path):
    content = json.loads(measurement(0.25, 12.5).to_json(tmp_path / "val.json").read_text())
    assert content["benchmark"] == {
        "protocol": "citypersons",
        "judge": "MR/reasonable",
        "lower_is_better": True,
        "numbers": {"MR/reasonable": 12.5, "MR/heavy": None},
    }
    assert CocoResult.from_dict(content) == coco(0.25)
    assert "benchmark" not in Measurement(coco(0.25)).to_dict()


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_csv(tmp_path):
    whole, car = rows(measurement(0.25, 12.5).to_csv(tmp_path / "val.csv"))
    assert (whole["class"], whole["AP"], whole["citypersons/MR/reasonable"]) == ("all", "0.25", "12.5")
    assert whole["citypersons/MR/heavy"] == ""
    assert (car["class"], car["AP"], car["citypersons/MR/reasonable"]) == ("car", "0.25", "")


def test_stages_are_compared_by_the_benchmarks_number_too(tmp_path):
    stages = {"stage 1": measurement(0.25, 40.0), "detector": measurement(0.5, 30.0)}
    lines = compare_measurements(stages).splitlines()
    assert lines[0] == "Miss rates"
    assert [line.split() for line in lines[1:5:2]] == [["MR/reasonable"], ["stage", "1", "40.00"]]
    assert lines[4].split() == ["detector", "30.00"]
    assert lines[6] == "COCO"
    first, last = rows(write_comparison(tmp_path / "stages.csv", stages))
    assert (first["AP"], first["citypersons/MR/reasonable"]) == ("0.25", "40.0")
    assert (last["AP"], last["citypersons/MR/reasonable"]) == ("0.5", "30.0")


@pytest.mark.parametrize("name", ["table", "csv"])
def test_without_a_benchmark_nothing_is_added(name, tmp_path):
    alone = {"detector": Measurement(coco(0.5))}
    if name == "table":
        assert "COCO" not in compare_measurements(alone)
    else:
        (row,) = rows(write_comparison(tmp_path / "stages.csv", alone))
        assert list(row) == ["name", "shape", *SUMMARY_KEYS]
