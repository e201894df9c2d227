"""Tables, JSON and CSV of evaluations."""

from __future__ import annotations

import csv
import dataclasses
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
    assert [(row["class"], row["shape"]) for row in rows] == [
        ("all", "box"), ("disc", "box"), ("a, long name", "box")
    ]  # fmt: skip
    assert (rows[0]["objects"], rows[0]["AP"], rows[0]["APs"], rows[0]["AR10"]) == ("12", "0.25", "", "0.25")
    assert (rows[1]["objects"], rows[1]["AP75"], rows[1]["AR10"]) == ("12", "0.25", "")
    assert rows[2]["AP"] == ""


def test_compare_csv(tmp_path):
    path = compare_csv(tmp_path / "stages.csv", {"1": result(0.25), "1~2": result(0.75)})
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["name"], float(row["AP95"])) for row in rows] == [("1", 0.25), ("1~2", 0.75)]
    assert list(rows[0]) == ["name", "shape", *SUMMARY_KEYS]


def with_masks(ap: float = 0.5, masks: float = 0.25) -> CocoResult:
    return dataclasses.replace(result(ap), mask=result(masks))


def test_table_with_masks():
    lines = with_masks(0.4567, 0.3).to_table().splitlines()
    assert lines[2].split()[:5] == ["all", "classes,", "boxes", "45.7", "100.0"]
    assert lines[3].split()[:5] == ["all", "classes,", "masks", "30.0", "100.0"]
    assert lines[5].split("  ")[-5:] == ["mask AP", "mask AP50", "mask AP75", "mask AP90", "mask AR100"]
    assert lines[7].split() == ["disc", *["45.7"] * 5, "12", *["30.0"] * 5]
    assert lines[8].split() == ["a,", "long", "name", *"-----0-----"]
    assert len({len(line) for line in lines[5:]}) == 1


def test_rows_of_masks_come_after_those_of_boxes():
    lines = compare_table({"stage 1": with_masks(0.3, 0.1), "last": with_masks(0.5, 0.2)}, keys=("AP",))
    assert lines.splitlines()[2:] == [
        "stage 1, boxes  30.0",
        "last, boxes     50.0",
        "stage 1, masks  10.0",
        "last, masks     20.0",
    ]


def test_the_table_says_once_why_there_is_no_ap_of_masks():
    without = dataclasses.replace(result(), no_mask="the ground truth has no masks")
    lines = compare_table({"stage 1": without, "last": without}, keys=("AP",)).splitlines()
    assert lines[2:] == [
        "stage 1  50.0",
        "last     50.0",
        "No AP of masks: the ground truth has no masks.",
    ]


def test_masks_are_a_block_of_their_own_in_json(tmp_path):
    before = with_masks(1 / 3, 2 / 3)
    content = json.loads(before.to_json(tmp_path / "result.json").read_text(), parse_constant=pytest.fail)
    assert {key: content[key] for key in result().to_dict()} == result(1 / 3).to_dict()
    assert content["mask"] == result(2 / 3).to_dict()
    assert repr(CocoResult.from_dict(content)) == repr(before)
    assert set(result().to_dict()) == {"summary", "per_class", "iou_curve"}
    without = dataclasses.replace(result(), no_mask="none")
    assert without.to_dict()["no_mask"] == "none"
    assert repr(CocoResult.from_dict(without.to_dict())) == repr(without)


def test_csv_with_masks(tmp_path):
    path = with_masks(0.25, 0.75).to_csv(tmp_path / "result.csv")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["class"], row["shape"]) for row in rows] == [
        (name, shape) for shape in ("box", "mask") for name in ("all", "disc", "a, long name")
    ]
    assert [row["AP"] for row in rows] == ["0.25", "0.25", "", "0.75", "0.75", ""]
    path = compare_csv(tmp_path / "stages.csv", {"1": with_masks(0.25, 0.5), "2": result(0.75)})
    with path.open(newline="") as file:
        rows = [(row["name"], row["shape"], row["AP"]) for row in csv.DictReader(file)]
    assert rows == [("1", "box", "0.25"), ("2", "box", "0.75"), ("1", "mask", "0.5")]


def test_numbers_of_boxes_keep_their_names():
    assert result(0.25).numbers() is not result(0.25).summary
    assert set(result().numbers()) == set(SUMMARY_KEYS)
    numbers = with_masks(0.25, 0.75).numbers()
    assert (numbers["AP"], numbers["mask_AP"], numbers["mask_AP50"]) == (0.25, 0.75, 1.0)
    assert len(numbers) == 2 * len(SUMMARY_KEYS)


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


def of_classes(count: int, without_objects: int = 0) -> CocoResult:
    """Class ``c7`` has an AP of 7 / 1000; a number of classes behind them has no objects."""
    per_class = {f"c{i}": dict.fromkeys(CLASS_KEYS, i / 1000) | {"objects": 3} for i in range(count)}
    empty = {f"empty{i}": dict.fromkeys(CLASS_KEYS, NAN) | {"objects": 0} for i in range(without_objects)}
    return dataclasses.replace(result(), per_class=per_class | empty)


class TestManyClasses:
    def test_forty_are_listed(self):
        lines = of_classes(40).to_table("val.csv").splitlines()
        assert [line.split()[0] for line in lines[6:]] == [f"c{i}" for i in range(40)]

    def test_of_more_the_best_and_the_worst(self):
        lines = of_classes(41, without_objects=2).to_table("evaluation/val.csv").splitlines()
        names = [line.split()[0] for line in lines[6:-1]]
        best, worst = [f"c{i}" for i in range(40, 30, -1)], [f"c{i}" for i in range(9, -1, -1)]
        assert names == [*best, "...", *worst]
        assert lines[6].split() == ["c40", *["4.0"] * 5, "3"]
        assert lines[-1] == (
            "Of 43 classes the 10 best and the 10 worst by AP of boxes; all are in evaluation/val.csv."
        )

    def test_where_few_of_them_occur_these(self):
        lines = of_classes(3, without_objects=77).to_table().splitlines()
        assert [line.split()[0] for line in lines[6:-1]] == ["c2", "c1", "c0"]
        assert lines[-1] == "Of 80 classes the 3 with objects; all are in the file of to_csv."
