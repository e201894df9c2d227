"""Whole runs of a tiny detector: resume, records, evaluation, errors, signals."""

from __future__ import annotations

import json
import os
import signal
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.training import loop
from cascade_tf.training.loop import Trainer
from cascade_tf.training.run_log import read_metrics
from cascade_tf.training.settings import TrainConfig
from cascade_tf.training.watchdog import Watchdog
from cascade_tf.training.window import NonFiniteLossError
from tests.training.fake_detector import FakeDetector, make_batches, poison

SETTINGS = {
    "batch_size": 4,
    "reference_batch_size": 4,
    "steps": 8,
    "warmup_steps": 3,
    "decay_steps": (6,),
    "checkpoint_every": 3,
    "log_every": 2,
}


class DropoutDetector(FakeDetector):
    """Draws random numbers in every step, so that a resume must continue their sequence."""

    def build_parts(self):
        self.dropout = keras.layers.Dropout(0.3, name="dropout")
        super().build_parts()

    def call(self, batch, training=False):
        colour = tf.reduce_mean(tf.cast(batch.images, tf.float32), [1, 2]) / 255.0
        hidden = self.dropout(self.hidden(colour), training=training)
        return self.box(self.norm(hidden, training=training))


def make_trainer(
    workdir,
    factory=FakeDetector,
    batches=make_batches,
    strategy=None,
    evaluate_fn=None,
    judge="AP",
    lower_is_better=False,
    stall_limit=0,
    **changes,
):
    return Trainer(
        factory,
        TrainConfig(**{**SETTINGS, **changes}),
        workdir,
        make_batches=batches,
        evaluate_fn=evaluate_fn,
        judge=judge,
        stall_limit=stall_limit,
        lower_is_better=lower_is_better,
        strategy=strategy,
        progress_bar=False,
    )


def everything(trainer):
    groups = trainer._state()
    return {f"{g}/{name}": v.numpy() for g, variables in groups.items() for name, v in variables.items()}


def kill_at(step, number=signal.SIGTERM):
    """Batches that send a signal to this process while batch ``step`` is made."""

    def change(current, data):
        if current == step:
            os.kill(os.getpid(), number)
        return data

    # One batch at a time, so that the signal comes between two steps.
    return lambda start: make_batches(start, change=change).prefetch(0)


def test_an_interrupted_run_ends_with_the_weights_of_one_that_was_not(tmp_path):
    whole = make_trainer(tmp_path / "whole", DropoutDetector, ema=0.9)
    assert whole.run().finished
    first = make_trainer(tmp_path / "parts", DropoutDetector, batches=kill_at(4), ema=0.9)
    result = first.run()
    assert (result.finished, result.signal) == (False, signal.SIGTERM)
    assert 0 < result.step < 8
    second = make_trainer(tmp_path / "parts", DropoutDetector, ema=0.9)
    assert second.step == result.step
    assert second.run()[:3] == (8, True, None)
    expected, found = everything(whole), everything(second)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_an_accumulating_run_stops_after_a_whole_update_and_goes_on_from_there(tmp_path):
    settings = {"accumulate": 3, "ema": 0.9, "clip_norm": 0.5}
    whole = make_trainer(tmp_path / "whole", **settings)
    assert whole.run().finished
    # Batch 13 is in the middle of the fifth update.
    result = make_trainer(tmp_path / "parts", batches=kill_at(13), **settings).run()
    assert result[:3] == (5, False, signal.SIGTERM)
    asked = []

    def watched(start):
        asked.append(start)
        return make_batches(start)

    second = make_trainer(tmp_path / "parts", batches=watched, **settings)
    assert second.run()[:3] == (8, True, None)
    assert asked == [15]
    for name, value in everything(whole).items():
        np.testing.assert_array_equal(everything(second)[name], value, err_msg=name)


def test_data_that_end_within_an_update_are_refused(tmp_path):
    trainer = make_trainer(tmp_path, batches=lambda start: make_batches(start, num_steps=8), accumulate=3)
    with pytest.raises(ValueError, match=r"data set: ended after 2 steps, expected train.steps = 8"):
        trainer.run()


def test_a_process_alone_does_not_wait_for_its_batches_for_ever(tmp_path, monkeypatch):
    silences = []
    monkeypatch.setattr(loop, "Watchdog", lambda limit: Watchdog(limit, silences.append))

    def hang_at_the_last(step, data):
        time.sleep(1.5 if step == 1 else 0)
        return data

    trainer = make_trainer(
        tmp_path, batches=lambda start: make_batches(start, change=hang_at_the_last), stall_limit=1, steps=2
    )
    trainer.run()
    assert silences
    assert silences[-1] >= 1


def test_resume_from_an_older_checkpoint_repeats_the_lost_steps(tmp_path):
    whole = make_trainer(tmp_path / "whole")
    whole.run()
    crashed = make_trainer(tmp_path / "parts", batches=lambda start: make_batches(start, num_steps=5))
    with pytest.raises(ValueError, match=r"data set: ended after 5 steps, expected train.steps = 8"):
        crashed.run()
    assert [line["step"] for line in read_metrics(tmp_path / "parts")] == [2, 4]
    second = make_trainer(tmp_path / "parts")
    assert second.step == 3
    second.run()
    for name, value in everything(whole).items():
        np.testing.assert_array_equal(everything(second)[name], value, err_msg=name)
    assert [line["step"] for line in read_metrics(tmp_path / "parts")] == [2, 4, 6, 8]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_writes_a_checkpoint_and_restores_the_handlers(tmp_path, number):
    before = signal.getsignal(number)
    trainer = make_trainer(tmp_path, batches=kill_at(1, number), checkpoint_every=0)
    result = trainer.run()
    assert result.signal == number
    assert 1 <= result.step < 8
    assert make_trainer(tmp_path).step == result.step
    assert (tmp_path / "last.weights.h5").exists()
    assert signal.getsignal(number) is before


def test_two_replicas_run_like_one_device_and_resume_each_other(tmp_path, two_replicas):
    one = make_trainer(tmp_path / "one", clip_norm=0.5, ema=0.9)
    one.run()
    first = make_trainer(tmp_path / "two", batches=kill_at(4), strategy=two_replicas, clip_norm=0.5, ema=0.9)
    assert not first.run().finished
    two = make_trainer(tmp_path / "two", strategy=two_replicas, clip_norm=0.5, ema=0.9)
    two.run()
    for name, value in everything(one).items():
        # Means over 4 images and over twice 2 round differently in float32.
        np.testing.assert_allclose(everything(two)[name], value, rtol=1e-6, atol=1e-6, err_msg=name)
    a, b = FakeDetector(), FakeDetector()
    a.load_weights(tmp_path / "one" / "last.weights.h5")
    b.load_weights(tmp_path / "two" / "last.weights.h5")
    for x, y in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-6, atol=1e-6)


def test_a_loss_that_is_not_finite_stops_with_step_loss_and_images(tmp_path):
    trainer = make_trainer(tmp_path, batches=lambda s: make_batches(s, change=poison(4)), log_every=100)
    with pytest.raises(NonFiniteLossError) as caught:
        trainer.run()
    assert (caught.value.step, caught.value.names) == (5, ("box",))
    assert caught.value.image_ids == (4000, 4001, 4002, 4003)
    text = str(caught.value)
    assert text.startswith("step 5: got box = nan, expected finite values; images 4000, 4001, 4002, 4003;")
    assert "\n" not in text
    assert isinstance(caught.value, FloatingPointError)
    good = make_trainer(tmp_path / "good", steps=4)
    good.run()
    for a, b in zip(trainer.detector.get_weights(), good.detector.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert make_trainer(tmp_path).step == 3


def test_a_gradient_that_is_not_finite_is_named(tmp_path):
    class Root(FakeDetector):
        def compute_losses(self, batch, targets):
            losses, metrics = super().compute_losses(batch, targets)
            # The square root of 0 has an infinite slope.
            return {**losses, "root": tf.sqrt(0.0 * tf.reduce_sum(self.box.kernel.value))}, metrics

    with pytest.raises(NonFiniteLossError, match=r"step 1: got gradient = nan") as caught:
        make_trainer(tmp_path, Root).run()
    assert caught.value.names == ("gradient",)


def test_the_best_by_ap_is_kept(tmp_path):
    scores = {2: 0.1, 4: float("nan"), 6: 0.3, 8: 0.2}
    seen = {}

    def evaluate(detector, step):
        seen[step] = detector.get_weights()
        return {"AP": scores[step], "AP50": 2 * scores[step]}

    result = make_trainer(tmp_path, evaluate_fn=evaluate, evaluate_every=2).run()
    assert result.best == {"step": 6, "AP": 0.3}
    assert json.loads((tmp_path / "best.json").read_text()) == {"step": 6, "AP": 0.3}
    best = FakeDetector()
    best.load_weights(tmp_path / "best.weights.h5")
    for a, b in zip(best.get_weights(), seen[6], strict=True):
        np.testing.assert_array_equal(a, b)
    lines = {line["step"]: line["evaluation"] for line in read_metrics(tmp_path) if "evaluation" in line}
    assert lines[6] == {"AP": 0.3, "AP50": 0.6}
    assert lines[4] == {"AP": None, "AP50": None}


def test_an_interrupted_run_is_judged_by_the_same_number(tmp_path):
    """The lowest miss rate was before the interruption, the highest AP after it."""
    rates = {2: 40.0, 4: 30.0, 6: 50.0, 8: 60.0}
    settings = {
        "evaluate_fn": lambda detector, step: {"AP": step / 10, "MR": rates[step]},
        "evaluate_every": 2,
        "judge": "MR",
        "lower_is_better": True,
    }
    make_trainer(tmp_path / "stopped", batches=kill_at(5), **settings).run()
    results = [make_trainer(tmp_path / name, **settings).run() for name in ("stopped", "whole")]
    assert results[0].best == results[1].best == {"step": 4, "MR": 30.0}
    both = [FakeDetector(), FakeDetector()]
    for detector, name in zip(both, ("stopped", "whole"), strict=True):
        detector.load_weights(tmp_path / name / "best.weights.h5")
    for a, b in zip(*(detector.get_weights() for detector in both), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_run_that_starts_anew_forgets_the_best_of_an_earlier_one(tmp_path):
    (tmp_path / "best.json").write_text('{"step": 9, "AP": 0.99}')
    (tmp_path / "best.weights.h5").write_bytes(b"of another run")
    trainer = make_trainer(tmp_path)
    assert not (tmp_path / "best.json").exists()
    assert not (tmp_path / "best.weights.h5").exists()
    assert trainer.run().best is None


def test_the_best_survives_an_interruption(tmp_path):
    make_trainer(tmp_path, batches=kill_at(4), evaluate_fn=lambda d, s: {"AP": 0.9}, evaluate_every=2).run()
    result = make_trainer(tmp_path, evaluate_fn=lambda d, s: {"AP": 0.1}, evaluate_every=2).run()
    assert result.best == {"step": 2, "AP": 0.9}


def test_a_finished_run_is_evaluated_once(tmp_path):
    calls = []

    def evaluate(detector, step):
        calls.append(step)
        return {"AP": 0.5}

    for _ in range(2):
        assert make_trainer(tmp_path, evaluate_fn=evaluate).run().finished
    assert calls == [8]


def test_the_average_is_what_is_evaluated_and_saved(tmp_path):
    seen = []
    trainer = make_trainer(
        tmp_path, evaluate_fn=lambda d, s: seen.append(d.get_weights()) or {"AP": 1}, ema=0.8
    )
    trainer.run()
    means = [v.numpy() for v in trainer._average.variables]
    saved = FakeDetector()
    saved.load_weights(tmp_path / "last.weights.h5")
    for mean, evaluated, stored, own in zip(
        means, seen[0], saved.get_weights(), trainer.detector.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(mean, evaluated)
        np.testing.assert_array_equal(mean, stored)
        assert np.abs(mean - own).max() > 0


def test_the_log_has_means_and_rates(tmp_path):
    make_trainer(tmp_path, log_every=4).run()
    first, last = read_metrics(tmp_path)
    assert (first["step"], last["step"]) == (4, 8)
    assert first["learning_rate"] == pytest.approx(0.02)
    assert last["learning_rate"] == pytest.approx(0.002)
    assert first["losses"]["total"] == pytest.approx(
        first["losses"]["box"] + first["losses"]["size"], rel=1e-6
    )
    assert first["metrics"]["error"] > 0
    assert first["images_per_second"] > 0
    assert first["skipped"] == 0
    # The mean over 4 steps of a run with one line per step.
    make_trainer(tmp_path / "fine", log_every=1).run()
    fine = [line["losses"]["box"] for line in read_metrics(tmp_path / "fine")]
    assert first["losses"]["box"] == pytest.approx(np.mean(fine[:4]), rel=1e-6)


def test_image_sizes_do_not_retrace(tmp_path, monkeypatch):
    made = []
    trainer = make_trainer(tmp_path)
    make_update = trainer._make_update
    monkeypatch.setattr(trainer, "_make_update", lambda spec: made.append(make_update(spec)) or made[0])
    trainer.run()
    assert made[0].function.experimental_get_tracing_count() == 1


def test_float16_keeps_its_loss_scale(tmp_path):
    trainer = make_trainer(tmp_path, precision="mixed_float16", steps=3)
    assert trainer.detector.hidden.compute_dtype == "float16"
    trainer._loss_scale.factor.assign(64.0)
    trainer.run()
    assert float(make_trainer(tmp_path, precision="mixed_float16")._loss_scale.factor) == 64.0


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    class Wide(FakeDetector):
        def build_parts(self):
            super().build_parts()
            self.extra = keras.layers.Dense(1, name="extra")
            self.extra.build((None, 4))

    class Other(FakeDetector):
        width = 6

    make_trainer(tmp_path).run()
    with pytest.raises(ValueError, match="is of another model") as caught:
        make_trainer(tmp_path, Wide)
    assert "only in the model: model/0006:extra/kernel [4, 1], model/0007:extra/bias [1]" in str(caught.value)
    with pytest.raises(ValueError, match="is of another model") as caught:
        make_trainer(tmp_path, Other)
    assert "other shapes: model/0000:hidden/kernel [3, 5], expected [3, 6]" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_fits_a_model_built_later_in_the_process(tmp_path):
    class Unnamed(FakeDetector):
        def build_parts(self):
            self.hidden, self.box = keras.layers.Dense(5), keras.layers.Dense(4)
            super().build_parts()

    make_trainer(tmp_path, lambda: Unnamed(name=None), steps=2).run()
    again = make_trainer(tmp_path, lambda: Unnamed(name=None))
    assert again.detector.hidden.name != "dense"
    assert again.step == 2


def test_a_damaged_checkpoint_is_named(tmp_path):
    make_trainer(tmp_path, steps=2).run()
    (data,) = (tmp_path / "checkpoints").glob("step-2.data*")
    data.write_bytes(data.read_bytes()[:10])
    with pytest.raises(ValueError, match=r"checkpoint .*step-2: cannot be read"):
        make_trainer(tmp_path)


@pytest.mark.parametrize("name", ["file", "file/inside"])
def test_a_workdir_that_cannot_be_written_stops_before_anything_is_built(tmp_path, name):
    (tmp_path / "file").write_text("")

    def factory():
        raise AssertionError("the detector must not be built")

    with pytest.raises(ValueError, match=r"workdir .*file.*: got .*, expected a folder to write to"):
        make_trainer(tmp_path / name, factory)


def test_batches_of_another_size_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"got batches of 4 images, expected train\.batch_size = 8"):
        make_trainer(tmp_path, batch_size=8).run()


def test_only_the_newest_checkpoints_stay(tmp_path):
    make_trainer(tmp_path, checkpoint_every=1, keep_checkpoints=2).run()
    kept = sorted(path.name for path in (tmp_path / "checkpoints").glob("*.index"))
    assert kept == ["step-7.index", "step-8.index"]
