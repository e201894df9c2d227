"""A data set in memory, and the ground truth that evaluations take."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cascade_tf.coco_format import records
from cascade_tf.coco_format.numbers import as_integer
from cascade_tf.data.annotations.broken import BrokenRecords
from cascade_tf.data.annotations.objects import read_object
from cascade_tf.data.examples import Category, Example
from cascade_tf.data.proposal_set import ProposalSet
from cascade_tf.data.sources.source import Source
from cascade_tf.wording import count_of


@dataclass(frozen=True)
class CocoDataset:
    """A data set in memory: everything but the pixels.

    Attributes:
        categories: sorted by id; class ``i`` in 1..K is ``categories[i - 1]``.
        examples: the images in the file's order, those without objects included.
        dropped: one line for each record that was left out, or whose object is ignored for want of a class or
            a mask, with the reason.
        broken: those of them that stop the reading where broken records are not left out.
        annotation_file: the file or folder that was read.
        kept: positions of the file's annotations that became objects or crowds.
        ignored: those of them that are crowds for want of a known class or, where masks were asked for, of a
            usable mask.
        unclassed: those of the ignored whose class is not known.
        notes: one line for each thing that was read in another form than COCO's, or that is legal but rarely
            meant.
        placeholders: categories that only name a group of others: no classes.
        crowds_as_objects: whether ``iscrowd: 1`` was taken for a single object.
        file_ids: ids of the file's categories -> ids in ``categories``, where the two differ.
        left_out: ids of the file's categories whose objects are not wanted, see `only_classes`.
        images_in_file: how many images the file has of this split, those that were left out included.
        image_dir: the folder of the pictures.
        source: what the annotations are read from; None for a data set that was made up.
        proposals: boxes where objects may be, from a file, see `cascade_tf.data.proposals`.
    """

    categories: tuple[Category, ...]
    examples: tuple[Example, ...]
    dropped: tuple[str, ...]
    annotation_file: str
    kept: tuple[int, ...] = ()
    ignored: frozenset[int] = frozenset()
    unclassed: frozenset[int] = frozenset()
    notes: tuple[str, ...] = ()
    placeholders: tuple[Category, ...] = ()
    crowds_as_objects: bool = False
    file_ids: Mapping[int, int] = field(default_factory=dict)
    left_out: frozenset[int] = frozenset()
    images_in_file: int = 0
    image_dir: str = ""
    source: Source | None = None
    proposals: ProposalSet | None = None
    broken: tuple[str, ...] = ()

    @property
    def class_names(self) -> tuple[str, ...]:
        """The K names, in the order of the classes 1..K."""
        return tuple(category.name for category in self.categories)

    @property
    def category_ids(self) -> tuple[int, ...]:
        """The K ids, in the order of the classes 1..K."""
        return tuple(category.id for category in self.categories)

    @property
    def num_objects(self) -> int:
        """How many objects there are to learn from and to find: neither crowds nor ignored."""
        return sum(int((~(example.crowd | example.ignored)).sum()) for example in self.examples)

    @property
    def labelled(self) -> bool:
        """Whether there are annotations; those of benchmarks' test splits are not published."""
        return self.source is None or self.source.labelled

    def without(self, image_ids: Container[int], reasons: Sequence[str]) -> CocoDataset:
        """Returns the data set without some images and their annotations.

        Args:
            image_ids: of the images to leave out.
            reasons: lines that are added to ``dropped``.

        Raises:
            ValueError: no image is left.
        """
        examples = tuple(example for example in self.examples if example.image_id not in image_ids)
        if not examples:
            raise ValueError(
                f"{self.annotation_file}: no usable image is left, expected at least one; "
                f"{len(reasons)} were dropped, the first: {reasons[0]}"
            )
        return replace(self, examples=examples, dropped=(*self.dropped, *reasons))

    def ground_truth(self) -> dict[str, list]:
        """The annotations in COCO's form as they were understood, for evaluation.

        Records that were left out are not in it, and numbers are numbers. Annotations that are ignored are
        crowds, and their box is their mask: nobody can say whether what was found there is right. One of an
        unknown class is a crowd of every class. An ``area`` that is not the object's is measured.

        Raises:
            ValueError: the data set was made up and has no annotations on a disk.
        """
        if self.source is None:
            raise ValueError("the data set was not read from files, expected one with annotations there")
        # What is broken was told when the data set was read.
        content = self.source.content(BrokenRecords(self.source.name, skip_broken=True))
        images: dict[int, dict] = {}
        for record in content["images"]:
            number = as_integer(record.get("id")) if isinstance(record, dict) else None
            if number is not None:
                images.setdefault(number, record)
        sizes = {example.image_id: (example.height, example.width) for example in self.examples}
        return {
            "images": [
                {**images[number], "id": number, "height": height, "width": width}
                for number, (height, width) in sizes.items()
            ],
            "annotations": [
                record
                for position in self.kept
                for record in self._truth(position, content["annotations"][position], sizes)
            ],
            "categories": [{"id": category.id, "name": category.name} for category in self.categories],
        }

    def _truth(self, position: int, record: dict, sizes: Mapping[int, tuple[int, int]]) -> list[dict]:
        record = read_object(record, records.Noted(), outline=True, crowds_as_objects=self.crowds_as_objects)
        if record["image_id"] not in sizes:
            return []
        if position in self.unclassed:
            return [
                _as_crowd(
                    {**record, "category_id": category_id, "id": -(position * len(self.categories) + i)}
                )
                for i, category_id in enumerate(self.category_ids, start=1)
            ]
        category_id = record["category_id"]
        if category_id in self.left_out:
            return []
        if self.file_ids.get(category_id, category_id) != category_id:
            record = {**record, "category_id": self.file_ids[category_id]}
        if position in self.ignored:
            return [_as_crowd(record)]
        if not records.has_own_area(record):
            record = {**record, "area": records.measure_area(record, sizes[record["image_id"]])}
        return [record]

    def summary(self) -> str:
        """One line for people: how many images, objects, crowds, classes and dropped records."""
        objects = self.num_objects
        crowds = sum(int(example.crowd.sum()) for example in self.examples)
        ignored = sum(int(example.ignored.sum()) for example in self.examples)
        to_ignore = f", {ignored} to ignore" if ignored else ""
        empty = sum(len(example.boxes) == 0 for example in self.examples)
        return (
            f"{count_of(len(self.examples), 'image', 'images')} ({empty} without objects), "
            f"{count_of(objects, 'object', 'objects')} and {count_of(crowds, 'crowd', 'crowds')}"
            f"{to_ignore} of {count_of(len(self.categories), 'class', 'classes')}, "
            f"{count_of(len(self.dropped), 'record', 'records')} dropped"
        )


def _as_crowd(record: dict[str, Any]) -> dict[str, Any]:
    x, y, width, height = record["bbox"]
    corners = [x, y, x + width, y, x + width, y + height, x, y + height]
    return {**record, "iscrowd": 1, "segmentation": [corners], "area": width * height}
