"""The detector that a training starts with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import logging

from .resumption import has_checkpoint

if TYPE_CHECKING:
    from cascade_tf.experiment.config import Experiment


def build_for_training(experiment: Experiment, workdir: Path) -> Any:
    """Returns a detector with the weights that a run begins with, where it has not begun.

    Args:
        experiment: resolved.
        workdir: the run's folder.
    """
    from cascade_tf.experiment.config import build_detector
    from cascade_tf.experiment.first_step import FOLDER
    from cascade_tf.experiment.weights_file import load_into
    from cascade_tf.experiment.weights_source import find_backbone_weights, find_weights, start_from
    from cascade_tf.training.loop import LAST_WEIGHTS

    detector = build_detector(experiment)
    if has_checkpoint(workdir):
        return detector
    if experiment.first_step:
        load_into(detector, workdir / FOLDER / LAST_WEIGHTS, f"experiment {experiment.name!r}")
    elif experiment.weights:
        logging.info("%s", start_from(detector, find_weights(experiment.weights)))
    elif experiment.backbone_weights:
        from cascade_tf.weights.importing import load_backbone

        report = load_backbone(detector, find_backbone_weights(experiment.backbone_weights))
        logging.info("%s", report.to_text())
    else:
        _warn_of_frozen_noise(detector)
    return detector


def _warn_of_frozen_noise(detector: Any) -> None:
    """A backbone that starts at random learns little if parts of it, or its statistics, stay as they are."""
    backbone, remedies = detector.backbone, []
    for name, part in (("backbone", backbone), ("neck", detector.neck)):
        if getattr(part, "norm", None) == "frozen":
            remedies.append(f"--set model.{name}.norm=group")
    if getattr(backbone, "freeze_at", 0) > 0:
        remedies.append("--set model.backbone.freeze_at=0")
    if remedies:
        logging.warning(
            "the backbone starts at random and parts of it are frozen; expected --backbone_weights, or %s to "
            "train it from nothing",
            " ".join(remedies),
        )


def experiment_of_first_step(weights: str) -> Experiment | None:
    """The experiment whose first step has made these weights; None where they are of something else.

    Args:
        weights: what ``--weights`` names.
    """
    from cascade_tf.experiment.config import EXPERIMENT_FILE, read_experiment
    from cascade_tf.experiment.first_step import FOLDER

    folder = Path(weights)
    if folder.name != FOLDER or not (folder.parent / EXPERIMENT_FILE).is_file():
        return None
    return read_experiment(folder.parent)
