"""The settings of a run, from a file or a run's folder and the flags."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .flags import Flags

if TYPE_CHECKING:
    from cascade_tf.experiment.config import Experiment
    from cascade_tf.parts import Part

_MODEL = "model."


def configured_experiment(options: Flags, with_model: bool = True) -> Experiment:
    """Returns the experiment of ``--config`` with ``--set`` and ``--dataset_dir`` applied.

    Args:
        options: the program's flags.
        with_model: False leaves out settings of the model, which then are those of another one.
    """
    from cascade_tf.experiment.config import load_config

    overrides = [text for text in options.overrides if with_model or not _of_model(text)]
    return _adjusted(load_config(options.need("config")), options, overrides)


def trained_experiment(options: Flags) -> Experiment:
    """Returns the experiment that trained ``--workdir``, with ``--set`` and ``--dataset_dir`` applied."""
    from cascade_tf.experiment.config import read_experiment

    return _adjusted(read_experiment(options.need("workdir")), options)


def model_changes(options: Flags, base: Callable[[], Part], *, check_others: bool = True) -> dict[str, Any]:
    """Returns the settings of the model in ``--set``, and refuses what no experiment has among the others.

    Args:
        options: the program's flags.
        base: gives the model whose settings they are; it is asked where there are some.
        check_others: False where the others are applied to an experiment already.
    """
    from cascade_tf.experiment.config import Experiment
    from cascade_tf.experiment.overrides import changes
    from cascade_tf.models import cascade_mask_rcnn_fpn

    blank = Experiment(name="", model=cascade_mask_rcnn_fpn)
    others = [text for text in options.overrides if not (_of_model(text) or _of_first_step(text))]
    if check_others:
        _adjusted(blank, options, others)
    of_model = [text.removeprefix(_MODEL) for text in options.overrides if _of_model(text)]
    return changes(base(), of_model) if of_model else {}


def with_settings_of_use(experiment: Experiment, options: Flags) -> Experiment:
    """Returns a loaded detector's experiment with the settings of the flags that are not the model's.

    Of its own data settings those stay that say what its weights have seen: ``upright``, ``classes`` and
    ``one_class``.
    """
    from cascade_tf.experiment.config import DataConfig, EvaluationConfig

    own = experiment.data
    data = DataConfig(upright=own.upright, classes=own.classes, one_class=own.one_class)
    plain = dataclasses.replace(experiment, data=data, evaluation=EvaluationConfig())
    return _adjusted(plain, options, [text for text in options.overrides if not _of_model(text)])


def has_masks(experiment: Experiment) -> bool:
    """Whether the experiment's detector has mask heads, which no other setting can give it."""
    from cascade_tf.experiment.config import settings

    return settings(experiment).get("model.heads.masks") is not None


def takes_proposals(experiment: Experiment) -> bool:
    """Whether the experiment's detector takes proposals from a file."""
    return proposals_of(experiment.model).takes_given


def proposals_of(model: Part) -> Any:
    """The proposals of a detector, not built: what they are only what a part makes says, be it a function."""
    proposals = model.value("proposals")
    # Of any number of classes, where there has to be one.
    return proposals(**({"num_classes": 1} if proposals.asks_for("num_classes") else {}))


def _of_model(override: str) -> bool:
    return override.startswith(_MODEL)


def _of_first_step(override: str) -> bool:
    return override.partition("=")[0].strip().partition(".")[0] == "first_step"


def _adjusted(experiment: Experiment, options: Flags, overrides: Sequence[str] | None = None) -> Experiment:
    """Applies ``overrides``, or all of the flags, and the folder of the data set."""
    from cascade_tf.experiment.first_step import change_first_step
    from cascade_tf.experiment.overrides import apply_overrides

    given = options.overrides if overrides is None else overrides
    of_first_step = [text for text in given if _of_first_step(text)]
    others = [text for text in given if not _of_first_step(text)]
    folder = options.values["dataset_dir"].value if "dataset_dir" in options.values else None
    extra = [f"data.dataset_dir={folder}"] if folder else []
    return change_first_step(apply_overrides(experiment, [*others, *extra]), of_first_step)
