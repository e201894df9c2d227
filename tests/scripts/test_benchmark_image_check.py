"""The benchmark of the check before the first step: its data set is in order, and its figures are rates."""

from __future__ import annotations

import json

from cascade_tf.data.coco import read_dataset_dir


def test_measures_both_levels(benchmark, tmp_path, capsys):
    file = tmp_path / "figures.json"
    arguments = ["image_check.py", "--num_images=20", "--rounds=1", f"--json={file}"]
    assert benchmark("image_check").main(arguments) == 0
    rows = {row["name"]: row for row in json.loads(file.read_text())["rows"]}
    assert list(rows) == [
        "annotation file, per core",
        "check full, per core",
        "check full, all threads",
        "check headers, per core",
        "check headers, all threads",
    ]
    assert all(row["value"] > 0 and row["unit"] == "images/s" for row in rows.values())
    assert "check full, per core" in capsys.readouterr().out


def test_the_data_set_has_as_many_pictures_as_asked_for(benchmark, tmp_path):
    assert benchmark("image_check").write_dataset(tmp_path, 20) > 1000
    dataset = read_dataset_dir(tmp_path, "train", segmentations=True)
    assert (len(dataset.examples), sum(len(e.boxes) for e in dataset.examples)) == (20, 160)
    assert not dataset.dropped
