"""Makes a data set of what a source gives: checks every record, finds the pictures, says what is odd.

Every complaint names the file, the record and the field. COCO boxes are ``[x, y, width, height]`` in
continuous pixels; ``data/annotations/objects.py`` is the one file that converts them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cascade_tf.coco_format.records import Noted
from cascade_tf.data.annotations.broken import BrokenRecords
from cascade_tf.data.annotations.categories import read_categories
from cascade_tf.data.annotations.files import Choice
from cascade_tf.data.annotations.images import read_images
from cascade_tf.data.annotations.masks import Masks
from cascade_tf.data.annotations.objects import ObjectReader
from cascade_tf.data.annotations.plausible import CROWD_REMEDY, find_nonsense, remarks
from cascade_tf.data.class_matching import only_classes
from cascade_tf.data.dataset import CocoDataset
from cascade_tf.data.sources.source import Source
from cascade_tf.wording import count_of


def assemble(
    source: Source,
    *,
    only: Choice | None,
    classes: Sequence[str],
    skip_broken: bool,
    segmentations: bool,
    crowds_as_objects: bool,
    learn_difficult: bool,
    upright: bool,
) -> CocoDataset:
    """Reads a source.

    Args:
        source: gives the records.
        only: as in `cascade_tf.data.coco.read_coco`, with the five behind `classes`.
        classes: names of the classes that stay; empty: all.
        skip_broken: see there.
        segmentations: see there.
        crowds_as_objects: see there.
        learn_difficult: see there.
        upright: see there.

    Raises:
        FileNotFoundError: a file or folder does not exist.
        ValueError: a record or the whole is not as expected, see `cascade_tf.data.coco.read_coco`.
    """
    report, noted = BrokenRecords(source.name, skip_broken), Noted()
    content = source.content(report)
    folder = source.image_dir(content["images"])
    files = source.find_pictures(content["images"], folder, only)
    masks = Masks(report) if segmentations else None
    categories = read_categories(content["categories"], content["annotations"], source.name, noted)
    images, unusable = read_images(content["images"], files, report, noted, upright)
    numbers = {category.id: index for index, category in enumerate(categories.classes, start=1)}
    objects = ObjectReader(
        numbers,
        images,
        unusable,
        report,
        noted,
        masks=masks,
        crowds_as_objects=crowds_as_objects,
        learn_difficult=learn_difficult,
    )
    for position, record in enumerate(content["annotations"]):
        objects.read(position, record)
    report.finish()
    usable = [image for image in images.values() if image.complete]
    dataset = CocoDataset(
        categories.classes,
        tuple(image.finish(segmentations) for image in usable),
        tuple(report.dropped),
        source.name,
        tuple(sorted(position for image in usable for position in image.positions)),
        frozenset(objects.ignored.union(masks.ignored if masks else ())),
        frozenset(objects.unclassed),
        placeholders=categories.placeholders,
        crowds_as_objects=crowds_as_objects,
        images_in_file=len(content["images"]) - len(files.left_out),
        image_dir=str(folder),
        source=source,
    )
    boxes, marked = objects.boxes, 0 if crowds_as_objects else objects.crowds
    nonsense = _without_images(dataset) or find_nonsense(boxes)
    if nonsense:
        raise ValueError(f"{source.name}: {nonsense}")
    if masks is not None:
        masks.finish()
    has_ignored = any(example.ignored.any() for example in dataset.examples)
    if objects.count and not (dataset.num_objects or has_ignored):
        raise ValueError(f"{source.name}: {_without_objects(dataset, objects.count, marked)}")
    if classes:
        dataset = only_classes(dataset, classes)
    if not (source.sized and source.labelled):
        del noted["picture"]
    lines = [
        *noted.lines(),
        categories.remark(),
        *(remarks(boxes, dataset.examples, dataset.categories, marked) if source.labelled else ()),
    ]
    name = Path(source.name).name
    notes = [files.note, *(f"{name}: {line}" for line in lines if line)]
    return replace(
        dataset,
        dropped=tuple(report.dropped),
        broken=tuple(report.left_out),
        notes=(*(note for note in notes if note), *dataset.notes),
    )


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
    records = count_of(len(dataset.dropped), "record was", "records were")
    return f"; {records} dropped, the first: {dataset.dropped[0]}"
