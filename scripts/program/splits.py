"""The data set that the flags name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from absl import logging

from .bar import waiting
from .experiments import has_masks

if TYPE_CHECKING:
    from cascade_tf.config import Experiment
    from cascade_tf.data.coco import CocoDataset

_SHOWN_LINES = 10


def read_split(experiment: Experiment, split: str, *, segmentations: bool = False) -> CocoDataset:
    """Returns one split of the experiment's data set; what was dropped from it is logged.

    Args:
        experiment: names the folder.
        split: "train" or "val".
        segmentations: read the objects' masks too, each of which must be usable.

    Raises:
        ValueError: there is no data set, it is broken, or has other classes than the experiment.
    """
    from cascade_tf.config import with_classes
    from cascade_tf.data.coco import read_dataset_dir

    folder = experiment.data.dataset_dir
    if not folder:
        raise ValueError("flag --dataset_dir is missing, expected a folder with images/ and instances_*.json")
    skip_broken = experiment.data.skip_broken
    with waiting(f"reading instances_{split}.json"):
        dataset = read_dataset_dir(folder, split, skip_broken=skip_broken, segmentations=segmentations)
    for line in dataset.dropped[:_SHOWN_LINES]:
        logging.warning("%s", line)
    if len(dataset.dropped) > _SHOWN_LINES:
        logging.warning("... and %d more records dropped", len(dataset.dropped) - _SHOWN_LINES)
    logging.info("%s: %s", split, dataset.summary())
    try:
        with_classes(experiment, dataset.class_names, dataset.category_ids)
    except ValueError as error:
        raise ValueError(f"{dataset.annotation_file}: {error}") from None
    return dataset


def read_split_to_measure(experiment: Experiment, split: str) -> CocoDataset:
    """Returns a split to evaluate on, with its masks where the detector has mask heads and they are usable.

    Without usable masks boxes can be measured all the same; what is wrong with the masks is logged.

    Raises:
        ValueError: as in ``read_split``, for all but masks.
    """
    if not has_masks(experiment):
        return read_split(experiment, split)
    try:
        return read_split(experiment, split, segmentations=True)
    except ValueError as error:
        if "segmentation" not in str(error):
            raise
        logging.warning("masks will not be measured: %s", error)
    return read_split(experiment, split)
