"""The benchmarks of the network: their arithmetic by hand, and that they run."""

from __future__ import annotations

import importlib
import json

import pytest
import tensorflow as tf

from tests.scripts.conftest import SCRIPTS


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    monkeypatch.syspath_prepend(str(SCRIPTS / "benchmarks"))
    return importlib.import_module


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

    # The forward pass itself is not needed for these gradients, but it is in the graph.
    assert count(both, x, kernel) == 2 * 3 * convolution


def test_operations_of_unknown_size_are_refused(benchmark):
    function = tf.function(lambda x, n: tf.matmul(x[:n], x, transpose_b=True))
    with pytest.raises(ValueError, match="expected a known one"):
        benchmark("floor").count_operations(function, tf.zeros([4, 4]), tf.constant(2))


@pytest.mark.slow
def test_operations_of_the_detector(benchmark):
    """Known for R50-FPN at 800 x 1344: 204 G multiply-adds before the heads, 13.8 G for a thousand RoIs."""
    workload, count = benchmark("workload"), benchmark("floor").count_operations
    # The strides of torchvision's ResNet; the default has them in the 1x1 convolutions, which is 4 % less.
    detector, batch = workload.make_detector(stride_in_1x1=False), workload.make_batch()
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
def test_runs(benchmark, name, flags, row, tmp_path, capfd, recwarn):
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
    from cascade_tf.export import export_saved_model

    detector = benchmark("workload").make_detector()
    folder = export_saved_model(detector, tmp_path, version=1)
    assert 3000 < benchmark("benchmarks.export").count_nodes(folder) <= 5000
