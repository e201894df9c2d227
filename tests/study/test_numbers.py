"""The numbers that a study takes from its runs' folders."""

from __future__ import annotations

import json
import math

import pytest

from cascade_tf.study.numbers import numbers_again, numbers_of
from cascade_tf.study.plan import Again, Row


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


def test_a_stage_has_the_numbers_of_its_own_file(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "evaluation": {"AP": 0.4}}\n')
    row = Row("a", "custom/cascade", stage=2)
    with pytest.raises(
        ValueError, match=r"row 'a': .* has no val_stage2.json, expected a cascade measured with"
    ):
        numbers_of(row, tmp_path)
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation" / "val_stage2.json").write_text('{"summary": {"AP": 0.3, "APs": null}}')
    assert numbers_of(row, tmp_path) == {"AP": 0.3}


def test_a_measurement_has_the_numbers_of_the_benchmark_too(tmp_path):
    benchmark = {"protocol": "kitti", "numbers": {"car/AP11/easy": 45.0, "car/AP11/hard": None}}
    (tmp_path / "val.json").write_text(json.dumps({"summary": {"AP": 0.3}, "benchmark": benchmark}))
    assert numbers_again(Again("a"), tmp_path) == {"AP": 0.3, "kitti/car/AP11/easy": 0.45}


def test_a_measurement_of_a_run(tmp_path):
    (tmp_path / "val.json").write_text('{"summary": {"AP": 0.3}}')
    (tmp_path / "boxes.json").write_text('{"summary": {"AR1000": 0.6}}')
    assert numbers_again(Again("a"), tmp_path) == {"AP": 0.3}
    (tmp_path / "val_stage2.json").write_text('{"summary": {"AP": 0.2}}')
    assert numbers_again(Again("a"), tmp_path, stage=2) == {"AP": 0.2}
    assert numbers_again(Again("a", "propose"), tmp_path) == {"AR1000": 0.6}


@pytest.mark.parametrize("content", [None, "{", "[]", '{"summary": 3}', "{}"])
def test_a_broken_measurement_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "val.json").write_text(content)
    with pytest.raises(ValueError, match=r"val.json: got .*, expected a measurement"):
        numbers_again(Again("a"), tmp_path)


BINS = "from,to,boxes,share\n0,0.1,5,0.5\n0.9,1,1,0.1\n"
OF_THIS_VERSION = {
    "samples_2.csv": BINS,
    "samples_2_shares.csv": "iou,boxes,share\n0.6,3,0.3\n",
    "loss.csv": "line,iou,mean,boxes\nafter 1,0.5125,0.7,9\nafter 1,0.5375,,0\n",
    "offsets_1_dx_dy.csv": "hypotheses,offset,count,mean,std\nall,dx,3,0.1,0.2\n",
    "offsets_1_dx_dy_points.csv": "dx,dy,iou,outlier\n0.1,0.2,0.9,0\n",
}
OF_EARLIER_ONES = {
    "samples_2.csv": f"{BINS}0.6,1,3,0.3\n",
    "loss.csv": "line,from_iou,mean,boxes\nafter 1,0.5125,0.7,9\nafter 1,0.5375,,0\n",
}


@pytest.mark.parametrize("files", [OF_THIS_VERSION, OF_EARLIER_ONES])
def test_the_figures_of_a_run(tmp_path, files):
    truth = {"truth.csv": "line,iou,ap\nproposals,0.5,0.6\nothers,0.5,0.9\nothers,0.95,0.1\n"}
    for name, text in {**files, **truth}.items():
        (tmp_path / name).write_text(text)
    found = numbers_again(Again("a", "analyze", line="truth/others"), tmp_path)
    assert math.isnan(found.pop("loss/after 1/0.5375"))
    assert found == pytest.approx(
        {
            "AP50": 0.9,
            "AP95": 0.1,
            "AP": 0.5,
            "samples_2/0.9": 0.1,
            "samples_2/0.6": 0.3,
            "loss/after 1/0.5125": 0.7,
        }
    )
    with pytest.raises(ValueError, match="got no line 'truth/none', expected one in the figures of analyze"):
        numbers_again(Again("a", "analyze", line="truth/none"), tmp_path)
