"""One of two processes, whose other one dies or is not there, as TensorFlow would tell it."""

from __future__ import annotations

import functools
import time

import pytest
import tensorflow as tf

from cascade_tf.training import loop
from cascade_tf.training.cluster import Workers
from cascade_tf.training.failed_evaluations import EvaluationFailedError
from cascade_tf.training.lost_workers import WorkerLostError
from cascade_tf.training.watchdog import STALLED, Watchdog
from tests.training.fake_detector import FakeDetector, make_batches
from tests.training.test_loop import make_trainer

TOLD = "{{node CollectiveReduceV2}} Collective ops is aborted by: The tasks have crashed."
ERRORS = [tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.InternalError]


@pytest.fixture
def other(monkeypatch):
    """The other process, which says what this one does until its ``dies_after`` talks are done."""

    class Other:
        dies_after = 10**6
        error = tf.errors.UnavailableError
        place = 1

    class OfTwo(Workers):
        def __init__(self, strategy):
            super().__init__(strategy)
            self.count, self.index, self.talks = 2, 1 - Other.place, 0

        def exchange(self, value):
            self.talks += 1
            if self.talks > Other.dies_after:
                raise Other.error(None, None, TOLD)
            return tf.constant([value, value])

    monkeypatch.setattr(loop, "Workers", OfTwo)
    return Other


@pytest.fixture
def begin(tmp_path):
    # Each of two has half of the four images.
    return functools.partial(
        make_trainer, tmp_path, batches=functools.partial(make_batches, batch_size=2), evaluate_every=2
    )


@pytest.mark.parametrize("error", ERRORS)
def test_a_death_between_two_steps(begin, other, error):
    other.error, other.dies_after = error, 4
    trainer = begin()
    with pytest.raises(WorkerLostError, match=r"another process .* has died .* last checkpoint") as e:
        trainer.run()
    assert trainer.step == 4
    assert isinstance(e.value.__cause__, error)
    assert e.value.exit_status == STALLED == 75


def test_a_death_before_the_first_step(begin, other):
    other.dies_after = 0
    with pytest.raises(WorkerLostError):
        begin()


def test_a_death_in_an_evaluation_is_no_failed_evaluation(begin, other, caplog):
    def evaluate(detector, step):
        raise tf.errors.UnavailableError(None, None, TOLD)

    trainer = begin(evaluate_fn=evaluate)
    with pytest.raises(WorkerLostError):
        trainer.run()
    assert trainer.step == 2
    assert "the evaluation after step" not in caplog.text


def test_a_folder_that_does_not_answer_is_a_failed_evaluation(begin, other):
    def evaluate(detector, step):
        raise tf.errors.UnavailableError(None, None, "gs://bucket/1.jpg: no answer")

    with pytest.raises(EvaluationFailedError, match="no answer"):
        begin(evaluate_fn=evaluate).run()


def test_silence_while_the_detector_is_built_is_noticed(begin, other, monkeypatch):
    acted = []
    monkeypatch.setattr(loop, "Watchdog", functools.partial(Watchdog, act=acted.append))

    def wait_for_the_other():
        time.sleep(0.5)
        return FakeDetector()

    begin(wait_for_the_other, stall_limit=0.1)
    assert len(acted) == 1


def test_only_the_first_one_looks_at_what_an_earlier_run_has_left(begin, other, tmp_path):
    """It removes that while the others begin."""
    left = tmp_path / "best.json"
    for place in (0, 1):
        other.place = place
        left.write_text("half a fi")
        (tmp_path / "best.weights.h5").touch()
        begin()
        assert left.exists() == (place == 0)
