"""evaluate.py on each benchmark in small: its table, its numbers in every file, and COCO's below."""

from __future__ import annotations

import csv
import json

import pytest

from cascade_tf.data.coco import read_dataset_dir
from cascade_tf.experiment import config
from cascade_tf.models import cascade_rcnn_fpn
from tests.protocols import layouts
from tests.scripts.conftest import TINY

EXPECTED = {
    "kitti": ("KITTI, the rule of 2017", {"mean/AP40/moderate", "car/AP11/easy", "cyclist/AP40/hard"}),
    "citypersons": ("CityPersons: log-average miss rate", {"MR/reasonable", "MR75/small_paper"}),
    "widerface": ("WIDER FACE: average precision", {"AP/hard", "AP75/easy"}),
}


@pytest.fixture(params=EXPECTED)
def benchmark_in_small(request, tmp_path):
    """Its name and files, and the folder of a run with an untrained detector of its classes."""
    folder = tmp_path / "data"
    if request.param == "kitti":
        written = layouts.write_kitti(folder, num_images=3)
    else:
        savemat = pytest.importorskip("scipy.io").savemat
        write = getattr(layouts, f"write_{request.param}")
        written = write(folder, savemat, num_images=3)
    dataset = read_dataset_dir(written.folder, written.split)
    model = cascade_rcnn_fpn.replace({**TINY, "output.score_threshold": 0.0, "output.max_detections": 10})
    blank = config.Experiment("tiny", model, config.DataConfig(dataset_dir=str(written.folder)))
    experiment = config.with_classes(blank, dataset.class_names, dataset.category_ids)
    config.write_experiment(experiment, tmp_path / "run")
    config.build_detector(experiment).save_weights(str(tmp_path / "run" / "best.weights.h5"))
    return request.param, tmp_path / "run"


@pytest.mark.slow
def test_all_that_evaluate_writes(call, benchmark_in_small):
    name, run = benchmark_in_small
    said = call("evaluate", f"--workdir={run}", "--per_stage", "--noerrors")
    assert said.status == 0, said.err
    title, some = EXPECTED[name]
    assert said.out.startswith(title)
    assert said.out.count(title) == said.out.count("\nCOCO\n") == 2  # of the detector, and of the stages
    content = json.loads((run / "evaluation" / "val.json").read_text())
    numbers = content["benchmark"]["numbers"]
    assert content["benchmark"]["protocol"] == name
    assert content["benchmark"]["judge"] in some
    assert some <= numbers.keys()
    assert "AP50" in content["summary"]
    for file in ("val.csv", "val_stages.csv"):
        with (run / "evaluation" / file).open(newline="") as opened:
            rows = list(csv.DictReader(opened))
        row = next(row for row in rows if row.get("class", row.get("name")) in ("all", "detector"))
        for number, value in numbers.items():
            cell = row[f"{name}/{number}"]
            assert cell == "" if value is None else float(cell) == value
