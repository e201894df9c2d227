"""What a run that goes on has to be told."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from absl import logging

if TYPE_CHECKING:
    from cascade_tf.data.coco import CocoDataset
    from cascade_tf.experiment.config import Experiment


def has_checkpoint(workdir: Path) -> bool:
    """Whether a run in this folder can go on; of one in two steps, whether the second one can."""
    from cascade_tf.training.checkpoint import find_checkpoints
    from cascade_tf.training.loop import CHECKPOINTS_FOLDER

    return bool(find_checkpoints(workdir / CHECKPOINTS_FOLDER))


def has_started(workdir: Path) -> bool:
    """Whether a run in this folder can go on, if only with its first step."""
    from cascade_tf.experiment.first_step import FOLDER

    return has_checkpoint(workdir) or has_checkpoint(workdir / FOLDER)


def check_resumption(experiment: Experiment, workdir: Path, resume: str) -> None:
    """Makes sure that a checkpoint in the run's folder is one to go on from.

    Args:
        experiment: what is to be trained, resolved.
        workdir: the run's folder.
        resume: ``"never"``, ``"always"`` or ``"auto"``.

    Raises:
        ValueError: there is one and it should not, or the reverse, or it was made with other settings.
    """
    from cascade_tf.experiment.config import differences, read_experiment

    started = has_started(workdir)
    if started and resume == "never":
        raise ValueError(f"workdir {workdir}: got the checkpoint of a run, expected none with --resume=never")
    if not started and resume == "always":
        raise ValueError(f"workdir {workdir}: got no checkpoint, expected one with --resume=always")
    changed = differences(read_experiment(workdir), experiment) if started else []
    if changed:
        raise ValueError(
            f"workdir {workdir} holds a run with other settings ({'; '.join(changed)}), "
            "expected the same settings or another --workdir"
        )


def tell_of_left_out_images(
    started: Experiment, experiment: Experiment, train_set: CocoDataset, val_set: CocoDataset
) -> None:
    """Logs what it means that broken records are left out from now on, or no longer.

    Args:
        started: what the run began with.
        experiment: what it goes on with.
        train_set: images to train on.
        val_set: images to evaluate on.
    """
    before, now = started.data.skip_broken, experiment.data.skip_broken
    if before == now:
        return
    missing = train_set.images_in_file - len(train_set.examples)
    if not missing:
        logging.info(
            "data.skip_broken is %s now and was not before: all training images are there, so that the "
            "batches stay those of the run",
            str(now).lower(),
        )
    else:
        logging.warning(
            "data.skip_broken is %s now and was not before: %d training images are left out. The weights so "
            "far stay; from here on the batches hold other images than in a run that had not stopped",
            str(now).lower(),
            missing,
        )
    unmeasured = val_set.images_in_file - len(val_set.examples)
    if unmeasured:
        logging.warning(
            "AP from here on is that of %d validation images, without %d that are left out; the best weights "
            "are judged by it and by the AP before",
            len(val_set.examples),
            unmeasured,
        )
