"""The settings of a run, from a file or a run's folder and the flags."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from .flags import Flags

if TYPE_CHECKING:
    from cascade_tf.config import Experiment


def configured_experiment(options: Flags) -> Experiment:
    """Returns the experiment of ``--config`` with ``--set`` and ``--dataset_dir`` applied."""
    from cascade_tf.config import load_config

    return _adjusted(load_config(options.need("config")), options)


def trained_experiment(options: Flags) -> Experiment:
    """Returns the experiment that trained ``--workdir``, with ``--set`` and ``--dataset_dir`` applied."""
    from cascade_tf.config import read_experiment

    return _adjusted(read_experiment(options.need("workdir")), options)


def model_changes(options: Flags) -> tuple[dict[str, Any], Experiment]:
    """Returns the settings of the model in ``--set``, and a blank experiment with the other settings."""
    from cascade_tf.config import Experiment
    from cascade_tf.models import cascade_rcnn_fpn

    blank = _adjusted(Experiment(name="", model=partial(cascade_rcnn_fpn)), options)
    return dict(blank.model.keywords), blank


def has_masks(experiment: Experiment) -> bool:
    """Whether the experiment's detector has mask heads, which no other setting can give it."""
    from cascade_tf.config import settings

    return bool(settings(experiment).get("model.mask_stages"))


def _adjusted(experiment: Experiment, options: Flags) -> Experiment:
    from cascade_tf.overrides import apply_overrides

    folder = options.values["dataset_dir"].value if "dataset_dir" in options.values else None
    extra = [f"data.dataset_dir={folder}"] if folder else []
    return apply_overrides(experiment, [*options.overrides, *extra])
