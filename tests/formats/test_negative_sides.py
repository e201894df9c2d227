"""Boxes with negative sides are measured as the benchmarks do, and told once with the first one's place."""

from __future__ import annotations

import json

import numpy as np
import pytest
from absl import logging

from cascade_tf.formats import citypersons, kitti, voc, widerface

SPACE = "-1 -1 -1 -1000 -1000 -1000 -10"


@pytest.fixture
def warnings(monkeypatch):
    said = []
    monkeypatch.setattr(logging, "warning", lambda line, *values: said.append(line % values))
    return said


def voc_results(folder):
    (folder / "comp4_det_test_cat.txt").write_text("a 0.5 1 1 9 9\n\na 0.4 9 9 1 9\na 0.3 5 5 1 1\n")
    _, found = voc.read_results(folder)
    return found.boxes, "2 boxes have", "comp4_det_test_cat.txt, line 3: width is -7"


def kitti_results(folder):
    (folder / "000000.txt").write_text(f"Car 0 0 -10 0 0 80 50 {SPACE}\n")
    (folder / "data").mkdir()
    (folder / "data" / "000000.txt").write_text(f"\nCar -1 -1 -10 0 50 80 20 {SPACE} 0.9\n")
    frames = kitti.read_frames(folder, folder)
    return frames["000000"][1].boxes, "a box has", "data/000000.txt, line 2: height is -30"


def city_results(folder):
    records = [
        {"image_id": 1, "category_id": 1, "bbox": [0, 0, side, 9], "score": 0.5} for side in (4, -4, -5)
    ]
    (folder / "found.json").write_text(json.dumps(records))
    ((boxes, _),) = citypersons.read_detections(folder / "found.json", [1])
    return boxes, "2 boxes have", "found.json: detection 1: width is -4"


def face_results(folder):
    (folder / "0--Parade").mkdir()
    (folder / "0--Parade" / "a.txt").write_text("a\n2\n0 0 9 9 0.5\n0 0 9 -2 0.4\n")
    ((boxes, _),) = widerface.read_detections(folder, [("0--Parade", "a")])
    return boxes, "a box has", "a.txt, detection 1: height is -2"


@pytest.mark.parametrize("results", [voc_results, kitti_results, city_results, face_results])
def test_results(tmp_path, warnings, results):
    boxes, count, place = results(tmp_path)
    assert np.isfinite(boxes).all()
    (line,) = warnings
    assert f"{count} a negative width or height" in line
    assert line.endswith(place)
