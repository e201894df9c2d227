"""Numbers of a data set in memory equal those of its files and of detections that are written and read."""

from __future__ import annotations

import importlib
import math
from pathlib import Path

import numpy as np
import pytest

from cascade_tf.data.coco import read_dataset_dir
from cascade_tf.formats import citypersons, kitti, voc, widerface
from cascade_tf.prediction.inference import to_coco_results
from cascade_tf.protocols.choice import choose_protocol
from cascade_tf.protocols.protocol import at_iou
from tests.protocols.layouts import made_up_detections

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture
def of_files(monkeypatch):
    """What scripts/measure.py calls for a protocol."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("program.protocols").PROTOCOLS


def write_voc(folder, records):
    counts = [len(record.scores) for record in records]
    found = voc.VocDetections(
        np.repeat([f"{record.image_id:06d}" for record in records], counts),
        np.concatenate([np.array(record.names, dtype=str) for record in records]),
        np.concatenate([record.boxes for record in records]),
        np.concatenate([record.scores for record in records]),
    )
    voc.write_results(folder, "test", found)


def write_kitti(folder, records):
    frames = {
        f"{r.image_id:06d}": kitti.KittiDetections(np.array(r.names), r.boxes, r.scores) for r in records
    }
    kitti.write_results(folder, frames)


def write_citypersons(folder, records):
    def sides(boxes):
        boxes = boxes.astype(np.float64)
        return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)

    citypersons.write_detections(folder, [(r.image_id, sides(r.boxes), r.scores) for r in records])


def write_widerface(folder, records):
    images = [("0--Parade", f"0_Parade_{r.image_id - 1}", r.boxes, r.scores) for r in records]
    widerface.write_detections(folder, images)


WRITERS = {
    "voc2007": ("voc", write_voc, (0.5, 0.75)),
    "voc2010": ("voc", write_voc, (0.5,)),
    "kitti": ("kitti", write_kitti, ()),
    "citypersons": ("citypersons", write_citypersons, (0.5, 0.75)),
    "widerface": ("widerface", write_widerface, (0.5, 0.75)),
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("seed", [1, 2])
def test_as_measured_from_files(name, seed, request, of_files, tmp_path):
    layout, write, ious = WRITERS[name]
    written = request.getfixturevalue(layout)
    dataset = read_dataset_dir(written.folder, written.split)
    records = made_up_detections(dataset, seed)
    protocol = choose_protocol(dataset, name, ious=ious)
    measured = protocol.measure(to_coco_results(records), [record.image_id for record in records])
    write(tmp_path / "found", records)
    if ious:
        expected = {
            at_iou(number, iou): value
            for iou in ious
            for number, value in of_files[name](written.ground_truth, tmp_path / "found", iou=iou).items()
        }
    else:
        expected = of_files[name](written.ground_truth, tmp_path / "found")
    own = {n: v for n, v in measured.benchmark.numbers.items() if not n.startswith("mean/")}
    assert repr(own) == repr(expected)
    judge = measured.benchmark.numbers[measured.benchmark.judge]
    assert 1 < judge < 99
    assert protocol.judge == f"{name}/{measured.benchmark.judge}"
    assert math.isfinite(measured.numbers()[protocol.judge])


def test_the_older_rule_of_kitti(kitti, of_files, tmp_path):
    dataset = read_dataset_dir(kitti.folder, kitti.split)
    records = made_up_detections(dataset)
    write_kitti(tmp_path / "found", records)
    numbers = {}
    for rule in (2016, 2017):
        protocol = choose_protocol(dataset, kitti_rule=rule)
        measured = protocol.measure(to_coco_results(records), [record.image_id for record in records])
        numbers[rule] = measured.benchmark.numbers
        expected = of_files["kitti"](kitti.ground_truth, tmp_path / "found", kitti_rule=str(rule))
        assert repr({name: numbers[rule][name] for name in expected}) == repr(expected)
    assert numbers[2016]["car/AP11/hard"] != numbers[2017]["car/AP11/hard"]
