"""The layouts that data sets can be written in."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cascade_tf.conversion.annotated import annotated_images
from cascade_tf.conversion.coco import write_coco
from cascade_tf.conversion.kitti import write_kitti
from cascade_tf.conversion.voc import write_voc
from cascade_tf.conversion.yolo import write_yolo
from cascade_tf.data.class_matching import match_classes
from cascade_tf.data.dataset import CocoDataset
from cascade_tf.data.examples import Category

Write = Callable[..., list[str]]

LAYOUTS: Mapping[str, Write] = {
    "coco": write_coco,
    "voc": write_voc,
    "yolo": write_yolo,
    "kitti": write_kitti,
}
"""Each takes a folder, the splits, their images, how pictures come there and a count of the progress."""


def convert(
    splits: Mapping[str, CocoDataset],
    folder: str | os.PathLike[str],
    layout: str,
    *,
    pictures: str = "link",
    progress: Callable[[int], object] = lambda count: None,
) -> list[str]:
    """Writes a data set in another layout.

    The classes are those of all labelled splits, matched by their names, with the ids of the first.

    Args:
        splits: the data sets by the names of their splits.
        folder: where to; files of an earlier conversion there are replaced.
        layout: one of ``LAYOUTS``.
        pictures: "link" gives the folder symbolic links to the pictures, "copy" copies, "none" leaves them
            where they are.
        progress: called with the number of images that were written since its last call.

    Returns:
        A line for each thing that the layout cannot say, and that is lost.

    Raises:
        ValueError: there is no such layout, the folder is one of the data set, the layout cannot hold the
            classes, or pictures cannot be put there.
        OSError: the folder cannot be written to.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"layout: got {layout!r}, expected one of {', '.join(LAYOUTS)}")
    target = Path(folder)
    for dataset in splits.values():
        _refuse_own_folder(target, dataset)
    classes = _all_classes(list(splits.values()))
    names, ids = [one.name for one in classes], [one.id for one in classes]
    matched = {name: match_classes(dataset, names, ids) for name, dataset in splits.items()}
    images = {name: annotated_images(dataset) for name, dataset in matched.items()}
    return LAYOUTS[layout](target, matched, images, pictures, progress)


def _refuse_own_folder(target: Path, dataset: CocoDataset) -> None:
    """Files with the same names may be the data set itself."""
    annotations = Path(dataset.annotation_file)
    places = annotations if annotations.is_dir() else annotations.parent, Path(dataset.image_dir)
    inside = any(target.resolve().is_relative_to(place.resolve()) for place in places)
    if inside and target.is_dir() and any(target.iterdir()):
        raise ValueError(f"{target}: is a folder of the data set itself, expected another one to write to")


def _all_classes(datasets: Sequence[CocoDataset]) -> list[Category]:
    """The classes of all data sets by their names; those that only later ones have get ids that are free."""
    found: dict[str, Category] = {}
    for dataset in sorted(datasets, key=lambda one: not one.labelled):
        for category in dataset.categories:
            taken = {one.id for one in found.values()}
            if category.name not in found and (dataset.labelled or not taken):
                number = category.id if category.id not in taken else max(taken) + 1
                found[category.name] = Category(number, category.name)
    return sorted(found.values(), key=lambda one: one.id)
