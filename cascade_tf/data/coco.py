"""Reader of annotation files in COCO's "instances" format.

Every complaint names the annotation file, the record and the field. COCO boxes are ``[x, y, width, height]``
in continuous pixels; ``data/annotations/objects.py`` is the one file that converts them.
"""

from __future__ import annotations

import os
from pathlib import Path

from cascade_tf.annotation_files import load_annotation_file
from cascade_tf.data.annotations.broken import BrokenRecords
from cascade_tf.data.annotations.categories import read_categories
from cascade_tf.data.annotations.images import read_images
from cascade_tf.data.annotations.masks import Masks
from cascade_tf.data.annotations.objects import read_annotation
from cascade_tf.data.dataset import CocoDataset

__all__ = ["CocoDataset", "read_coco", "read_dataset_dir"]


def read_dataset_dir(
    dataset_dir: str | os.PathLike[str], split: str, *, skip_broken: bool = False, segmentations: bool = False
) -> CocoDataset:
    """Reads one split of a folder that holds ``images/`` and ``instances_<split>.json``.

    Args:
        dataset_dir: the folder.
        split: "train" or "val", or any other split whose annotation file exists.
        skip_broken: as in `read_coco`.
        segmentations: as in `read_coco`.

    Raises:
        FileNotFoundError: the folder, its ``images/`` or its annotation file is missing.
        ValueError: as in `read_coco`.
    """
    folder = Path(dataset_dir)
    annotation_file = folder / f"instances_{split}.json"
    if not (folder / "images").is_dir() or not annotation_file.is_file():
        missing = "no such folder"
        if folder.is_dir():
            missing = f"no {annotation_file.name}" if (folder / "images").is_dir() else "no folder images/"
        raise FileNotFoundError(
            f"{folder}: {missing}; expected a data set folder with images/, instances_train.json and "
            "instances_val.json"
        )
    return read_coco(annotation_file, folder / "images", skip_broken=skip_broken, segmentations=segmentations)


def read_coco(
    annotation_file: str | os.PathLike[str],
    image_dir: str | os.PathLike[str],
    *,
    skip_broken: bool = False,
    segmentations: bool = False,
) -> CocoDataset:
    """Reads an annotation file and checks every record.

    Boxes that are empty or lie outside their image are dropped and reported, whatever ``skip_broken`` says;
    boxes that stick out are clipped. Image files must exist; one is opened only where its size is not given.

    Args:
        annotation_file: a JSON file with ``images``, ``annotations`` and ``categories``.
        image_dir: the folder to which each ``file_name`` is relative.
        skip_broken: leave out broken images and annotations and list them in ``dropped``, instead of stopping
            with a list of them at the end. A broken file or a broken category always stops.
        segmentations: read the masks too, for a detector that learns them; without it nothing looks at them.
            Each object needs one then, crowds do not. With ``skip_broken`` an object without a usable mask
            becomes a crowd, which is neither learnt nor punished: left out, it would be learnt as background.

    Raises:
        FileNotFoundError: the annotation file, the image folder or an image file does not exist.
        ValueError: a record or the whole file is not as expected; with ``segmentations`` also if objects have
            no masks.
    """
    if not Path(image_dir).is_dir():
        raise FileNotFoundError(f"{image_dir}: no such image folder")
    content = load_annotation_file(annotation_file)
    report = BrokenRecords(annotation_file, skip_broken)
    masks = Masks(report) if segmentations else None
    categories = read_categories(content["categories"], str(annotation_file))
    objects, unusable = read_images(content["images"], Path(image_dir), report)
    classes = {category.id: index for index, category in enumerate(categories, start=1)}
    kept = tuple(
        position
        for position, record in enumerate(content["annotations"])
        if read_annotation(position, record, classes, objects, unusable, report, masks)
    )
    report.finish()
    examples = tuple(image.finish(segmentations) for image in objects.values())
    if not examples:
        raise ValueError(f"{annotation_file}: no usable image, expected at least one in 'images'")
    if masks is not None:
        masks.finish()
    ignored = frozenset() if masks is None else frozenset(masks.ignored)
    return CocoDataset(
        categories,
        examples,
        tuple(report.dropped),
        str(annotation_file),
        kept,
        ignored,
        images_in_file=len(content["images"]),
    )
