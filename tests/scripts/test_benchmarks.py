"""What all benchmarks share, and those of the network: their arithmetic by hand, and that they run."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.prediction.inference import ImageDetections
from tests.scripts.conftest import SCRIPTS

BENCHMARKS = (
    "inference",
    "training",
    "families",
    "ops",
    "pipeline",
    "export",
    "serving_load",
    "memory",
    "precision",
    "op_profile",
)


def test_ratio_to_the_floor_by_hand(benchmark):
    measuring = benchmark("measuring")
    calibrator = measuring.Case("rate", lambda: None, operations=100.0, seconds=[1.0, 2.0, 1.0])
    case = measuring.Case("part", lambda: None, operations=50.0, goal=1.2, seconds=[0.6, 1.1, 0.8])
    rate, part = measuring.rows([case], [calibrator])
    assert rate.value == pytest.approx(100e-9)
    # The floors are 0.5, 1 and 0.5 s: each round has its own.
    assert (part.value, part.low, part.high, part.floor) == pytest.approx((800, 600, 1100, 500))
    assert part.ratio == pytest.approx(1.2)
    assert part.goal == "<= 1.2 x floor"
    assert measuring.quotient("q", case, calibrator).value == pytest.approx(0.6)


def test_warming_up_does_not_count(benchmark):
    measuring, called = benchmark("measuring"), []
    cases = [measuring.Case(name, lambda name=name: called.append(name)) for name in "ab"]
    measuring.run_rounds(cases, 3)
    assert called == ["a", "b"] * 5
    assert [len(case.seconds) for case in cases] == [3, 3]


def test_operations_by_hand(benchmark):
    count = benchmark("floor").count_operations
    x, kernel, matrix = tf.zeros([1, 6, 8, 3]), tf.zeros([3, 3, 3, 5]), tf.zeros([7, 4])

    @tf.function
    def forward(x, kernel, matrix):
        return tf.nn.conv2d(x, kernel, 1, "VALID"), tf.matmul(matrix, matrix, transpose_a=True)

    convolution, product = 4 * 6 * 5 * 27, 4 * 4 * 7
    assert count(forward, x, kernel, matrix) == 2 * (convolution + product)

    @tf.function
    def both(x, kernel):
        with tf.GradientTape() as tape:
            tape.watch([x, kernel])
            y = tf.nn.conv2d(x, kernel, 1, "VALID")
        return tape.gradient(y, [x, kernel])

    # The forward pass itself is in the graph, but these gradients do not need it.
    assert count(both, x, kernel) == 2 * 2 * convolution
    of_the_kernel = tf.function(lambda x, kernel: both.python_function(x, kernel)[1])
    assert count(of_the_kernel, x, kernel) == 2 * convolution


def test_operations_of_unknown_size_are_refused(benchmark):
    function = tf.function(lambda x, n: tf.matmul(x[:n], x, transpose_b=True))
    with pytest.raises(ValueError, match="expected a known one"):
        benchmark("floor").count_operations(function, tf.zeros([4, 4]), tf.constant(2))


@pytest.mark.slow
def test_operations_of_the_detector(benchmark):
    """Known for R50-FPN at 800 x 1344: 204 G multiply-adds before the heads, 14.0 G for a thousand RoIs."""
    workload, count = benchmark("workload"), benchmark("floor").count_operations
    # The strides of torchvision's ResNet; the default has them in the 1x1 convolutions, which is 2 % less.
    detector, batch = workload.make_detector(**{"backbone.stride_in_1x1": False}), workload.make_batch()
    proposals = tf.function(lambda batch: detector.propose(batch)[2], autograph=False)
    assert count(proposals, batch) == pytest.approx(2 * 204e9, rel=0.02)
    head = tf.function(detector.heads.stages[0], autograph=False)
    assert count(head, tf.zeros([1, 1000, 7, 7, 256])) == pytest.approx(2 * 13.98e9, rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "flags", "row"),
    [
        ("inference", ["--height=128", "--width=192"], "cascade over baseline"),
        ("training", ["--height=128", "--width=192"], "cascade over baseline"),
        ("ops", [], "class-wise NMS, threshold 0"),
        ("export", ["--precision=mixed_bfloat16"], "graph nodes"),
    ],
)
def test_runs(benchmark, shrink, at_once, name, flags, row, tmp_path, capfd, recwarn):
    shrink("fpn")
    file = tmp_path / "figures.json"
    status = benchmark(f"benchmarks.{name}").main([f"{name}.py", *flags, "--rounds=1", f"--json={file}"])
    assert status == 0, capfd.readouterr().err
    content = json.loads(file.read_text())
    assert content["benchmark"] == name
    rows = {line["name"]: line for line in content["rows"]}
    assert rows[row]["value"] > 0
    assert f"| {row}" in capfd.readouterr().out


def test_an_export_has_few_nodes(benchmark, tmp_path):
    """5000 at most: no loop over classes or levels is unrolled."""
    from cascade_tf.serving.export import export_saved_model

    detector = benchmark("workload").make_detector()
    folder = export_saved_model(detector, tmp_path, version=1)
    assert 3000 < benchmark("benchmarks.export").count_nodes(folder) <= 5000


@pytest.mark.parametrize("name", BENCHMARKS)
def test_help_says_what_it_measures_with_a_command_to_copy(benchmark, capfd, name):
    module = benchmark(f"benchmarks.{name}")
    assert module.main([module.__file__, "--help"]) == 0
    said = capfd.readouterr().out
    assert f"\n    python scripts/benchmarks/{name}.py" in said
    assert f"\nusage: python scripts/benchmarks/{name}.py [flags]" in said
    assert all(len(line) <= 110 for line in said.splitlines())


PROFILE_ALL = """
import functools, sys
import op_profile
op_profile.make_detector = functools.cache(op_profile.make_detector)
flags = ["op_profile.py", "--height=128", "--width=192", "--rounds=2"]
for part in ("inference", "features", "proposals", "training"):
    assert op_profile.main([*flags, f"--part={part}", f"--json={sys.argv[1]}/{part}.json"]) == 0
"""


@pytest.fixture(scope="module")
def profiles(tmp_path_factory):
    """Profiles of all parts of one detector, by a process of its own: this one's threads are set already."""
    folder = tmp_path_factory.mktemp("profiles")
    command = [sys.executable, "-c", PROFILE_ALL, str(folder)]
    paths = [str(SCRIPTS), str(SCRIPTS / "benchmarks"), *sys.path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=600)
    return folder


@pytest.mark.parametrize("part", ["inference", "features", "proposals", "training"])
def test_a_profile_adds_up_to_the_whole(profiles, part):
    rows = {line["name"]: line for line in json.loads((profiles / f"{part}.json").read_text())["rows"]}
    whole = rows.pop("whole")["value"]
    assert sum(row["value"] for row in rows.values()) == pytest.approx(whole)
    assert sum(row["ratio"] for row in rows.values()) == pytest.approx(1.0)
    arithmetic = [rows[name]["ratio"] for name in ("convolutions", "matrix products") if name in rows]
    assert len(arithmetic) == (2 if part in ("inference", "training") else 1)
    assert 0.3 < sum(arithmetic) < 1.0
    assert -0.1 * whole < rows["between the ops"]["value"] < 0.6 * whole


def test_kinds_of_ops_by_hand(benchmark):
    lines = benchmark("benchmarks.op_profile").rows({"Mul": 0.1, "convolutions": 0.6, "Add": 0.2}, 1.0, 2)
    named = {line.name: (line.value, line.ratio) for line in lines}
    assert list(named) == ["whole", "convolutions", "Add", "all other ops", "between the ops"]
    for name, value in (("convolutions", 0.6), ("all other ops", 0.1), ("between the ops", 0.1)):
        assert named[name] == pytest.approx((1e3 * value, value))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_runs(benchmark, monkeypatch, tmp_path, capfd):
    memory = benchmark("benchmarks.memory")
    # What is left out runs by the same lines as what stays, with other settings or sizes.
    for name in ("training", "recomputing"):
        monkeypatch.delitem(memory.PEAKS, name)
    monkeypatch.delitem(memory.SERIES, "constant")
    file = tmp_path / "figures.json"
    flags = ["--steps=4", "--rounds=1", f"--json={file}"]
    assert memory.main(["memory.py", *flags]) == 0, capfd.readouterr().err
    rows = {line["name"]: line["value"] for line in json.loads(file.read_text())["rows"]}
    alone, detecting, group, recomputing = (rows.pop(name) for name in list(rows)[:4])
    assert 0.1 < alone < detecting < recomputing < 0.8 * group
    steps = [f"training, many sizes, resident after {number} steps" for number in (1, 2, 3, 4)]
    assert list(rows) == steps
    assert min(rows.values()) > alone


def test_sizes_of_a_series(benchmark):
    sizes = benchmark("benchmarks.memory")._sizes
    varying = sizes(60, varying=True)
    assert len(set(varying[:30])) == 30
    assert varying[30:] == varying[:30]
    assert set(sizes(60, varying=False)) == {(512, 640)}
    assert min(varying) < (512, 640) < max(varying)


class TestPrecision:
    @staticmethod
    def image(boxes, scores, classes):
        boxes = np.reshape(np.float32(boxes), (-1, 4))
        classes = np.int32(classes)
        return ImageDetections(
            boxes, np.float32(scores), classes, classes.astype(np.int64), ("thing",) * len(classes), 0
        )

    def test_differences_by_hand(self, benchmark):
        exact = self.image(
            [[0, 0, 10, 10], [50, 50, 90, 90], [0, 0, 30, 30], [5, 5, 6, 6]],
            [0.9, 0.8, 0.7, 0.1],
            [1, 2, 1, 1],
        )
        # The nearest of the first has another class; the second moves by 2; the third has no partner.
        rounded = self.image(
            [[0, 0, 10, 10], [0, 0.5, 10, 10], [50, 52, 90, 90]], [0.9, 0.89, 0.75], [2, 1, 2]
        )
        compare = benchmark("benchmarks.precision").compare
        rows = {row.name: row for row in compare([exact], [rounded], 0.5, 8.0)}
        assert rows["detections in float32"].value == 3
        assert rows["lost"].value == 1
        assert rows["boxes differ by, median"].value == pytest.approx(1.25)
        assert rows["boxes differ by, median"].high == pytest.approx(2.0)
        assert rows["boxes within 1 pixel"].value == pytest.approx(100 / 3)
        assert rows["scores within 0.02"].value == pytest.approx(100 / 3)

    def test_choices_of_the_suppression_by_hand(self, benchmark):
        boxes = [[0, 0, 10, 10], [20, 20, 40, 40], [50, 50, 90, 90]]
        exact = self.image(boxes, [0.9, 0.8, 0.7], [1, 1, 1])
        # The second moved and the third is lost; the second and another third were candidates.
        rounded = self.image([boxes[0], [20, 20, 40, 43]], [0.9, 0.81], [1, 1])
        candidates = self.image([boxes[0], boxes[1], [50, 50, 90, 94]], [0.9, 0.79, 0.7], [1, 1, 1])
        rows = benchmark("benchmarks.precision").differences([exact], [rounded], [candidates], 0.5, 8.0)
        assert [row.value for row in rows] == [2, 1]

    def test_an_image_without_detections_in_bfloat16_loses_all(self, benchmark):
        exact, nothing = self.image([[0, 0, 9, 9]], [0.9], [1]), self.image([], [], [])
        rows = benchmark("benchmarks.precision").compare([exact], [nothing], 0.0, 8.0)
        assert [(row.name, row.value) for row in rows[:2]] == [("detections in float32", 1), ("lost", 1)]
        assert rows[3].value == rows[5].value == 0

    def test_runs(self, call, benchmark, workdir, drawn):
        images = sorted((drawn / "images").glob("val_*.jpg"))
        said = call("precision", f"--workdir={workdir}", "--score_threshold=0", *images)
        assert said.status == 0, said.err
        assert "| boxes within 1 pixel" in said.out
        assert "| one grey level: boxes within 1 pixel" in said.out
        assert "images 4" in said.out
