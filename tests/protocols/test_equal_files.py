"""Numbers of a data set in memory equal those of its files and of detections that are written and read."""

from __future__ import annotations

import importlib
import math
from pathlib import Path

import pytest

from cascade_tf.data.coco import read_dataset_dir
from cascade_tf.prediction.inference import to_coco_results
from cascade_tf.protocols.choice import choose_protocol
from cascade_tf.protocols.protocol import at_iou
from cascade_tf.protocols.submissions.choice import write_submission
from tests.protocols.layouts import made_up_detections

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture
def of_files(monkeypatch):
    """What scripts/measure.py calls for a protocol."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("program.protocols").PROTOCOLS


LAYOUTS = {
    "voc2007": ("voc", (0.5, 0.75)),
    "voc2010": ("voc", (0.5,)),
    "kitti": ("kitti", ()),
    "citypersons": ("citypersons", (0.5, 0.75)),
    "widerface": ("widerface", (0.5, 0.75)),
}


def submitted(dataset, records, folder):
    """Where scripts/measure.py finds the submission."""
    written = write_submission(dataset, to_coco_results(records), [r.image_id for r in records], folder)
    inner = {"comp4": written.paths[0].parent, ".json": written.paths[0]}
    return next((path for mark, path in inner.items() if mark in written.paths[0].name), folder)


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("seed", [1, 2])
def test_as_measured_from_files(name, seed, request, of_files, tmp_path):
    layout, ious = LAYOUTS[name]
    written = request.getfixturevalue(layout)
    dataset = read_dataset_dir(written.folder, written.split)
    records = made_up_detections(dataset, seed)
    protocol = choose_protocol(dataset, name, ious=ious)
    measured = protocol.measure(to_coco_results(records), [record.image_id for record in records])
    found = submitted(dataset, records, tmp_path / "found")
    if ious:
        expected = {
            at_iou(number, iou): value
            for iou in ious
            for number, value in of_files[name](written.ground_truth, found, iou=iou).items()
        }
    else:
        expected = of_files[name](written.ground_truth, found)
    own = {n: v for n, v in measured.benchmark.numbers.items() if not n.startswith("mean/")}
    assert repr(own) == repr(expected)
    judge = measured.benchmark.numbers[measured.benchmark.judge]
    assert 1 < judge < 99
    assert protocol.judge == f"{name}/{measured.benchmark.judge}"
    assert math.isfinite(measured.numbers()[protocol.judge])


def test_the_older_rule_of_kitti(kitti, of_files, tmp_path):
    dataset = read_dataset_dir(kitti.folder, kitti.split)
    records = made_up_detections(dataset)
    found = submitted(dataset, records, tmp_path / "found")
    numbers = {}
    for rule in (2016, 2017):
        protocol = choose_protocol(dataset, kitti_rule=rule)
        measured = protocol.measure(to_coco_results(records), [record.image_id for record in records])
        numbers[rule] = measured.benchmark.numbers
        expected = of_files["kitti"](kitti.ground_truth, found, kitti_rule=str(rule))
        assert repr({name: numbers[rule][name] for name in expected}) == repr(expected)
    assert numbers[2016]["car/AP11/hard"] != numbers[2017]["car/AP11/hard"]
