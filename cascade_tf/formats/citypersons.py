"""CityPersons' files of the official evaluation: ground truth and detections as JSON.

The JSON files are COCO's with fields of their own; the ground truth may be the annotations themselves, too.
Boxes stay (x, y, width, height) here: subsets are ranges of heights, and a height that went through corners
would not be the file's any more.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import logging

from cascade_tf.coco_format.fields import box_in, known_in, number_in, own_id_in, record_at, wrong
from cascade_tf.coco_format.file import load_annotation_file
from cascade_tf.coco_format.numbers import as_flag
from cascade_tf.coco_format.results_file import load_results_file
from cascade_tf.files import write_atomically
from cascade_tf.formats.citypersons_annotations import AnnotatedImage, read_annotations
from cascade_tf.formats.negative_sides import NegativeSides

PEDESTRIAN = 1
"""The only category that is measured. Riders, sitting persons and groups are pedestrians with ``ignore``."""

_AN_IMAGE = "an image of the ground truth"


class Pedestrians(NamedTuple):
    """The pedestrians of an image.

    Attributes:
        boxes: [G, 4] float64 (x, y, width, height).
        heights: [G] float64, pixels.
        visibility: [G] float64, visible part of the box's area, 0 to 1.
        ignored: [G] bool, what is no pedestrian to be found: neither missed nor wrong.
    """

    boxes: np.ndarray
    heights: np.ndarray
    visibility: np.ndarray
    ignored: np.ndarray


def read_ground_truth(path: str | os.PathLike[str]) -> dict[int, Pedestrians]:
    """Reads the ground truth.

    Args:
        path: ``val_gt.json``, or the annotations that it was made of, ``anno_val.mat``. The images of the
            latter have the ids 1, 2, 3, ... in the order of the file, as they have in the former.

    Returns:
        The id of each image and its pedestrians.

    Raises:
        FileNotFoundError: there is no such file.
        RuntimeError: it is a .mat file and SciPy, which reads them, is not installed.
        ValueError: it is broken; the message names file, annotation and field.
    """
    if Path(path).suffix == ".mat":
        return {i: pedestrians_of(image) for i, image in enumerate(read_annotations(path), start=1)}
    content = load_annotation_file(path)
    rows: dict[int, list[list[float]]] = {}
    for number, image in enumerate(content["images"]):
        with record_at(f"{path}: image {number}", image):
            rows[own_id_in(image, rows)] = []
    categories: set[int] = set()
    for number, category in enumerate(content["categories"]):
        with record_at(f"{path}: category {number}", category):
            categories.add(own_id_in(category, categories))
    negative = NegativeSides()
    for number, record in enumerate(content["annotations"]):
        with record_at(f"{path}: annotation {number}", record) as place:
            image_id = known_in(record, "image_id", rows, _AN_IMAGE)
            if known_in(record, "category_id", categories, "a category of the file") == PEDESTRIAN:
                row = _pedestrian(record)
                negative.look(np.array([row[2:4]]), [place])
                rows[image_id].append(row)
    negative.tell(path)
    return {image_id: _pedestrians(some) for image_id, some in rows.items()}


def pedestrians_of(image: AnnotatedImage) -> Pedestrians:
    """The ground truth of an image by its annotations, as the official file was made of them."""
    area, visible = (boxes[:, 2] * boxes[:, 3] for boxes in (image.boxes, image.visible))
    share = np.divide(visible, area, out=np.zeros_like(area), where=area > 0)
    return Pedestrians(image.boxes, image.boxes[:, 3], share, image.labels != PEDESTRIAN)


def read_detections(
    path: str | os.PathLike[str], image_ids: Iterable[int]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Reads detections of pedestrians; records of other categories are left out, and a warning counts them.

    Args:
        path: a JSON list of records with ``image_id``, ``category_id``, ``bbox`` and ``score``.
        image_ids: those of the ground truth.

    Returns:
        Boxes [D, 4] float64 (x, y, width, height) and scores [D] of each image, in the order of the file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is broken, or names an image that is not of the ground truth.
    """
    rows: dict[int, list[list[float]]] = {image_id: [] for image_id in image_ids}
    negative, records, others = NegativeSides(), load_results_file(path), 0
    for number, record in enumerate(records):
        with record_at(f"{path}: detection {number}", record) as place:
            image_id = known_in(record, "image_id", rows, _AN_IMAGE)
            row = [*box_in(record, signed=True), number_in(record, "score")]
            if number_in(record, "category_id") == PEDESTRIAN:
                negative.look(np.array([row[2:4]]), [place])
                rows[image_id].append(row)
            else:
                others += 1
    negative.tell(path)
    if not records:
        logging.warning("%s: holds no detection at all; every pedestrian counts as missed", path)
    if others:
        logging.warning(
            "%s: detections with another category_id than %d are not measured: %d of %d",
            path,
            PEDESTRIAN,
            others,
            len(records),
        )
    arrays = [np.array(some, np.float64).reshape(-1, 5) for some in rows.values()]
    return [(array[:, :4], array[:, 4]) for array in arrays]


def write_detections(
    path: str | os.PathLike[str], detections: Iterable[tuple[int, np.ndarray, np.ndarray]]
) -> Path:
    """Writes the file that ``read_detections`` reads (the whole file or none) and returns its path.

    Args:
        path: file to write.
        detections: image id, boxes [D, 4] (x, y, width, height) and scores [D].
    """
    records = [
        {"image_id": int(image_id), "category_id": PEDESTRIAN, "bbox": box, "score": score}
        for image_id, boxes, scores in detections
        for box, score in zip(boxes.tolist(), scores.tolist(), strict=True)
    ]
    return write_atomically(path, json.dumps(records, allow_nan=False) + "\n")


def _pedestrians(rows: Sequence[Sequence[float]]) -> Pedestrians:
    array = np.array(rows, np.float64).reshape(-1, 7)
    return Pedestrians(array[:, :4], array[:, 4], array[:, 5], array[:, 6] != 0)


def _pedestrian(record: Mapping[str, Any]) -> list[float]:
    """Box, height, visibility and whether it is ignored."""
    ignored = as_flag(record.get("ignore"))
    if ignored is None:
        raise wrong("ignore", record["ignore"], "0 or 1")
    return [
        *box_in(record, signed=True),
        number_in(record, "height"),
        number_in(record, "vis_ratio"),
        ignored,
    ]
