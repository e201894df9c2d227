"""Evaluations that fail: the training goes on, its weights are kept, and the run says so at its end."""

from __future__ import annotations

import json
import os
import signal

import numpy as np
import pytest

from cascade_tf.training.failed_evaluations import EvaluationFailedError
from cascade_tf.training.run_log import read_metrics
from tests.training.fake_detector import FakeDetector
from tests.training.test_loop import everything, make_trainer


def failing_at(*steps):
    def evaluate(detector, step):
        if step in steps:
            raise ValueError(f"broken image: {step}.jpg")
        return {"AP": step / 100}

    return evaluate


def test_a_failure_at_the_end_keeps_the_weights_and_the_next_start_repeats_it(tmp_path):
    trainer = make_trainer(tmp_path, evaluate_fn=failing_at(8), ema=0.9)
    with pytest.raises(EvaluationFailedError) as caught:
        trainer.run()
    assert str(caught.value) == "the evaluation after step 8 failed (broken image: 8.jpg)"
    assert caught.value.is_final
    assert caught.value.result[:3] == (8, True, None)
    assert isinstance(caught.value.__cause__, ValueError)
    saved = FakeDetector()
    saved.load_weights(tmp_path / "last.weights.h5")
    for mean, weight in zip(trainer._average.variables, saved.get_weights(), strict=True):
        np.testing.assert_array_equal(mean.numpy(), weight)
    again = make_trainer(tmp_path, evaluate_fn=failing_at(), ema=0.9)
    assert again.step == 8
    for name, value in everything(trainer).items():
        np.testing.assert_array_equal(everything(again)[name], value, err_msg=name)
    assert again.run().best == {"step": 8, "AP": 0.08}
    assert (tmp_path / "best.weights.h5").exists()


def test_a_failure_on_the_way_costs_no_step(tmp_path, caplog):
    whole = make_trainer(tmp_path / "whole")
    whole.run()
    trainer = make_trainer(tmp_path / "run", evaluate_fn=failing_at(2, 6), evaluate_every=2)
    with pytest.raises(EvaluationFailedError) as caught, caplog.at_level("ERROR", logger="absl"):
        trainer.run()
    assert str(caught.value) == "the evaluations after steps 2, 6 failed (broken image: 6.jpg)"
    assert not caught.value.is_final
    assert caught.value.result.best == {"step": 8, "AP": 0.08}
    assert [record.message.split(":")[0] for record in caplog.records if record.levelname == "ERROR"] == [
        f"the evaluation after step {step} failed, its weights are kept as a checkpoint and last.weights.h5"
        for step in (2, 6)
    ]
    for name, value in everything(whole).items():
        np.testing.assert_array_equal(everything(trainer)[name], value, err_msg=name)
    lines = read_metrics(tmp_path / "run")
    assert [line["step"] for line in lines if "evaluation" in line] == [4, 8]


def test_the_checkpoint_is_written_before_the_evaluation(tmp_path):
    """An evaluation may take the process down, without an exception that could be caught."""

    class Death(BaseException):
        pass

    def die(detector, step):
        raise Death

    with pytest.raises(Death):
        make_trainer(tmp_path, evaluate_fn=die, evaluate_every=5, checkpoint_every=0).run()
    assert make_trainer(tmp_path).step == 5
    assert (tmp_path / "last.weights.h5").exists()


def test_a_run_that_is_stopped_says_nothing_more(tmp_path):
    def fail(detector, step):
        os.kill(os.getpid(), signal.SIGTERM)
        raise ValueError("no pictures")

    result = make_trainer(tmp_path, evaluate_fn=fail, evaluate_every=3).run()
    assert not result.finished
    assert result.signal == signal.SIGTERM


def test_a_signal_in_the_last_evaluation_is_told(tmp_path):
    """Another step of training may follow, which has to stop too."""

    def evaluate(detector, step):
        os.kill(os.getpid(), signal.SIGTERM)
        return {"AP": 0.5}

    result = make_trainer(tmp_path, evaluate_fn=evaluate).run()
    assert (result.step, result.finished, result.signal) == (8, True, signal.SIGTERM)


def test_weights_are_those_of_training_after_a_failure_with_averages(tmp_path):
    whole = make_trainer(tmp_path / "whole", ema=0.9)
    whole.run()
    trainer = make_trainer(tmp_path / "run", evaluate_fn=failing_at(3), evaluate_every=3, ema=0.9)
    with pytest.raises(EvaluationFailedError):
        trainer.run()
    for name, value in everything(whole).items():
        np.testing.assert_array_equal(everything(trainer)[name], value, err_msg=name)


def test_results_without_the_number_to_judge_by_are_a_failure(tmp_path):
    with pytest.raises(EvaluationFailedError, match="got AR, expected AP among them"):
        make_trainer(tmp_path, evaluate_fn=lambda d, s: {"AR": 1.0}).run()
    assert not (tmp_path / "best.json").exists()
    assert json.loads(json.dumps(make_trainer(tmp_path).step)) == 8
