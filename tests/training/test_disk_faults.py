"""Disks that are full, lose files or give back half of them; clocks that jump."""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import time

import numpy as np
import pytest

from cascade_tf.training.checkpoint import find_checkpoints
from cascade_tf.training.loop import Trainer
from cascade_tf.training.run_log import read_metrics
from cascade_tf.training.settings import TrainConfig
from tests.training.fake_detector import FakeDetector, make_batches

SETTINGS = {
    "batch_size": 4,
    "reference_batch_size": 4,
    "steps": 6,
    "warmup_steps": 2,
    "decay_steps": (),
    "checkpoint_every": 2,
    "log_every": 1,
    "keep_checkpoints": 3,
}


def make_trainer(workdir, batches=make_batches, **changes):
    settings = TrainConfig(**{**SETTINGS, **changes})
    return Trainer(FakeDetector, settings, workdir, make_batches=batches, progress_bar=False)


def weights(trainer):
    return [v.numpy() for group in trainer._state().values() for v in group.values()]


def assert_same(trainer, other):
    for a, b in zip(weights(trainer), weights(other), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture
def whole(tmp_path):
    """A run that is done, in ``tmp_path/run``, with checkpoints after 2, 4 and 6 steps."""
    trainer = make_trainer(tmp_path / "run")
    trainer.run()
    return trainer


@pytest.mark.parametrize("suffix", ["data-00000-of-00001", "index"])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_checkpoint_cut_short_is_passed_over(whole, suffix, share, caplog):
    path = whole.workdir / "checkpoints" / f"step-6.{suffix}"
    os.truncate(path, int(path.stat().st_size * share))
    with caplog.at_level(logging.WARNING, "absl"):
        again = make_trainer(whole.workdir)
    assert again.step == 4
    (line,) = [r.getMessage() for r in caplog.records if "cannot be read" in r.getMessage()]
    assert "step-6: cannot be read" in line
    assert line.endswith("step-4, which is whole")
    again.run()
    assert_same(again, whole)
    assert make_trainer(whole.workdir).step == 6


def test_flipped_bits_are_noticed(whole):
    path = whole.workdir / "checkpoints" / "step-6.data-00000-of-00001"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    assert make_trainer(whole.workdir).step == 4


def test_a_deleted_newest_checkpoint(whole):
    for path in (whole.workdir / "checkpoints").glob("step-6.*"):
        path.unlink()
    again = make_trainer(whole.workdir)
    assert again.step == 4
    again.run()
    assert_same(again, whole)


def test_a_deleted_list_of_checkpoints(whole):
    (whole.workdir / "checkpoints" / "checkpoint").unlink()
    assert make_trainer(whole.workdir).step == 6


def test_where_none_can_be_read_the_run_does_not_begin_anew(whole):
    for path in (whole.workdir / "checkpoints").glob("*.index"):
        path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"step-6: cannot be read .*step-4: cannot be read .*step-2: cannot"):
        make_trainer(whole.workdir)


@contextlib.contextmanager
def full_disk(limit):
    """No file of this process grows beyond ``limit`` bytes: writing fails as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_costs_nothing_that_was_saved(tmp_path, whole):
    trainer = make_trainer(tmp_path / "full", batches=lambda start: make_batches(start, num_steps=3))
    with pytest.raises(ValueError, match="ended after 3 steps"):
        trainer.run()
    before = {p.name: p.read_bytes() for p in (tmp_path / "full" / "checkpoints").iterdir()}
    trainer = make_trainer(tmp_path / "full")
    # The checkpoint's numbers fit, which the log does too, but not their list.
    with full_disk(400), pytest.raises(OSError, match=r"written|large|space|File"):
        trainer.run()
    after = {p.name: p.read_bytes() for p in (tmp_path / "full" / "checkpoints").iterdir()}
    assert before.items() <= after.items()
    again = make_trainer(tmp_path / "full")
    assert again.step == 2
    again.run()
    assert_same(again, whole)
    assert [line["step"] for line in read_metrics(tmp_path / "full")] == [1, 2, 3, 4, 5, 6]


def test_a_checkpoint_that_does_not_fit_is_named(whole):
    with (
        full_disk(100),
        pytest.raises(
            OSError, match=r"checkpoint .*step-7: cannot be written \(.*\); the ones before it are as"
        ),
    ):
        whole._checkpoints.save(7)
    assert [path.rpartition("-")[2] for path in find_checkpoints(whole.workdir / "checkpoints")] == [
        "6",
        "4",
        "2",
    ]


def test_weights_that_do_not_fit_leave_the_older_ones(whole):
    path = whole.workdir / "last.weights.h5"
    before = path.read_bytes()
    with full_disk(100), pytest.raises(OSError, match="cannot be written"):
        whole._save(7)
    assert path.read_bytes() == before
    assert not list(whole.workdir.glob(".*"))


def test_a_clock_that_jumps(tmp_path, whole, monkeypatch):
    clock = time.time
    jumps = iter([0.0, 1e8, -1e8] * 10_000)
    monkeypatch.setattr(time, "time", lambda: clock() + next(jumps))
    first = make_trainer(tmp_path / "jumps", keep_checkpoints=1)
    first.run()
    assert make_trainer(tmp_path / "jumps").step == 6
    assert_same(first, whole)
    assert [line["step"] for line in read_metrics(tmp_path / "jumps")] == [1, 2, 3, 4, 5, 6]
