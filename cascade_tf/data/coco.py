"""Reader of annotation files in COCO's "instances" format.

Every complaint names the annotation file, the record and the field. COCO boxes are ``[x, y, width, height]``
in continuous pixels; ``data/annotations/objects.py`` is the one file that converts them.
"""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from pathlib import Path

from cascade_tf.coco_format.file import load_annotation_file
from cascade_tf.coco_format.records import Noted
from cascade_tf.data.annotations.broken import BrokenRecords
from cascade_tf.data.annotations.categories import read_categories
from cascade_tf.data.annotations.files import Choice, find_image_files
from cascade_tf.data.annotations.images import read_images
from cascade_tf.data.annotations.masks import Masks
from cascade_tf.data.annotations.objects import ObjectReader
from cascade_tf.data.annotations.plausible import CROWD_REMEDY, find_nonsense, remarks
from cascade_tf.data.dataset import CocoDataset
from cascade_tf.data.examples import Category
from cascade_tf.data.layouts import describe_layout, find_image_dir, find_split
from cascade_tf.data.splitting import SIDES, Splitting

__all__ = ["CocoDataset", "read_classes", "read_coco", "read_dataset_dir"]


def read_dataset_dir(
    dataset_dir: str | os.PathLike[str],
    split: str,
    *,
    splitting: Splitting | None = None,
    skip_broken: bool = False,
    segmentations: bool = False,
    crowds_as_objects: bool = False,
    upright: bool = True,
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
        crowds_as_objects: as in `read_coco`.
        upright: as in `read_coco`.

    Raises:
        FileNotFoundError: there is no such folder, or no such split in it.
        ValueError: there are several annotation files for the split, or as in `read_coco`.
    """
    found = find_split(dataset_dir, split, splitting=splitting is not None)
    only = partial(splitting.of_split, split) if splitting is not None and found.whole else None
    dataset = read_coco(
        found.annotation_file,
        only=only,
        skip_broken=skip_broken,
        segmentations=segmentations,
        crowds_as_objects=crowds_as_objects,
        upright=upright,
    )
    notes = [describe_layout(dataset_dir, found.annotation_file, Path(dataset.image_dir))]
    if splitting is not None and split in SIDES:
        notes.append(splitting.remark(split, dataset.images_in_file) if found.whole else splitting.UNUSED)
    return replace(dataset, notes=(*(note for note in notes if note), *dataset.notes))


def read_coco(
    annotation_file: str | os.PathLike[str],
    image_dir: str | os.PathLike[str] | None = None,
    *,
    only: Choice | None = None,
    skip_broken: bool = False,
    segmentations: bool = False,
    crowds_as_objects: bool = False,
    upright: bool = True,
) -> CocoDataset:
    """Reads an annotation file and checks every record.

    What tools write in another form is read where it has one meaning, see `cascade_tf.coco_format`, and told
    once in ``notes``, as is what is legal but rarely meant. Boxes that are empty or lie outside their image
    are dropped and reported, whatever ``skip_broken`` says; boxes that stick out are clipped. Image files
    must exist; one is opened only where its size is not given.

    Args:
        annotation_file: a JSON file with ``images``, ``annotations`` and ``categories``.
        image_dir: the folder to which each ``file_name`` is relative; None: it is found, beside the
            annotation file or where labelling tools put it. Names of other systems are understood where one
            picture of the folder fits, see `cascade_tf.data.file_names`; ``notes`` say how many.
        only: chooses the images that are read, by their files' paths below the image folder; None: all.
        skip_broken: leave out broken images and annotations and list them in ``dropped``, instead of stopping
            with a list of them at the end. The area of a broken object becomes a crowd, and an image with an
            object whose box is not known is left out: it would be learnt as background. A broken file or a
            broken category always stops.
        segmentations: read the masks too, for a detector that learns them; without it nothing looks at them.
            Each object needs one then, crowds do not. With ``skip_broken`` an object without a usable mask
            becomes a crowd, which is neither learnt nor punished: left out, it would be learnt as background.
        crowds_as_objects: read ``iscrowd: 1`` as a single object, for tools that mark each brush mask so.
        upright: a size that is not given is that of the picture as its EXIF orientation turns it.

    Raises:
        FileNotFoundError: the annotation file, the image folder or an image file does not exist.
        ValueError: a record or the whole file is not as expected, for example where boxes are fractions or
            corners, or no annotation is an object; with ``segmentations`` also if objects have no masks.
    """
    if image_dir is not None and not Path(image_dir).is_dir():
        raise FileNotFoundError(f"{image_dir}: no such image folder")
    content = load_annotation_file(annotation_file)
    folder = find_image_dir(annotation_file, content["images"]) if image_dir is None else Path(image_dir)
    files = find_image_files(content["images"], folder, only)
    report, noted = BrokenRecords(annotation_file, skip_broken), Noted()
    masks = Masks(report) if segmentations else None
    categories = read_categories(content["categories"], content["annotations"], str(annotation_file), noted)
    images, unusable = read_images(content["images"], files, report, noted, upright)
    classes = {category.id: index for index, category in enumerate(categories.classes, start=1)}
    objects = ObjectReader(
        classes, images, unusable, report, noted, masks=masks, crowds_as_objects=crowds_as_objects
    )
    for position, record in enumerate(content["annotations"]):
        objects.read(position, record)
    report.finish()
    usable = [image for image in images.values() if image.complete]
    dataset = CocoDataset(
        categories.classes,
        tuple(image.finish(segmentations) for image in usable),
        tuple(report.dropped),
        str(annotation_file),
        tuple(sorted(position for image in usable for position in image.positions)),
        frozenset(objects.ignored.union(masks.ignored if masks else ())),
        frozenset(objects.unclassed),
        placeholders=categories.placeholders,
        crowds_as_objects=crowds_as_objects,
        images_in_file=len(content["images"]) - len(files.left_out),
        image_dir=str(folder),
    )
    boxes, marked = objects.boxes, 0 if crowds_as_objects else objects.crowds
    nonsense = _without_images(dataset) or find_nonsense(boxes)
    if nonsense:
        raise ValueError(f"{annotation_file}: {nonsense}")
    if masks is not None:
        masks.finish()
    if objects.count and not dataset.num_objects:
        raise ValueError(f"{annotation_file}: {_without_objects(dataset, objects.count, marked)}")
    lines = [
        *noted.lines(),
        categories.remark(),
        *remarks(boxes, dataset.examples, dataset.categories, marked),
    ]
    name = Path(annotation_file).name
    notes = [files.note, *(f"{name}: {line}" for line in lines if line)]
    return replace(dataset, dropped=tuple(report.dropped), notes=tuple(note for note in notes if note))


def read_classes(annotation_file: str | os.PathLike[str]) -> tuple[Category, ...]:
    """Returns the classes of an annotation file by ascending id; its other records are not checked.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no annotation file, or a category is broken.
    """
    content = load_annotation_file(annotation_file)
    return read_categories(
        content["categories"], content["annotations"], str(annotation_file), Noted()
    ).classes


def _without_images(dataset: CocoDataset) -> str | None:
    if dataset.examples:
        return None
    return f"no usable image, expected at least one in 'images'{_dropped(dataset)}"


def _without_objects(dataset: CocoDataset, count: int, marked_crowds: int) -> str:
    if marked_crowds and marked_crowds == len(dataset.kept) - len(dataset.unclassed):
        return f"all {marked_crowds} objects are crowds, {CROWD_REMEDY}"
    return f"none of {count} annotations is left as an object, expected at least one{_dropped(dataset)}"


def _dropped(dataset: CocoDataset) -> str:
    if not dataset.dropped:
        return ""
    return f"; {len(dataset.dropped)} records were dropped, the first: {dataset.dropped[0]}"
