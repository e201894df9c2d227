"""A data set in memory, and the ground truth that evaluations take."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace

from cascade_tf.annotation_files import load_annotation_file
from cascade_tf.data.annotations.values import is_integer
from cascade_tf.data.examples import Category, Example


@dataclass(frozen=True)
class CocoDataset:
    """A data set in memory: everything but the pixels.

    Attributes:
        categories: sorted by id; class ``i`` in 1..K is ``categories[i - 1]``.
        examples: the images in the file's order, those without objects included.
        dropped: one line for each record that was left out, or whose object is ignored for want of a mask,
            with the reason.
        annotation_file: the file that was read.
        kept: positions of the file's annotations that became objects or crowds.
        ignored: those of them without a usable mask, where masks were asked for: all are crowds.
        images_in_file: how many images the file has of this split, those that were left out included.
        image_dir: the folder of the pictures.
        notes: one line for each thing that was read in another form than COCO's.
    """

    categories: tuple[Category, ...]
    examples: tuple[Example, ...]
    dropped: tuple[str, ...]
    annotation_file: str
    kept: tuple[int, ...] = ()
    ignored: frozenset[int] = frozenset()
    images_in_file: int = 0
    image_dir: str = ""
    notes: tuple[str, ...] = ()

    @property
    def class_names(self) -> tuple[str, ...]:
        """The K names, in the order of the classes 1..K."""
        return tuple(category.name for category in self.categories)

    @property
    def category_ids(self) -> tuple[int, ...]:
        """The K ids of the file, in the order of the classes 1..K."""
        return tuple(category.id for category in self.categories)

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
        """The annotation file's content without the records that were left out, for evaluation.

        Annotations that are ignored for want of a mask are crowds here too, and their box is their mask:
        nobody can say whether a mask that was found there is right.
        """
        content = load_annotation_file(self.annotation_file)
        records: dict[int, dict] = {}
        for record in content["images"]:
            if isinstance(record, dict) and is_integer(record.get("id")):
                records.setdefault(record["id"], record)
        ids = {example.image_id for example in self.examples}
        return {
            "images": [records[example.image_id] for example in self.examples],
            "annotations": [
                _as_crowd(content["annotations"][position])
                if position in self.ignored
                else content["annotations"][position]
                for position in self.kept
                if content["annotations"][position]["image_id"] in ids
            ],
            "categories": content["categories"],
        }

    def summary(self) -> str:
        """One line for people: how many images, objects, crowds, classes and dropped records."""
        crowds = sum(int(example.crowd.sum()) for example in self.examples)
        objects = sum(len(example.boxes) for example in self.examples) - crowds
        empty = sum(len(example.boxes) == 0 for example in self.examples)
        return (
            f"{len(self.examples)} images ({empty} without objects), {objects} objects and {crowds} crowds "
            f"of {len(self.categories)} classes, {len(self.dropped)} records dropped"
        )


def _as_crowd(record: dict) -> dict:
    x, y, width, height = record["bbox"]
    corners = [x, y, x + width, y, x + width, y + height, x, y + height]
    return {**record, "iscrowd": 1, "segmentation": [corners], "area": width * height}
