"""Reads data sets: COCO's annotation files, and the layouts in which others are distributed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from cascade_tf.coco_format.file import load_annotation_file
from cascade_tf.coco_format.records import Noted
from cascade_tf.data.annotations.categories import read_categories
from cascade_tf.data.annotations.files import Choice
from cascade_tf.data.assembly import assemble
from cascade_tf.data.dataset import CocoDataset
from cascade_tf.data.examples import Category
from cascade_tf.data.sources.coco import CocoFile
from cascade_tf.data.sources.layout import find_source
from cascade_tf.data.splitting import SIDES, Splitting

__all__ = ["CocoDataset", "read_classes", "read_coco", "read_dataset_dir"]


def read_dataset_dir(
    dataset_dir: str | os.PathLike[str],
    split: str,
    *,
    layout: str = "auto",
    class_attribute: str | None = None,
    classes: Sequence[str] = (),
    splitting: Splitting | None = None,
    skip_broken: bool = False,
    segmentations: bool = False,
    crowds_as_objects: bool = False,
    learn_difficult: bool = False,
    upright: bool = True,
) -> CocoDataset:
    """Reads one split of a data set folder, laid out as it is distributed or as labelling tools export it.

    That is ``images/`` with ``instances_<split>.json``, one of `cascade_tf.data.layouts.LAYOUTS`, or one of
    `cascade_tf.data.sources.layout.LAYOUTS`; what was recognised is said in ``notes``.

    Args:
        dataset_dir: the folder, or one annotation file in the place of a folder that holds only that.
        split: "train" or "val", or any other split whose annotation file exists; "all" is a file without a
            split. Other layouts have the splits of their own lists besides.
        layout: "auto" recognises the layout; else its name.
        class_attribute: the attribute that names the class, where a layout has several, as VIA's has; None:
            the only one.
        classes: names of the classes to read; objects of others are left out. Empty: all.
        splitting: how a file without a split is split, or one of images to train on where there are none to
            measure on; not used where both exist.
        skip_broken: as in `read_coco`.
        segmentations: as in `read_coco`.
        crowds_as_objects: as in `read_coco`.
        learn_difficult: as in `read_coco`.
        upright: as in `read_coco`.

    Raises:
        FileNotFoundError: there is no such folder, or no such split in it.
        ValueError: there are several annotation files for the split, there is no such layout, there are no
            such classes, or as in `read_coco`.
    """
    source = find_source(dataset_dir, split, layout=layout, splitting=splitting is not None)
    if class_attribute is not None:
        source = source.classed_by(class_attribute)
    source = source.telling_apart(classes)
    only = partial(splitting.of_split, split) if splitting is not None and source.whole else None
    dataset = assemble(
        source,
        only=only,
        classes=classes,
        skip_broken=skip_broken,
        segmentations=segmentations,
        crowds_as_objects=crowds_as_objects,
        learn_difficult=learn_difficult,
        upright=upright,
    )
    notes = [source.note(Path(dataset.image_dir))]
    if splitting is not None and split in SIDES:
        notes.append(splitting.remark(split, dataset.images_in_file) if source.whole else splitting.UNUSED)
    return replace(dataset, notes=(*(note for note in notes if note), *dataset.notes))


def read_coco(
    annotation_file: str | os.PathLike[str],
    image_dir: str | os.PathLike[str] | None = None,
    *,
    only: Choice | None = None,
    skip_broken: bool = False,
    segmentations: bool = False,
    crowds_as_objects: bool = False,
    learn_difficult: bool = False,
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
        learn_difficult: learn objects that the file ignores because they are ``difficult``; they stay ignored
            where detections are measured.
        upright: a size that is not given is that of the picture as its EXIF orientation turns it.

    Raises:
        FileNotFoundError: the annotation file, the image folder or an image file does not exist.
        ValueError: a record or the whole file is not as expected, for example where boxes are fractions or
            corners, or no annotation is an object; with ``segmentations`` also if objects have no masks.
    """
    if image_dir is not None and not Path(image_dir).is_dir():
        raise FileNotFoundError(f"{image_dir}: no such image folder")
    return assemble(
        CocoFile(str(annotation_file), pictures=None if image_dir is None else Path(image_dir)),
        only=only,
        classes=(),
        skip_broken=skip_broken,
        segmentations=segmentations,
        crowds_as_objects=crowds_as_objects,
        learn_difficult=learn_difficult,
        upright=upright,
    )


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
