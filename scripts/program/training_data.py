"""The two splits of a data set that a run learns from and is measured on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .experiments import has_masks
from .resumption import has_started
from .splits import read_split, read_split_to_measure, tell_what_cannot_be_measured

if TYPE_CHECKING:
    from cascade_tf.data.coco import CocoDataset
    from cascade_tf.experiment.config import Experiment


def read_data(
    experiment: Experiment, workdir: Path | None = None
) -> tuple[Experiment, CocoDataset, CocoDataset]:
    """Reads both splits of the data set.

    Args:
        experiment: without classes.
        workdir: of a run that may go on, with the classes that it began with.

    Returns:
        The experiment resolved to the data set's classes, the images to train on and those to evaluate on.

    Raises:
        ValueError: a split is broken, the images to train on have no objects, the two splits have different
            classes, or masks are to be learnt and there are none.
    """
    from cascade_tf.experiment.config import with_classes

    try:
        train_set = _read_train_split(experiment)
    except (ValueError, FileNotFoundError) as error:
        raise _with_faults_of_val(error, experiment) from None
    if workdir is not None:
        train_set = _with_classes_of_run(train_set, workdir)
    if not train_set.labelled:
        raise ValueError(f"{train_set.annotation_file}: has no labels, expected some to learn from")
    if not train_set.num_objects:
        raise ValueError(f"{train_set.annotation_file}: has no objects, expected some to learn from")
    experiment = with_classes(experiment, train_set.class_names, train_set.category_ids)
    val_set = read_split_to_measure(experiment, "val")
    tell_what_cannot_be_measured(train_set, val_set)
    return experiment, train_set, val_set


def _with_classes_of_run(train_set: CocoDataset, workdir: Path) -> CocoDataset:
    """The data in the classes of a run that goes on, which may count a placeholder for a class."""
    from cascade_tf.data.class_matching import match_classes
    from cascade_tf.experiment.config import read_experiment

    if not train_set.placeholders or not has_started(workdir):
        return train_set
    started = read_experiment(workdir)
    every = sorted((c.id, c.name) for c in (*train_set.categories, *train_set.placeholders))
    if every != list(zip(started.category_ids, started.class_names, strict=True)):
        return train_set
    return match_classes(train_set, started.class_names, started.category_ids)


def _with_faults_of_val(error: Exception, experiment: Experiment) -> Exception:
    """The error of the training split, with that of the validation split if that is broken too."""
    try:
        read_split_to_measure(experiment, "val")
    except (ValueError, FileNotFoundError) as other:
        if str(other) != str(error):
            return ValueError(f"{error}\n  {other}")
    return error


def _read_train_split(experiment: Experiment) -> CocoDataset:
    masks = has_masks(experiment)
    try:
        return read_split(experiment, experiment.data.train_split, segmentations=masks)
    except ValueError as error:
        if not masks or "segmentation" not in str(error):
            raise
        raise ValueError(f"{error}; --set model.heads.masks=none makes a detector of boxes alone") from None
