"""The numbers that a study takes from its runs' folders."""

from __future__ import annotations

import json

import pytest

from cascade_tf.study.plan import Row
from cascade_tf.study.progress import numbers_of


def test_percents_of_benchmarks_are_fractions_as_cocos_numbers(tmp_path):
    evaluations = (
        {"AP": 0.1, "kitti/car/AP40/easy": 10.0},
        {"AP": 0.4, "APl": None, "kitti/car/AP40/easy": 45.0, "citypersons/MR75/reasonable": 80.0},
    )
    lines = [{"step": step, "evaluation": found} for step, found in enumerate(evaluations, start=1)]
    lines.append({"step": 2, "losses": {}, "metrics": {"stage1_iou_after": 0.7}})
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert numbers_of(Row("a", "custom/cascade"), tmp_path) == pytest.approx(
        {
            "AP": 0.4,
            "kitti/car/AP40/easy": 0.45,
            "citypersons/MR75/reasonable": 0.8,
            "training/stage1_iou_after": 0.7,
        }
    )
