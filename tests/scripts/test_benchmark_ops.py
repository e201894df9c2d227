"""The benchmark of the ops: its boxes and scores, which rows are asked for, and that it runs."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest


def test_scores_above_the_threshold_are_as_many_as_the_name_says(benchmark):
    scores = benchmark("op_cases").class_scores(500)
    assert scores.shape == (1, 1000, 80)
    assert np.count_nonzero(scores > np.float32(0.05)) == 500
    assert scores.min() > 0


def test_boxes_are_spread_over_the_levels_and_the_image(benchmark):
    from cascade_tf.ops import assign_levels

    boxes = benchmark("op_cases").spread_boxes(1000, 800.0)
    assert boxes.min() >= 0
    assert np.all(boxes <= [1344, 800, 1344, 800])
    shares = np.bincount(assign_levels(boxes, 4).numpy(), minlength=4) / 1000
    assert np.all(shares > 0.03), shares


def test_most_of_the_spread_boxes_survive(benchmark):
    """Otherwise the lists to compare with would be short."""
    from cascade_tf.ops import batched_nms

    cases = benchmark("op_cases")
    boxes, scores = cases.spread_boxes(4000, 400.0)[None, :, None], cases.scores_of(4000)[None, :, None]
    kept = batched_nms(boxes, scores, iou_threshold=0.7, score_threshold=0.0, max_outputs=4000)
    assert kept.count[0] > 3500


def test_rows_are_selected_by_name(benchmark):
    program, case = benchmark("benchmarks.ops"), benchmark("measuring").Case
    names = ["NMS", "NMS: twin", "RoIAlign", "RoIAlign: twin"]
    cases = [case(name, lambda: None) for name in names]

    def selected(only, peers):
        return [case.name for case in program.selected(cases, only, peers=peers)]

    assert selected("", True) == names
    assert selected("", False) == ["NMS", "RoIAlign"]
    assert selected("Align", True) == ["RoIAlign", "RoIAlign: twin"]
    with pytest.raises(ValueError, match="no row has 'IoU' in its name"):
        selected("IoU", True)
    with pytest.raises(ValueError, match="no row has 'twin' in its name"):
        selected("twin", False)


@pytest.mark.parametrize("missing", ["torch", "torchvision.ops"])
def test_without_pytorch_there_are_no_rows_of_it(benchmark, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    cases = benchmark("torchvision_cases")
    assert cases._imported(missing) is None
    monkeypatch.setattr(cases, "_TORCH", None)
    assert list(cases.all_cases()) == []
    assert list(cases.convolution(benchmark("measuring").Case("rate", lambda: None, 1.0))) == []


def test_runs(benchmark, at_once, tmp_path, capfd):
    file = tmp_path / "figures.json"
    status = benchmark("benchmarks.ops").main(
        ["ops.py", "--nopeers", "--only=class-wise", "--rounds=1", f"--json={file}"]
    )
    assert status == 0, capfd.readouterr().err
    rows = json.loads(file.read_text())["rows"]
    assert [(row["name"], row["goal"]) for row in rows] == [
        ("class-wise NMS, 500 scores above 0.05", "<= 1 ms"),
        ("class-wise NMS, threshold 0", "<= 40 ms"),
    ]
    assert all(row["value"] > 0 for row in rows)
