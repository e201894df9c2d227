"""The benchmark of the input pipeline: its figures by hand, and that it runs."""

from __future__ import annotations

import json
import os
import statistics

import numpy as np
import pytest
from PIL import Image

IMAGES = 6
PARTS = ["plan (Python)", "read", "decode", "resize, flip and pad at once", "boxes", "batch"]


@pytest.fixture
def folder(tmp_path):
    for number in range(IMAGES):
        pixels = np.random.default_rng(number).integers(0, 256, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.jpg")
    return tmp_path


def test_rates_and_shares_by_hand(benchmark):
    pipeline = benchmark("pipeline")

    def sample(name, cpu, wall):
        return pipeline.Sample(name, lambda read_clocks: 0, cpu, wall)

    whole = sample("all", [0.010, 0.020, 0.008], [0.005, 0.010, 0.004])
    alone = sample("all", [0.010, 0.020, 0.010], [0.010, 0.025, 0.010])
    per_core, everywhere, one = pipeline._whole_rows([whole, alone], "a goal")
    assert [row.goal for row in (per_core, everywhere, one)] == ["a goal", "", ""]
    assert (per_core.value, per_core.low, per_core.high) == pytest.approx((100, 50, 125))
    assert (everywhere.value, one.value) == pytest.approx((200, 100))
    parts = [sample("a", [0.005, 0.010, 0.004], []), sample("b", [0.002, 0.001, 0.002], [])]
    rows = pipeline._part_rows(whole, parts)
    assert [row.name for row in rows] == ["a (50%)", "b (20%)", "rest: tf.data itself (30%)"]
    assert [row.value for row in rows] == pytest.approx([5, 2, 3])
    assert [row.unit for row in rows] == ["ms"] * 3


def test_only_the_time_between_the_readings_counts(benchmark, monkeypatch):
    pipeline = benchmark("pipeline")
    clock = iter(range(100))
    monkeypatch.setattr(pipeline.time, "process_time", lambda: next(clock))
    monkeypatch.setattr(pipeline.time, "perf_counter", lambda: 10 * next(clock))

    def run(read_clocks):
        next(clock)
        read_clocks()  # 1 and 20
        next(clock)
        read_clocks()  # 4 and 50
        next(clock)
        return 2

    sample = pipeline.Sample("a", run)
    sample.measure(counts=False)
    assert (sample.cpu, sample.wall) == ([], [])
    sample.measure(counts=True)
    assert (sample.cpu, sample.wall) == ([1.5], [15.0])


def test_drawn_photos_are_as_large_as_coco(benchmark, tmp_path):
    photos = benchmark("photos")
    paths = photos.write_photos(tmp_path, 4)
    examples = photos.make_dataset(paths).examples
    assert [(example.height, example.width) for example in examples] == [(480, 640), (640, 480)] * 2
    assert 140e3 < statistics.mean(path.stat().st_size for path in paths) < 170e3
    for example in examples:
        for box, (polygon,) in zip(example.boxes, example.segmentations, strict=True):
            corners = polygon.reshape(-1, 2)
            assert corners.shape == (photos.CORNERS, 2)
            assert (corners >= box[:2] - 1e-3).all()
            assert (corners <= box[2:] + 1e-3).all()


@pytest.mark.slow
def test_runs_and_frees_the_cores(call, benchmark, folder, monkeypatch):
    for name, value in {"WARMUPS": 0, "FIRST_BATCHES": 1, "BATCHES": 2}.items():
        monkeypatch.setattr(benchmark("pipeline"), name, value)
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    file = folder / "figures.json"
    settings = ["--batch_size=2", "--short_side=96", "--max_side=160", "--rounds=1", "--alternatives"]
    said = call("pipeline", f"--images={folder}", f"--json={file}", *settings)
    assert said.status == 0, said.err
    rows = {row["name"]: row for row in json.loads(file.read_text())["rows"]}
    assert all(name in said.out for name in rows)
    for kind in ("boxes", "boxes and masks"):
        assert rows[f"pipeline with {kind}, by CPU time"]["goal"] == ">= 35 per core"
    kinds = [name.rsplit(",", 1)[0] for name in rows if name.endswith(", all cores")]
    assert len(kinds) == 5
    assert kinds[2:] == [
        "files decoded beforehand (BMP)",
        "batches saved beforehand",
        "batches of a tf.data service in another process",
    ]
    assert [name.rsplit(" (", 1)[0] for name in rows if "%" in name] == [*PARTS, "rest: tf.data itself"]
    assert min(row["value"] for name, row in rows.items() if not name.startswith("rest")) > 0
    if cores is not None:
        assert os.sched_getaffinity(0) == cores


def test_a_folder_with_too_few_images(call, benchmark, folder):
    said = call("pipeline", f"--images={folder}", "--batch_size=7")
    assert said.complaint.endswith("holds 6 JPEGs, expected at least a batch of them")
