"""A run of the fake detector in a process of its own, to be killed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from cascade_tf.training import best, checkpoint
from cascade_tf.training.loop import Trainer
from cascade_tf.training.settings import TrainConfig
from tests.training.fake_detector import FakeDetector, make_batches

STEPS = 12
# Where a run can be killed: the third time that it comes there, or at the end.
POINTS = (
    "variables on the disk, no list of them",
    "before the weights' file",
    "before the best weights' record",
    "before the last weights' file",
)


class DropoutDetector(FakeDetector):
    """Draws random numbers in every step, so that a resume must continue their sequence."""

    def build_parts(self):
        self.dropout = keras.layers.Dropout(0.3, name="dropout")
        super().build_parts()

    def call(self, batch, training=False):
        colour = tf.reduce_mean(tf.cast(batch.images, tf.float32), [1, 2]) / 255.0
        hidden = self.dropout(self.hidden(colour), training=training)
        return self.box(self.norm(hidden, training=training))


def make_trainer(workdir):
    """A run that writes much: a checkpoint after each step, and an evaluation after every second."""
    settings = {
        "batch_size": 4,
        "reference_batch_size": 4,
        "steps": STEPS,
        "warmup_steps": 3,
        "decay_steps": (6,),
        "ema": 0.9,
        "accumulate": 2,
        "checkpoint_every": 1,
        "evaluate_every": 2,
        "log_every": 1,
    }
    return Trainer(
        DropoutDetector,
        TrainConfig(**settings),
        workdir,
        make_batches=make_batches,
        # Rises: each evaluation's weights are the best.
        evaluate_fn=lambda detector, step: {"AP": step / STEPS},
        progress_bar=False,
    )


def run(workdir, point=None):
    """Trains to the end, or to a point where the process is killed."""
    if point is not None:
        _kill_at(point)
    trainer = make_trainer(workdir)
    trainer.run()
    groups = trainer._state()
    values = {f"{g}/{name}": v.numpy() for g, group in groups.items() for name, v in group.items()}
    np.savez(Path(workdir) / "state.npz", **values)


def _kill_at(point):
    # Each step has one checkpoint.
    fatal = STEPS if point == POINTS[3] else 3
    times = iter(range(1, 100))

    def stop(*_, **__):
        if next(times) == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    def before(function):
        def stopped(*args, **kwargs):
            stop()
            return function(*args, **kwargs)

        return stopped

    if point == POINTS[0]:
        manager = tf.train.CheckpointManager
        manager._record_state = before(manager._record_state)
    elif point == POINTS[1]:
        checkpoint.os.replace = before(os.replace)
    elif point == POINTS[2]:
        best.write_atomically = before(best.write_atomically)
    else:
        Trainer._save_weights = before(Trainer._save_weights)
