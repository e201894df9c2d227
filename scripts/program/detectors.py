"""The detector that the flags name."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Any

from absl import logging

from .bar import waiting
from .experiments import model_changes, trained_experiment, with_settings_of_use
from .flags import Flags

if TYPE_CHECKING:
    from cascade_tf.experiment.config import Experiment


def open_detector(
    options: Flags, precision: str | None = None, *, needs_heads: bool = True
) -> tuple[Any, Experiment]:
    """Returns the detector of ``--workdir`` or ``--weights``, and its experiment with ``--set`` applied.

    It computes in ``--precision``, whatever it was trained in. A warning tells where its heads are not
    trained.

    Args:
        options: the program's flags.
        precision: in place of the flag, for a program that has none.
        needs_heads: whether the heads are made use of.

    Raises:
        ValueError: both flags or none are given, or the detector cannot be loaded.
        FileNotFoundError: there is nothing to load.
    """
    from cascade_tf.training.precision import dtype_policy

    policy = _policy(precision or options.values.precision)
    if not options.values.weights:
        experiment = trained_experiment(options)
        with dtype_policy(policy), waiting("loading the detector"):
            detector = load_run(experiment, options.values.workdir)
        if needs_heads and not detector.heads_learn:
            logging.warning(
                "%s is a first step of training, which learns the proposals alone: "
                "the heads are as they began",
                options.values.workdir,
            )
        return detector, experiment
    from cascade_tf.experiment.weights_source import adjustable_model, find_weights, load_weights

    _refuse_both(options)
    changes = model_changes(options, lambda: adjustable_model(options.values.weights))
    with dtype_policy(policy), waiting("loading the detector"):
        detector, experiment = load_weights(find_weights(options.values.weights), changes)
    return detector, with_settings_of_use(experiment, options)


def open_beside(options: Flags, workdir: str, experiment: Experiment) -> tuple[Any, Experiment]:
    """Returns the detector of another run, and its experiment with the data set of a first one's.

    It computes in ``--precision``, and ``--set`` does not change it.

    Args:
        options: the program's flags.
        workdir: the other run.
        experiment: the first one's.

    Raises:
        ValueError: the detector cannot be loaded.
        FileNotFoundError: there is nothing to load.
    """
    from cascade_tf.experiment import config, loading
    from cascade_tf.training.precision import dtype_policy

    other = config.read_experiment(workdir)
    data = dataclasses.replace(other.data, dataset_dir=experiment.data.dataset_dir)
    other = dataclasses.replace(other, data=data)
    with dtype_policy(_policy(options.values.precision)), waiting("loading the detector"):
        return loading.load_run(workdir, other), other


def _policy(precision: str) -> str:
    return "float32" if precision == "float32" else "mixed_bfloat16"


def _refuse_both(options: Flags) -> None:
    if options.values.workdir:
        raise ValueError("got both --weights and --workdir, expected one of them")


def load_run(experiment: Experiment, workdir: str | os.PathLike) -> Any:
    """Returns the detector that a run has trained, built from its experiment as it was adjusted here.

    Raises:
        FileNotFoundError: the run has no weights.
        ValueError: the weights do not fit.
    """
    from cascade_tf.experiment import config, loading

    trained = config.read_experiment(workdir)
    changed = [line for line in config.differences(trained, experiment) if line.startswith("model.")]
    # Keras would load a smaller network's weights from a larger one's file without a word.
    if changed and _shapes(experiment) != _shapes(trained):
        raise ValueError(f"workdir {workdir} has trained another network: {'; '.join(changed)}")
    return loading.load_run(workdir, experiment)


def _shapes(experiment: Experiment) -> list[tuple[int, ...]]:
    from cascade_tf.experiment.config import build_detector

    return [tuple(variable.shape) for variable in build_detector(experiment).weights]
