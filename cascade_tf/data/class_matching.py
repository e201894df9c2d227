"""A data set in some of its classes, or in those of a detector that learnt from another: matched by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cascade_tf.data.annotations.values import first_names
from cascade_tf.data.dataset import CocoDataset
from cascade_tf.data.examples import Category, Example
from cascade_tf.wording import count_of

ONE_CLASS = Category(1, "object")
"""The class of objects whose classes are not told apart."""


def match_classes(
    dataset: CocoDataset, class_names: Sequence[str], category_ids: Sequence[int]
) -> CocoDataset:
    """Returns the data set with the classes and category ids of a detector.

    A split may hold some of the classes alone, or number them otherwise: its objects get the detector's ids,
    which results carry too, and a note says so. Categories without objects may have any name, and images
    without labels have none.

    Args:
        dataset: as it was read.
        class_names: K names of the detector's classes 1..K.
        category_ids: K ids of the same classes.

    Raises:
        ValueError: objects are of a class that the detector does not know, or no class is shared.
    """
    wanted = tuple(map(Category, map(int, category_ids), class_names))
    if dataset.categories == wanted:
        return dataset
    if not dataset.labelled:
        # Nothing in it is of a class.
        return dataclasses.replace(dataset, categories=wanted)
    class_of = {category.name: i for i, category in enumerate(wanted, start=1)}
    foreign = [category for category in dataset.categories if category.name not in class_of]
    used = {number for example in dataset.examples for number in example.classes.tolist()}
    unknown = [
        category
        for number, category in enumerate(dataset.categories, start=1)
        if category in foreign and number in used
    ]
    if unknown or len(foreign) == len(dataset.categories):
        raise ValueError(
            f"the data set has {describe_classes(dataset.categories)}, "
            f"expected those of the experiment: {describe_classes(wanted)}"
        )
    # Class 0 is that of crowds of an unknown class, and foreign classes have no objects.
    table = np.array([0, *(class_of.get(c.name, 0) for c in dataset.categories)], np.int32)
    return dataclasses.replace(
        dataset,
        categories=wanted,
        examples=tuple(_with_classes(example, table) for example in dataset.examples),
        file_ids={c.id: wanted[class_of[c.name] - 1].id for c in dataset.categories if c not in foreign},
        notes=(*dataset.notes, f"{Path(dataset.annotation_file).name}: {_remark(dataset, wanted, foreign)}"),
    )


def only_classes(dataset: CocoDataset, names: Sequence[str]) -> CocoDataset:
    """Returns the data set with some of its classes, in its own order, and without the objects of others.

    Regions in which objects of every class may be stay. A note says how many objects are left out.

    Args:
        dataset: as it was read.
        names: of the classes that stay, at least one.

    Raises:
        ValueError: the data set has no class of that name, or one is named twice.
    """
    known = [category.name for category in dataset.categories]
    more = () if dataset.source is None else dataset.source.more_classes
    for name in names:
        if name not in known:
            every = first_names([*known, *(name for name in more if name not in known)])
            raise ValueError(f"{dataset.annotation_file}: classes: got {name!r}, expected some of {every}")
        if list(names).count(name) > 1:
            raise ValueError(f"{dataset.annotation_file}: classes: got {name!r} twice, expected it once")
    kept = tuple(category for category in dataset.categories if category.name in names)
    others = [category for category in dataset.categories if category.name not in names]
    if not others:
        return dataset
    # Class 0 is that of regions and crowds of an unknown class.
    table = np.array([0, *(1 + kept.index(c) if c in kept else -1 for c in dataset.categories)], np.int32)
    examples = tuple(_of_classes(example, table) for example in dataset.examples)
    fewer = sum(len(example.boxes) for example in dataset.examples) - sum(len(e.boxes) for e in examples)
    note = (
        f"{Path(dataset.annotation_file).name}: {count_of(fewer, 'object', 'objects')} of "
        f"{first_names([c.name for c in others])} {'is' if fewer == 1 else 'are'} left out (data.classes)"
    )
    return dataclasses.replace(
        dataset,
        categories=kept,
        examples=examples,
        left_out=frozenset(category.id for category in others),
        notes=(*dataset.notes, *([note] if fewer else [])),
    )


def as_one_class(dataset: CocoDataset) -> CocoDataset:
    """Returns the data set with the one class "object", for what does not tell classes apart.

    Args:
        dataset: as it was read, or with the classes of a detector.
    """
    own = dataset.file_ids or {category.id: category.id for category in dataset.categories}
    # Class 0 stays that of crowds of an unknown class.
    table = np.minimum(np.arange(len(dataset.categories) + 1), 1).astype(np.int32)
    return dataclasses.replace(
        dataset,
        categories=(ONE_CLASS,),
        examples=tuple(_with_classes(example, table) for example in dataset.examples),
        file_ids=dict.fromkeys(own, ONE_CLASS.id),
    )


def describe_classes(categories: Sequence[Category], limit: int = 8) -> str:
    """How a message lists classes: their number, then names and ids of the first."""
    shown = ", ".join(f"{category.name} ({category.id})" for category in categories[:limit])
    rest = ", ..." if len(categories) > limit else ""
    return f"{count_of(len(categories), 'class', 'classes')}: {shown}{rest}"


def _of_classes(example: Example, table: np.ndarray) -> Example:
    """The objects whose class the table keeps."""
    classes = table[example.classes]
    rows = np.flatnonzero(classes >= 0)
    return dataclasses.replace(
        example,
        boxes=example.boxes[rows],
        classes=classes[rows],
        crowd=example.crowd[rows],
        ignored=example.ignored[rows],
        segmentations=tuple(example.segmentations[row] for row in rows) if example.segmentations else (),
    )


def _with_classes(example: Example, table: np.ndarray) -> Example:
    return dataclasses.replace(example, classes=table[example.classes])


def _remark(dataset: CocoDataset, wanted: Sequence[Category], foreign: Sequence[Category]) -> str:
    ids = {category.name: category.id for category in wanted}
    shared = [category for category in dataset.categories if category not in foreign]
    parts = [f"{len(shared)} of the detector's {len(wanted)} classes were matched by name"]
    if any(ids[category.name] != category.id for category in shared):
        parts.append("the file numbers them otherwise; results carry the detector's ids")
    if foreign:
        names = first_names([category.name for category in foreign])
        parts.append(f"classes that it does not know have no objects: {names}")
    return "; ".join(parts)
