"""Settings that cannot be meant are refused, by name."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from cascade_tf.training.settings import TrainConfig


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_size", 0),
        ("accumulate", 0),
        ("losses_over", "batch"),
        ("steps", 0),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("reference_batch_size", 0),
        ("warmup_steps", -1),
        ("warmup_factor", 0.0),
        ("decay_steps", (10, 10)),
        ("decay_steps", (20, 10)),
        ("decay_steps", (0,)),
        ("decay_factor", 1.5),
        ("momentum", 1.0),
        ("weight_decay", -0.1),
        ("clip_norm", 0.0),
        ("precision", "float16"),
        ("ema", 1.0),
        ("keep_checkpoints", 0),
        ("log_every", 0),
        ("seed", -1),
    ],
)
def test_impossible_values(name, value):
    with pytest.raises(ValueError, match=rf"train\.{name}: got .*, expected"):
        TrainConfig(**{name: value})


def test_it_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainConfig().steps = 3  # type: ignore[misc]


def test_it_starts_no_tensorflow():
    program = "import sys, cascade_tf.training.settings; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
