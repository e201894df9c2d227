"""Tables, JSON and CSV of evaluations."""

from __future__ import annotations

import csv
import json
import math
import os

import pytest

from cascade_tf.files import write_atomically
from cascade_tf.metrics import CocoResult, compare_csv, compare_table
from cascade_tf.metrics.results import CLASS_KEYS, IOU_THRESHOLDS, SUMMARY_KEYS, TABLE_KEYS

NAN = float("nan")


def result(ap: float = 0.5) -> CocoResult:
    return CocoResult(
        summary=dict.fromkeys(SUMMARY_KEYS, ap) | {"APs": NAN, "AP50": 1.0},
        per_class={
            "disc": dict.fromkeys(CLASS_KEYS, ap) | {"objects": 12},
            "a, long name": dict.fromkeys(CLASS_KEYS, NAN) | {"objects": 0},
        },
        iou_curve=dict.fromkeys(IOU_THRESHOLDS, ap),
    )


def test_table_in_percent():
    lines = result(0.4567).to_table().splitlines()
    assert lines[0].split() == list(TABLE_KEYS)
    assert lines[2].split()[:4] == ["all", "classes", "45.7", "100.0"]
    assert lines[-2].split() == ["disc", "45.7", "45.7", "45.7", "45.7", "45.7", "12"]
    assert lines[-1].split() == ["a,", "long", "name", "-", "-", "-", "-", "-", "0"]
    assert len({len(line) for line in lines[:3]}) == 1
    assert len({len(line) for line in lines[4:]}) == 1


def test_compare_rows_and_columns():
    lines = compare_table(
        {"stage 1": result(0.3), "stages 1~3": result(0.41)}, keys=("AP", "APs")
    ).splitlines()
    assert lines == [
        "              AP  APs",
        "---------------------",
        "stage 1     30.0    -",
        "stages 1~3  41.0    -",
    ]


def test_json_round_trip(tmp_path):
    before = result(1 / 3)
    path = before.to_json(tmp_path / "new" / "result.json")
    content = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert content["summary"]["APs"] is None
    assert content["iou_curve"]["0.75"] == 1 / 3
    after = CocoResult.from_dict(content)
    assert repr(after) == repr(before)
    assert after.per_class["disc"]["objects"] == 12


def test_from_dict_names_what_is_missing():
    content = result().to_dict()
    del content["iou_curve"]
    with pytest.raises(ValueError, match="'iou_curve' is missing"):
        CocoResult.from_dict(content)


def test_csv(tmp_path):
    path = result(0.25).to_csv(tmp_path / "result.csv")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == ["all", "disc", "a, long name"]
    assert (rows[0]["objects"], rows[0]["AP"], rows[0]["APs"], rows[0]["AR10"]) == ("12", "0.25", "", "0.25")
    assert (rows[1]["objects"], rows[1]["AP75"], rows[1]["AR10"]) == ("12", "0.25", "")
    assert rows[2]["AP"] == ""


def test_compare_csv(tmp_path):
    path = compare_csv(tmp_path / "stages.csv", {"1": result(0.25), "1~2": result(0.75)})
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["name"], float(row["AP95"])) for row in rows] == [("1", 0.25), ("1~2", 0.75)]
    assert list(rows[0]) == ["name", *SUMMARY_KEYS]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = result(0.25).to_json(tmp_path / "result.json")
    before = path.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        result(0.75).to_json(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_write_bytes(tmp_path):
    path = write_atomically(tmp_path / "a" / "b" / "data.bin", b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"


def test_nan_stays_nan():
    assert math.isnan(CocoResult.from_dict(result().to_dict()).summary["APs"])
