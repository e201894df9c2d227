"""The images of an annotation file, each of which collects its objects."""

from __future__ import annotations

from typing import Any

import numpy as np

from cascade_tf.coco_format import records
from cascade_tf.data.annotations.broken import BrokenRecords
from cascade_tf.data.annotations.files import ImageFiles
from cascade_tf.data.annotations.values import is_integer, record_name
from cascade_tf.data.examples import Example
from cascade_tf.data.file_names import FoundFile
from cascade_tf.data.image_headers import read_header


class ImageObjects:
    """An image while its annotations arrive.

    Attributes:
        positions: of its objects in the file's list of annotations.
        complete: False once an object is known to be somewhere in it that nobody can place.
    """

    def __init__(self, image_id: int, path: str, height: int, width: int):
        self.image_id, self.path, self.height, self.width = image_id, path, height, width
        self.positions: list[int] = []
        self.boxes: list[np.ndarray] = []
        self.classes: list[int] = []
        self.crowd: list[bool] = []
        self.ignored: list[bool] = []
        self.segmentations: list[Any] = []
        self.complete = True

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
            np.array(self.ignored, bool),
            tuple(self.segmentations) if segmentations else (),
        )


# What tools write where they do not know a side of an image.
_UNKNOWN = (None, 0, -1)
# Of a side: tensors hold no more.
_MOST_PIXELS = (1 << 31) - 1


def read_images(
    entries: list, files: ImageFiles, report: BrokenRecords, noted: records.Noted, upright: bool
) -> tuple[dict[int, ImageObjects], set[int]]:
    """Gives the images by id, and the ids of those that were skipped or are not to be read."""
    images: dict[int, ImageObjects] = {}
    unusable: set[int] = set()
    for index, entry in enumerate(entries):
        where = record_name("images", index, entry)
        record = records.read_image(entry, noted) if isinstance(entry, dict) else entry
        if not isinstance(record, dict) or not is_integer(record.get("id")):
            report.broken(f"{where}: is {record!r}, expected an object with an integer 'id' of 64 bits")
        elif record["id"] in images or record["id"] in unusable:
            report.broken(f"{where}: an image before it has the same id, expected distinct ids")
        elif index in files.left_out:
            unusable.add(record["id"])
        else:
            image = _read_image_record(where, record, files.found[index], report, noted, upright)
            if image is None:
                unusable.add(record["id"])
            else:
                images[image.image_id] = image
    return images, unusable


def _read_image_record(
    where: str, record: dict, file: FoundFile, report: BrokenRecords, noted: records.Noted, upright: bool
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
    if width in _UNKNOWN or height in _UNKNOWN:
        try:
            header = read_header(path)
            height, width = header.upright_size if upright else header.size
        except ValueError:
            report.broken(f"{where}: gives no width and height, and {path} is not a readable image")
            return None
        noted["picture"] += 1
    for key, value in (("width", width), ("height", height)):
        if not is_integer(value) or not 0 < value <= _MOST_PIXELS:
            report.broken(f"{where}: {key} is {value!r}, expected a positive integer of 31 bits")
            return None
    return ImageObjects(record["id"], path, height, width)
