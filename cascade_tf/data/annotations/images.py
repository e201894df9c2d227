"""The images of an annotation file, each of which collects its objects."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from cascade_tf.data.annotations.broken import BrokenRecords
from cascade_tf.data.annotations.files import ImageFiles
from cascade_tf.data.annotations.values import is_integer, record_name
from cascade_tf.data.examples import Example
from cascade_tf.data.file_names import FoundFile


class ImageObjects:
    """An image while its annotations arrive."""

    def __init__(self, image_id: int, path: str, height: int, width: int):
        self.image_id, self.path, self.height, self.width = image_id, path, height, width
        self.boxes: list[np.ndarray] = []
        self.classes: list[int] = []
        self.crowd: list[bool] = []
        self.segmentations: list[Any] = []

    def finish(self, segmentations: bool) -> Example:
        """Gives the image with the objects that have arrived, and their masks where those were read."""
        return Example(
            self.image_id,
            self.path,
            self.height,
            self.width,
            np.array(self.boxes, np.float32).reshape(-1, 4),
            np.array(self.classes, np.int32),
            np.array(self.crowd, bool),
            tuple(self.segmentations) if segmentations else (),
        )


def read_images(
    records: list, files: ImageFiles, report: BrokenRecords
) -> tuple[dict[int, ImageObjects], set[int]]:
    """Gives the images by id, and the ids of those that were skipped or are not to be read."""
    images: dict[int, ImageObjects] = {}
    unusable: set[int] = set()
    for index, record in enumerate(records):
        where = record_name("images", index, record)
        if not isinstance(record, dict) or not is_integer(record.get("id")):
            report.broken(f"{where}: is {record!r}, expected an object with an integer 'id'")
        elif record["id"] in images or record["id"] in unusable:
            report.broken(f"{where}: an image before it has the same id, expected distinct ids")
        elif index in files.left_out:
            unusable.add(record["id"])
        else:
            image = _read_image_record(where, record, files.found[index], report)
            if image is None:
                unusable.add(record["id"])
            else:
                images[image.image_id] = image
    return images, unusable


def _read_image_record(
    where: str, record: dict, file: FoundFile, report: BrokenRecords
) -> ImageObjects | None:
    file_name = record.get("file_name")
    if not isinstance(file_name, str) or not file_name:
        report.broken(f"{where}: file_name is {file_name!r}, expected the name of an image file")
        return None
    if file.path is None:
        report.broken(f"{where}: {file.fault}", missing_file="no such image file" in file.fault)
        return None
    path = file.path
    width, height = record.get("width"), record.get("height")
    if width is None or height is None:
        try:
            with Image.open(path) as opened:
                width, height = opened.size
        except (UnidentifiedImageError, OSError):
            report.broken(f"{where}: gives no width and height, and {path} is not a readable image")
            return None
    for key, value in (("width", width), ("height", height)):
        if not is_integer(value) or value <= 0:
            report.broken(f"{where}: {key} is {value!r}, expected a positive integer")
            return None
    return ImageObjects(record["id"], path, height, width)
