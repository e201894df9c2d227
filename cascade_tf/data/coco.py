"""Reader of annotation files in COCO's "instances" format.

Every complaint names the annotation file, the record and the field. COCO boxes are ``[x, y, width, height]``
in continuous pixels; ``data/annotations/objects.py`` is the one file that converts them.
"""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from pathlib import Path

from cascade_tf.annotation_files import load_annotation_file
from cascade_tf.data.annotations.broken import BrokenRecords
from cascade_tf.data.annotations.categories import read_categories
from cascade_tf.data.annotations.files import Choice, find_image_files
from cascade_tf.data.annotations.images import read_images
from cascade_tf.data.annotations.masks import Masks
from cascade_tf.data.annotations.objects import read_annotation
from cascade_tf.data.dataset import CocoDataset
from cascade_tf.data.layouts import describe_layout, find_image_dir, find_split
from cascade_tf.data.splitting import Splitting

__all__ = ["CocoDataset", "read_coco", "read_dataset_dir"]


def read_dataset_dir(
    dataset_dir: str | os.PathLike[str],
    split: str,
    *,
    splitting: Splitting | None = None,
    skip_broken: bool = False,
    segmentations: bool = False,
) -> CocoDataset:
    """Reads one split of a data set folder, laid out as labelling tools export it.

    That is ``images/`` with ``instances_<split>.json``, or one of `cascade_tf.data.layouts.LAYOUTS`; what was
    recognised is said in ``notes``.

    Args:
        dataset_dir: the folder, or one annotation file in the place of a folder that holds only that.
        split: "train" or "val", or any other split whose annotation file exists; "all" is a file without a
            split.
        splitting: how a file without a split is split, or one of images to train on where there are none to
            measure on; not used where both exist.
        skip_broken: as in `read_coco`.
        segmentations: as in `read_coco`.

    Raises:
        FileNotFoundError: there is no such folder, or no such split in it.
        ValueError: there are several annotation files for the split, or as in `read_coco`.
    """
    found = find_split(dataset_dir, split, splitting=splitting is not None)
    only = partial(splitting.of_split, split) if splitting is not None and found.whole else None
    dataset = read_coco(
        found.annotation_file, only=only, skip_broken=skip_broken, segmentations=segmentations
    )
    notes = [describe_layout(dataset_dir, found.annotation_file, Path(dataset.image_dir))]
    if splitting is not None:
        notes.append(splitting.remark(split, dataset.images_in_file) if found.whole else splitting.UNUSED)
    return replace(dataset, notes=(*(note for note in notes if note), *dataset.notes))


def read_coco(
    annotation_file: str | os.PathLike[str],
    image_dir: str | os.PathLike[str] | None = None,
    *,
    only: Choice | None = None,
    skip_broken: bool = False,
    segmentations: bool = False,
) -> CocoDataset:
    """Reads an annotation file and checks every record.

    Boxes that are empty or lie outside their image are dropped and reported, whatever ``skip_broken`` says;
    boxes that stick out are clipped. Image files must exist; one is opened only where its size is not given.

    Args:
        annotation_file: a JSON file with ``images``, ``annotations`` and ``categories``.
        image_dir: the folder to which each ``file_name`` is relative; None: it is found, beside the
            annotation file or where labelling tools put it. Names of other systems are understood where one
            picture of the folder fits, see `cascade_tf.data.file_names`; ``notes`` say how many.
        only: chooses the images that are read, by their files' paths below the image folder; None: all.
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
    if image_dir is not None and not Path(image_dir).is_dir():
        raise FileNotFoundError(f"{image_dir}: no such image folder")
    content = load_annotation_file(annotation_file)
    folder = find_image_dir(annotation_file, content["images"]) if image_dir is None else Path(image_dir)
    files = find_image_files(content["images"], folder, only)
    report = BrokenRecords(annotation_file, skip_broken)
    masks = Masks(report) if segmentations else None
    categories = read_categories(content["categories"], str(annotation_file))
    objects, unusable = read_images(content["images"], files, report)
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
        images_in_file=len(content["images"]) - len(files.left_out),
        image_dir=str(folder),
        notes=(files.note,) if files.note else (),
    )
