"""A run that is killed, at whatever moment, ends with the weights of one that was not."""

from __future__ import annotations

import multiprocessing
import random
import signal
import time

import numpy as np
import pytest

from cascade_tf.training.best import BEST_WEIGHTS
from cascade_tf.training.loop import LAST_WEIGHTS
from cascade_tf.training.run_log import read_metrics
from tests.training import fragile_run

LONG_KILLS = 20


@pytest.fixture(scope="module")
def start():
    """Starts a run in a process that finds TensorFlow loaded: it costs its steps alone."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.training.fragile_run"])

    def begin(workdir, point=None):
        process = context.Process(target=fragile_run.run, args=(str(workdir), point))
        process.start()
        return process

    return begin


@pytest.fixture(scope="module")
def whole(start, tmp_path_factory):
    """(folder of the run that nobody killed, seconds that it took)."""
    folder = tmp_path_factory.mktemp("whole")
    before = time.monotonic()
    finish(start(folder))
    return folder, time.monotonic() - before


def finish(process):
    process.join(300)
    assert process.exitcode == 0


def assert_equal(folder, whole):
    expected, found = (np.load(path / "state.npz") for path in (whole, folder))
    assert set(found) == set(expected)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
    steps = [
        [(line["step"], "evaluation" in line) for line in read_metrics(path)] for path in (whole, folder)
    ]
    assert sorted(steps[0]) == sorted(steps[1])
    assert (folder / "best.json").read_text() == (whole / "best.json").read_text()
    for name in (LAST_WEIGHTS, BEST_WEIGHTS):
        for value, wanted in zip(weights_in(folder / name), weights_in(whole / name), strict=True):
            np.testing.assert_array_equal(value, wanted, err_msg=name)


def weights_in(path):
    detector = fragile_run.DropoutDetector()
    detector.load_weights(path)
    return detector.get_weights()


@pytest.mark.parametrize("point", fragile_run.POINTS)
def test_killed_while_it_writes(start, whole, tmp_path, point):
    process = start(tmp_path, point)
    process.join(300)
    assert process.exitcode == -signal.SIGKILL
    assert fragile_run.make_trainer(tmp_path).step >= 1
    finish(start(tmp_path))
    assert_equal(tmp_path, whole[0])


def kill_at_random(start, whole, tmp_path, times, seed):
    draw = random.Random(seed)
    killed = 0
    for _ in range(times):
        process = start(tmp_path)
        process.join(draw.uniform(0.0, whole[1]))
        process.kill()
        process.join()
        killed += process.exitcode == -signal.SIGKILL
    finish(start(tmp_path))
    assert_equal(tmp_path, whole[0])
    return killed


def test_killed_at_random_again_and_again(start, whole, tmp_path):
    assert kill_at_random(start, whole, tmp_path, 3, seed=1) > 0


@pytest.mark.long
@pytest.mark.parametrize("seed", range(LONG_KILLS))
def test_killed_at_random(start, whole, tmp_path, seed):
    kill_at_random(start, whole, tmp_path, 1, seed=100 + seed)
