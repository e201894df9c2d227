"""The objects of an annotation file: boxes, classes and whether they are crowds."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import Any

import numpy as np

from cascade_tf.coco_format import records
from cascade_tf.coco_format.numbers import as_flag, as_integer, is_finite_number
from cascade_tf.data.annotations.broken import BrokenRecords
from cascade_tf.data.annotations.images import ImageObjects
from cascade_tf.data.annotations.masks import Masks
from cascade_tf.data.annotations.values import is_ignored, is_integer, record_name, some

ANY_CLASS = "any"
"""The ``category_id`` of a region in which objects of every class may be, and are not annotated."""

# Narrower boxes are slips of the annotator; their encoded offsets (logarithms of sides) would be huge.
MIN_SIDE = 0.01


class ObjectReader:
    """Adds annotations to their images.

    Args:
        classes: category id -> class.
        images: by their ids.
        unusable: ids of images that are left out.
        report: of broken records.
        noted: counts what has another form than COCO's.
        masks: reads the masks, where they are asked for.
        crowds_as_objects: take ``iscrowd: 1`` for a single object.
        learn_difficult: learn objects that are ignored because they are ``difficult``.

    Attributes:
        ignored: positions of records that are crowds because something of their object is not known: the
            kind, or the mask where masks are asked for.
        unclassed: those of them of an unknown class.
        crowds: how many records say that they are crowds of objects to find.
        count: how many records there are, those of images that are left out aside.
    """

    def __init__(
        self,
        classes: Mapping[int, int],
        images: Mapping[int, ImageObjects],
        unusable: set[int],
        report: BrokenRecords,
        noted: records.Noted,
        *,
        masks: Masks | None = None,
        crowds_as_objects: bool = False,
        learn_difficult: bool = False,
    ) -> None:
        self.ignored: set[int] = set()
        self.unclassed: set[int] = set()
        self.crowds = self.count = 0
        self._classes, self._images, self._unusable = classes, images, unusable
        self._report, self._noted, self._masks = report, noted, masks
        self._crowds_as_objects, self._learn_difficult = crowds_as_objects, learn_difficult
        self._boxes = array("d")

    @property
    def boxes(self) -> np.ndarray:
        """[n, 6] float64 x, y, width, height as they were read, and the width and height of the image."""
        return np.array(self._boxes).reshape(-1, 6)

    def read(self, position: int, record: Any) -> None:
        """Adds an object to its image.

        What is broken is told. Where broken records are left out, the object's area is one that nobody looks
        at: left out, it would be learnt as background. Where no box tells the area, the image is left out.
        """
        where = record_name("annotations", position, record)
        if not isinstance(record, dict):
            self._report.broken(f"{where}: is {record!r}, expected an object")
            return
        image_id = as_integer(record.get("image_id"))
        if image_id in self._unusable:
            return  # its image is in the report already, or not to be read
        self.count += 1
        if image_id is None or image_id not in self._images:
            known = f"image_id is {record.get('image_id')!r}, expected the id of an entry of 'images'"
            self._report.broken(f"{where}: {known}")
            return
        record = read_object(record, self._noted, self._masks is not None, self._crowds_as_objects)
        self._read(position, where, record, self._images[image_id])

    def _read(self, position: int, where: str, record: dict, image: ImageObjects) -> None:
        faults = [self._class_fault(record), _box_fault(record), _crowd_fault(record)]
        if any(faults):
            ending = ""
            if self._report.skip_broken:
                ending = f"; image {image.image_id} is left out" if faults[1] else "; its area is ignored"
            self._report.broken(f"{where}: {'; '.join(filter(None, faults))}{ending}")
            image.complete &= not faults[1]
        if faults[1]:
            return
        box = self._clip(where, record, image)
        if box is None:
            return
        no_class = bool(faults[0]) or record.get("category_id") == ANY_CLASS
        if no_class:
            self.unclassed.add(position)
        crowd, mask = bool(record.get("iscrowd", 0)), None
        ignore = is_ignored(record)
        self.crowds += crowd and not (ignore or no_class)
        if any(faults) or no_class:
            self.ignored.add(position)
            crowd = True
        else:
            self._noted["area"] += not records.has_own_area(record)
            if self._masks is not None:
                mask = self._masks.read(position, record, image.height, image.width)
                crowd = mask is None
        image.positions.append(position)
        image.boxes.append(box)
        # What no class is known of is a crowd, which nothing is learnt from.
        image.classes.append(0 if no_class else self._classes[record["category_id"]])
        image.crowd.append(crowd)
        to_learn = self._learn_difficult and as_flag(record.get("difficult")) == 1
        image.ignored.append(ignore and not (crowd or to_learn))
        image.segmentations.append(mask)

    def _clip(self, where: str, record: dict, image: ImageObjects) -> np.ndarray | None:
        """The corners inside the image; None for a box without area there, which is told."""
        x, y, width, height = (float(value) for value in record["bbox"])
        self._boxes.extend((x, y, width, height, image.width, image.height))
        sides = f"of image {image.image_id}: box [x, y, width, height] = {record['bbox']}"
        if width < MIN_SIDE or height < MIN_SIDE:
            self._report.drop(f"{where} {sides} is empty")
            return None
        x1, x2 = max(x, 0.0), min(x + width, float(image.width))
        y1, y2 = max(y, 0.0), min(y + height, float(image.height))
        if x2 - x1 < MIN_SIDE or y2 - y1 < MIN_SIDE:
            size = f"{image.width} x {image.height}"
            self._report.drop(f"{where} {sides} lies outside the image of {size} pixels")
            return None
        return np.array([x1, y1, x2, y2], np.float32)

    def _class_fault(self, record: dict) -> str | None:
        category_id = record.get("category_id")
        if category_id == ANY_CLASS or (is_integer(category_id) and category_id in self._classes):
            return None
        known = list(self._classes)
        return f"category_id is {category_id!r}, which no category bears; expected one of {some(known)}"


def read_object(record: dict, noted: records.Noted, outline: bool, crowds_as_objects: bool) -> dict:
    """Returns an annotation's record as it is understood: with numbers, and as an object where wanted.

    Args:
        record: as it is in the file.
        noted: counts what was changed.
        outline: look at the segmentation too.
        crowds_as_objects: take ``iscrowd: 1`` for a single object.
    """
    record = records.read_annotation(record, noted, outline=outline)
    if crowds_as_objects and record.get("iscrowd") == 1:
        return {**record, "iscrowd": 0}
    return record


def _box_fault(record: dict) -> str | None:
    box = record.get("bbox")
    if isinstance(box, list) and len(box) == 4 and all(is_finite_number(value) for value in box):
        return None
    return f"bbox is {box!r}, expected four finite numbers [x, y, width, height]"


def _crowd_fault(record: dict) -> str | None:
    crowd = record.get("iscrowd", 0)
    return None if crowd in (0, 1) else f"iscrowd is {crowd!r}, expected 0 or 1"
