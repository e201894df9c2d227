"""The benchmark of the COCO protocol: what it draws, and that it compares times and numbers."""

from __future__ import annotations

import importlib.util
import json
import re

import pytest


@pytest.fixture
def evaluation(benchmark):
    return benchmark("evaluation")


def test_draws_as_much_as_asked_for(evaluation):
    content, detections = evaluation.draw(50, 300, 2001, 8)
    assert [len(content[name]) for name in ("images", "annotations", "categories")] == [50, 300, 8]
    assert len(detections) == 2001
    assert {record["image_id"] for record in detections} == set(range(1, 51))
    assert {record["category_id"] for record in detections} == set(range(1, 9))
    assert evaluation.draw(50, 300, 2001, 8) == (content, detections)


def test_times_and_numbers(evaluation, tmp_path, capsys):
    file = tmp_path / "figures.json"
    sizes = ["--num_images=20", "--num_objects=150", "--num_detections=1000", "--num_classes=5"]
    assert evaluation.main(["evaluation.py", *sizes, "--rounds=2", f"--json={file}"]) == 0
    rows = {row["name"]: row for row in json.loads(file.read_text())["rows"]}
    assert list(rows)[:4] == ["cascade_tf", "cascade_tf, CPU", "pycocotools", "pycocotools, CPU"]
    assert rows["cascade_tf"]["goal"] == "<= 12 s"
    assert rows["pycocotools to cascade_tf, CPU"]["value"] > 0
    assert rows["cascade_tf's errors to cascade_tf, CPU"]["value"] > 0
    present = [name for name, (module, _) in evaluation.PEERS.items() if importlib.util.find_spec(module)]
    said = capsys.readouterr().out
    missing = " ".join(sorted(evaluation.PEERS.keys() - set(present)))
    assert (f"not installed and left out: {missing}; pip install {missing} brings them" in said) == bool(
        missing
    )
    found = re.findall(r"(\S+): AP (\S+), differs from pycocotools by at most (\S+)", said)
    assert [name for name, *_ in found] == present
    for _, ap, off in found:
        assert 0.01 < float(ap) < 0.9
        assert float(off) < 1e-12
