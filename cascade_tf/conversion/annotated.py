"""What is written: the images of a data set with their objects, as the data set was understood."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from cascade_tf.data.annotations.values import PLACE
from cascade_tf.data.dataset import CocoDataset


class AnnotatedImage(NamedTuple):
    """An image.

    Attributes:
        image: its record in COCO's form.
        path: of the picture.
        name: of the picture below the folder of the pictures, ``/`` between its parts.
        objects: records in COCO's form, regions and ignored objects among them.
    """

    image: dict[str, Any]
    path: str
    name: str
    objects: list[dict[str, Any]]

    @property
    def size(self) -> tuple[int, int]:
        """(width, height), pixels."""
        return self.image["width"], self.image["height"]


def annotated_images(dataset: CocoDataset) -> list[AnnotatedImage]:
    """Gives the images of a data set in its order.

    Regions of which no class is known become one for each class. Ids of objects are kept where all are
    different and above 0, else they are 1, 2, 3, ...: tools take 0 for none.

    Raises:
        ValueError: the data set was made up and has no annotations on a disk.
    """
    truth = dataset.ground_truth()
    objects: dict[int, list[dict]] = defaultdict(list)
    for record in _with_ids(truth["annotations"]):
        objects[record["image_id"]].append(record)
    paths = {example.image_id: example.path for example in dataset.examples}
    return [
        AnnotatedImage(
            {key: value for key, value in image.items() if key != PLACE},
            paths[image["id"]],
            os.path.relpath(paths[image["id"]], dataset.image_dir).replace(os.sep, "/"),
            objects[image["id"]],
        )
        for image in truth["images"]
    ]


def require_one_record_each(images: Mapping[str, Sequence[AnnotatedImage]]) -> None:
    """Makes sure that no two images of a split are one file, which has one file of labels.

    Args:
        images: of each split.

    Raises:
        ValueError: two are.
    """
    for split, some in images.items():
        seen: dict[str, AnnotatedImage] = {}
        for one in some:
            other = seen.setdefault(one.path, one)
            if other is not one:
                raise ValueError(
                    f"{split}: images {other.image['id']} and {one.image['id']} are one file, {one.name}, "
                    "expected one image for each, or the layout of COCO"
                )


def clipped_corners(record: Mapping[str, Any], size: tuple[int, int]) -> tuple[float, float, float, float]:
    """The box of a record within its image as x1, y1, x2, y2.

    Args:
        record: in COCO's form.
        size: (width, height) of the image.
    """
    x, y, width, height = record["bbox"]
    return max(x, 0.0), max(y, 0.0), min(x + width, size[0]), min(y + height, size[1])


def is_region(record: Mapping[str, Any]) -> bool:
    """Whether a record is a crowd or another region, not one object."""
    return record.get("iscrowd") == 1


def is_ignored(record: Mapping[str, Any]) -> bool:
    """Whether nobody has to find the object of a record, or it is a region."""
    return is_region(record) or record.get("ignore") == 1


def lost_masks(images: Mapping[str, Sequence[AnnotatedImage]]) -> list[str]:
    """A line about the objects whose masks a layout of boxes cannot hold, where there are some.

    Args:
        images: of each split.
    """
    objects = [record for of_split in images.values() for one in of_split for record in one.objects]
    count = sum(bool(record.get("segmentation")) and not is_region(record) for record in objects)
    return [f"{count:,} masks are left out"] if count else []


def _with_ids(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    records = [{key: value for key, value in record.items() if key != PLACE} for record in records]
    ids = [record.get("id") for record in records]
    if all(isinstance(one, int) and one > 0 for one in ids) and len(set(ids)) == len(ids):
        return records
    return [{**record, "id": number} for number, record in enumerate(records, start=1)]
