"""The learning rate at steps computed by hand."""

from __future__ import annotations

import bisect
import math

import keras
import pytest

from cascade_tf.training.schedule import WarmupSteps, describe_learning_rate, make_schedule
from cascade_tf.training.settings import TrainConfig


@pytest.mark.parametrize(
    ("step", "rate"),
    [
        (0, 0.02 / 3),
        (250, 0.02 * 2 / 3),
        (499, 0.02 * (1 / 3 + 2 / 3 * 499 / 500)),
        (500, 0.02),
        (59_999, 0.02),
        (60_000, 0.002),
        (79_999, 0.002),
        (80_000, 0.0002),
        (89_999, 0.0002),
    ],
)
def test_the_1x_schedule_by_hand(step, rate):
    assert float(make_schedule(TrainConfig())(step)) == pytest.approx(rate, rel=1e-6)


@pytest.mark.parametrize(("batch_size", "rate"), [(16, 0.02), (2, 0.0025), (64, 0.08)])
def test_rate_is_linear_in_the_batch_size(batch_size, rate):
    assert float(make_schedule(TrainConfig(batch_size=batch_size))(1000)) == pytest.approx(rate, rel=1e-6)


def test_decay_inside_the_warmup_multiplies():
    schedule = WarmupSteps(1.0, warmup_steps=10, warmup_factor=0.5, decay_steps=(5,), decay_factor=0.1)
    assert float(schedule(5)) == pytest.approx(0.1 * 0.75)


def test_without_warmup_the_first_rate_is_the_full_one():
    assert float(WarmupSteps(0.3)(0)) == pytest.approx(0.3)


def test_serialisation():
    schedule = make_schedule(TrainConfig(batch_size=8))
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
    assert copy.get_config() == schedule.get_config()
    assert float(copy(123)) == float(schedule(123))


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (
            {"learning_rate": 0.01, "batch_size": 4, "decay_steps": (6000, 8000)},
            "learning rate 0.0025 = train.learning_rate 0.01 x batch 4 / 16, "
            "rising over the first 500 steps, times 0.1 from step 6000, 8000",
        ),
        (
            {"learning_rate": 0.01, "batch_size": 2, "accumulate": 4, "warmup_steps": 0, "decay_steps": ()},
            "learning rate 0.005 = train.learning_rate 0.01 x batch 4 x 2 / 16",
        ),
        (
            {"warmup_steps": 0, "decay_steps": ()},
            "learning rate 0.02 = train.learning_rate for batches of 16",
        ),
        (
            {"learning_rate": 0.01, "batch_size": 4, "reference_batch_size": 4, "decay_steps": (7,)},
            "learning rate 0.01 = train.learning_rate for batches of 4, "
            "rising over the first 500 steps, times 0.1 from step 7",
        ),
    ],
)
def test_the_line_about_the_rate(settings, line):
    assert describe_learning_rate(TrainConfig(**settings)) == line


class TestSchedulesOfOthers:
    """What docs/configuration.md says of carrying schedules over, against their formulas, step by step."""

    STEPS = (0, 1, 2, 249, 250, 498, 499, 500, 501, 19_999, 20_000, 27_499, 27_500, 29_999)

    def test_detectron2(self):
        base_lr, ims_per_batch, steps, gamma, warmup_iters, warmup_factor = (
            0.01,
            4,
            (20_000, 27_500),
            0.1,
            1000,
            0.001,
        )
        schedule = make_schedule(
            TrainConfig(
                learning_rate=base_lr,
                batch_size=ims_per_batch,
                reference_batch_size=ims_per_batch,
                decay_steps=steps,
                decay_factor=gamma,
                warmup_steps=warmup_iters,
                warmup_factor=warmup_factor,
            )
        )
        for step in self.STEPS:
            alpha = min(step / warmup_iters, 1.0)
            warmup = warmup_factor * (1 - alpha) + alpha
            theirs = base_lr * warmup * gamma ** bisect.bisect_right(steps, step)
            assert float(schedule(step)) == pytest.approx(theirs, rel=1e-6), step

    @pytest.mark.parametrize("version", [2, 3])
    def test_mmdetection(self, version):
        """The example of the page: 12 epochs of 10,000 images on 2 GPUs with 2 images each."""
        images, gpus, samples_per_gpu, lr, epochs, milestones, ratio = 10_000, 2, 2, 0.005, 12, (8, 11), 0.001
        batch = gpus * samples_per_gpu
        per_epoch = math.ceil(images / batch)
        assert (batch, per_epoch, epochs * per_epoch) == (4, 2500, 30_000)
        decay_steps = tuple(epoch * per_epoch for epoch in milestones)
        assert decay_steps == (20_000, 27_500)
        schedule = make_schedule(
            TrainConfig(
                learning_rate=lr,
                batch_size=batch,
                reference_batch_size=batch,
                steps=epochs * per_epoch,
                decay_steps=decay_steps,
                warmup_steps=500 if version == 2 else 500 - 1,
                warmup_factor=ratio,
            )
        )
        of_epoch = {epoch: 0.1 ** sum(m <= epoch for m in milestones) for epoch in range(epochs)}
        for step in self.STEPS:
            warmup = _mmcv_warmup(step, 500, ratio) if version == 2 else _mmengine_warmup(step, 500, ratio)
            theirs = lr * warmup * of_epoch[step // per_epoch]
            assert float(schedule(step)) == pytest.approx(theirs, rel=1e-6), step

    def test_auto_scaled_rates_of_mmdetection(self):
        ours = TrainConfig(learning_rate=0.02, batch_size=4, reference_batch_size=16)
        assert ours.scaled_learning_rate == pytest.approx(0.02 * (2 * 2) / 16)

    def test_the_trap(self):
        """Their rate of a batch of 4 with our reference of 16 is a quarter."""
        assert TrainConfig(learning_rate=0.01, batch_size=4).scaled_learning_rate == pytest.approx(0.0025)


def _mmcv_warmup(step: int, iters: int, ratio: float) -> float:
    return 1 - (1 - step / iters) * (1 - ratio) if step < iters else 1.0


def _mmengine_warmup(step: int, end: int, start_factor: float) -> float:
    """It multiplies the last rate, so that ``end - 1`` steps lie between the first rate and the full one."""
    factor, between = start_factor, end - 1
    for past in range(1, min(step, between) + 1):
        rise = 1 - start_factor
        factor *= 1 + rise / (between * start_factor + (past - 1) * rise)
    return factor
