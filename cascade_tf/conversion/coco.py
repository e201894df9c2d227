"""COCO's layout: ``instances_<split>.json`` and ``images``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cascade_tf.conversion.annotated import AnnotatedImage
from cascade_tf.conversion.pictures import place_picture
from cascade_tf.data.dataset import CocoDataset
from cascade_tf.data.layouts import UNLABELLED
from cascade_tf.files import write_atomically

_PICTURES = "images"


def write_coco(
    folder: Path,
    splits: Mapping[str, CocoDataset],
    images: Mapping[str, Sequence[AnnotatedImage]],
    pictures: str,
    progress: Callable[[int], object],
) -> list[str]:
    """Writes an annotation file for each split, and one of images alone for one without labels.

    Records keep all that the data set says of them, under its own names.

    Args:
        folder: where to.
        splits: by their names.
        images: of each split.
        pictures: as in `place_picture`. With "none" the files name pictures as the data set does.
        progress: called with the number of images that were written since its last call.

    Returns:
        Nothing: all is written.
    """
    # Splits may have folders of their own, in which names are the same.
    several = len({dataset.image_dir for dataset in splits.values()}) > 1
    for name, dataset in splits.items():
        prefix = f"{name}/" if several and pictures != "none" else ""
        for one in images[name]:
            place_picture(one.path, folder / _PICTURES / (prefix + one.name), pictures)
            progress(1)
        content = {
            "images": [{**one.image, "file_name": prefix + one.name} for one in images[name]],
            "annotations": [record for one in images[name] for record in one.objects],
            "categories": [{"id": category.id, "name": category.name} for category in dataset.categories],
        }
        if not dataset.labelled:
            del content["annotations"]
        kind = "instances_" if dataset.labelled else UNLABELLED
        write_atomically(folder / f"{kind}{name}.json", json.dumps(content) + "\n")
    return []
