"""The learning rate at steps computed by hand."""

from __future__ import annotations

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
