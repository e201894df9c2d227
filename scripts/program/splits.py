"""The data set that the flags name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from absl import logging

from .bar import progress_bar, waiting
from .experiments import has_masks, takes_proposals

if TYPE_CHECKING:
    from cascade_tf.data.coco import CocoDataset
    from cascade_tf.experiment.config import Experiment
    from cascade_tf.protocols.protocol import Protocol


def read_split(experiment: Experiment, split: str, *, segmentations: bool = False) -> CocoDataset:
    """Returns one split of the experiment's data set, in the experiment's classes if it has some already.

    What was dropped from it, and what is remarkable, is logged.

    The annotation file is read and then, as ``data.check_images`` says, the header of each picture.

    Args:
        experiment: names the folder.
        split: the name of the split.
        segmentations: read the objects' masks too, each of which must be usable.

    Raises:
        ValueError: there is no data set, it is broken, has objects of other classes than the experiment, or
            lacks the proposals that the model takes.
    """
    return _checked(experiment, split, read_annotations(experiment, split, segmentations=segmentations))


def read_split_to_measure(experiment: Experiment, split: str) -> CocoDataset:
    """Returns a split to evaluate on, with its masks where the detector has mask heads and they are usable.

    Without usable masks boxes can be measured all the same; what is wrong with the masks is logged.

    Raises:
        ValueError: as in ``read_split``, for all but masks.
    """
    if not has_masks(experiment):
        return read_split(experiment, split)
    try:
        dataset = read_annotations(experiment, split, segmentations=True)
    except ValueError as error:
        if "segmentation" not in str(error):
            raise
        logging.warning("masks will not be measured: %s", error)
        return read_split(experiment, split)
    return _checked(experiment, split, dataset)


def tell_what_cannot_be_measured(train_set: CocoDataset, val_set: CocoDataset) -> None:
    """Logs what numbers of a split will not tell, of images that are learnt from or have no objects."""
    known = {example.path for example in train_set.examples}
    shared = sum(example.path in known for example in val_set.examples)
    if shared:
        logging.warning(
            "%d of the %d images to measure on are images to train on: their numbers do not tell how the "
            "detector does on others",
            shared,
            len(val_set.examples),
        )
    if not val_set.num_objects:
        logging.warning(
            "%s: has no objects: AP cannot be measured, and best.weights.h5 will be the newest weights",
            val_set.annotation_file,
        )


def tell_of_learnt_split(experiment: Experiment, split: str) -> None:
    """Logs that a detector has learnt from the images that it is measured on.

    Args:
        experiment: what it was trained as.
        split: what it is measured on.
    """
    learnt = experiment.data.train_split
    if split == learnt or (learnt == "trainval" and split in ("train", "val")):
        logging.warning(
            "the detector has learnt from %s: numbers of %s do not tell how it does on other images",
            learnt,
            split,
        )


def chosen_protocol(experiment: Experiment, dataset: CocoDataset) -> Protocol:
    """Returns the protocol that the settings of the evaluation name, for a split.

    Raises:
        ValueError: the data set lacks what the protocol needs.
        FileNotFoundError: likewise.
    """
    from cascade_tf.protocols.choice import choose_protocol

    settings = experiment.evaluation
    return choose_protocol(
        dataset,
        settings.protocol,
        ious=settings.ious,
        kitti_rule=settings.kitti_rule,
        ground_truth=settings.ground_truth,
    )


def read_annotations(experiment: Experiment, split: str, *, segmentations: bool = False) -> CocoDataset:
    """Returns one split as `read_split` does, without a look at its pictures, and says nothing of it.

    Args:
        experiment: names the folder.
        split: the name of the split.
        segmentations: as in `read_split`.

    Raises:
        ValueError: as in `read_split`.
    """
    from cascade_tf.data.class_matching import as_one_class, match_classes
    from cascade_tf.data.coco import read_dataset_dir

    folder = experiment.data.dataset_dir
    if not folder:
        raise ValueError("flag --dataset_dir is missing, expected the folder of a data set")
    with waiting(f"reading the annotations of {split}"):
        dataset = read_dataset_dir(
            folder,
            split,
            layout=experiment.data.layout,
            class_attribute=experiment.data.class_attribute,
            classes=experiment.data.classes,
            splitting=experiment.data.splitting(),
            skip_broken=experiment.data.skip_broken,
            segmentations=segmentations,
            crowds_as_objects=experiment.data.crowds_as_objects,
            learn_difficult=experiment.data.difficult == "learn",
            upright=experiment.data.upright,
        )
    if experiment.data.one_class:
        dataset = as_one_class(dataset)
    if not experiment.class_names:
        return dataset
    try:
        return match_classes(dataset, experiment.class_names, experiment.category_ids)
    except ValueError as error:
        raise ValueError(f"{dataset.annotation_file}: {error}") from None


def _checked(experiment: Experiment, split: str, dataset: CocoDataset) -> CocoDataset:
    from cascade_tf.data.annotations.broken import SHOWN_RECORDS
    from cascade_tf.data.image_check import check_images

    data = experiment.data
    with progress_bar(len(dataset.examples), f"checking the pictures of {split}", "image") as bar:
        dataset = check_images(
            dataset,
            data.check_images,
            upright=data.upright,
            skip_broken=data.skip_broken,
            progress=bar.update,
        )
    for line in dataset.notes:
        logging.warning("%s", line)
    for line in dataset.dropped[:SHOWN_RECORDS]:
        logging.warning("%s", line)
    if len(dataset.dropped) > SHOWN_RECORDS:
        logging.warning("... and %d more records dropped", len(dataset.dropped) - SHOWN_RECORDS)
    logging.info("%s: %s", split, dataset.summary())
    return _with_proposals(experiment, split, dataset)


def _with_proposals(experiment: Experiment, split: str, dataset: CocoDataset) -> CocoDataset:
    """The data set with the proposals that the model takes from a file, if it does."""
    of_split = "proposals" if split == experiment.data.train_split else "val_proposals"
    given = of_split if getattr(experiment.data, of_split) else "proposals"
    file = getattr(experiment.data, given)
    if not takes_proposals(experiment):
        if file:
            raise ValueError(
                f"got data.{given}={file}, expected none: the model makes its proposals itself, "
                "--set model.proposals=GivenProposals lets it take them from a file"
            )
        return dataset
    if not file:
        raise ValueError(
            f"the model takes its proposals from a file, expected --set data.{of_split}=FILE for the images "
            f"of {split}, as propose.py writes it"
        )
    from cascade_tf.data.proposals import with_proposals
    from cascade_tf.proposal_files import read_proposals

    with waiting(f"reading the proposals of {split}"):
        return with_proposals(dataset, read_proposals(file))
