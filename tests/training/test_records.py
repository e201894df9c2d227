"""Log lines, windows and what the terminal shows."""

from __future__ import annotations

import io
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from absl import logging

from cascade_tf.training.progress import Progress, Speed, describe_losses
from cascade_tf.training.run_log import RunLog, read_metrics
from cascade_tf.training.step import StepReport
from cascade_tf.training.window import NonFiniteLossError, Summary, Window

SUMMARY = Summary({"total": 1.0}, {"iou": float("inf")}, 0.1, 2.0, 0)


def report(loss, iou=0.5, applied=1.0, failed=0.0, norm=1.0):
    return tf.nest.map_structure(
        tf.constant, StepReport({"a": loss, "total": loss}, {"iou": iou}, 0.1, norm, applied, failed)
    )


def test_a_window_averages_and_starts_anew():
    window = Window()
    window.add(1, report(1.0, iou=float("nan")), [1])
    window.add(2, report(3.0, iou=0.75), [2])
    summary = window.summarize()
    assert summary.losses == {"a": 2.0, "total": 2.0}
    assert summary.metrics == {"iou": 0.75}
    assert summary.skipped == 0
    assert len(window) == 0


def test_a_skipped_update_is_counted_and_its_gradient_left_out():
    window = Window()
    window.add(1, report(1.0, norm=4.0), [1])
    window.add(2, report(1.0, norm=float("inf"), applied=0.0), [2])
    summary = window.summarize()
    assert (summary.skipped, summary.gradient_norm) == (1, 4.0)


def test_the_first_failed_step_is_named():
    window = Window()
    window.add(1, report(1.0), [10])
    window.add(2, report(float("inf"), applied=0.0, failed=1.0), [20, 21])
    window.add(3, report(1.0, applied=0.0, failed=1.0), [30])
    with pytest.raises(NonFiniteLossError, match=r"step 2: got a = inf, expected .* images 20, 21;"):
        window.summarize()


def test_numbers_that_are_not_finite_become_null(tmp_path):
    with RunLog(tmp_path) as log:
        log.training(1, SUMMARY, float("nan"))
    (line,) = read_metrics(tmp_path)
    assert (line["metrics"]["iou"], line["images_per_second"]) == (None, None)


def test_lines_after_the_checkpoint_and_a_torn_last_line_are_dropped(tmp_path):
    with RunLog(tmp_path) as log:
        for step in (10, 20, 30):
            log.training(step, SUMMARY, 1.0)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4')
    with RunLog(tmp_path, start_step=20) as log:
        log.training(30, SUMMARY, 2.0)
    assert [(line["step"], line["images_per_second"]) for line in read_metrics(tmp_path)] == [
        (10, 1.0),
        (20, 1.0),
        (30, 2.0),
    ]


def test_a_broken_line_is_named(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\nnonsense\n{"step": 2}\n')
    with pytest.raises(ValueError, match=r"metrics.jsonl: line 2 is no JSON object with a step"):
        RunLog(tmp_path)


def test_losses_are_summed_per_part():
    losses = {"rpn_objectness": 0.1, "rpn_box": 0.2, "stage1_class": 0.7, "total": 1.0}
    assert describe_losses(losses) == "loss 1 (rpn 0.3, stage1 0.7)"


def test_the_bar_shows_speed_losses_and_time_left(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with Progress(10, 2, bar=True) as progress:
        progress.advance()
        progress.show({"rpn_box": 0.25, "total": 0.25}, 12.34)
    first, *_, last = stream.getvalue().strip("\r\n").split("\r")
    assert first == "tracing the training step ..."
    assert last.startswith("training  30 % |")
    assert "| 3 of 10 steps" in last
    assert last.endswith(", 12.3 images/s, loss 0.25 (rpn 0.25)")


def test_without_a_terminal_the_first_and_the_last_losses_are_logged_at_once(monkeypatch):
    logged = []
    monkeypatch.setattr(logging, "info", lambda form, *arguments: logged.append(form % arguments))
    with Progress(4, bar=False) as progress:
        for loss in (4.0, 3.0, 2.0, 1.0):
            progress.advance()
            progress.show({"rpn_box": loss}, 1.0)
    assert [line.split(",")[0] for line in logged] == [
        "training: 1 of 4 steps",
        "training: 4 of 4 steps",
        "training: 4 steps in 0 s",
    ]
    assert "loss 4 (rpn 4)" in logged[0]
    assert "loss 1 (rpn 1)" in logged[1]


def test_pauses_do_not_count():
    speed = Speed()
    speed.add(10)
    time.sleep(0.05)
    speed.pause()
    time.sleep(0.3)
    speed.resume()
    rate = speed.restart()
    assert 10 / 0.3 < rate <= 10 / 0.05
    assert np.isnan(speed.restart())
