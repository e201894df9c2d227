"""PASCAL VOC's objects and detections in COCO's forms: its protocol is the one of the paper's Table 11.

The conversion is that of the benchmark's own tools: areas are those of the boxes, and difficult objects have
``ignore`` set, not ``iscrowd``. An image's id is its place in the list of the split.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from cascade_tf.formats.voc import CLASSES, VocDetections, VocObjects


def objects_as_coco(
    images: Sequence[str], objects: VocObjects, classes: Sequence[str] = CLASSES
) -> dict[str, Any]:
    """Returns the content of an annotation file; categories are numbered from 1.

    Args:
        images: names of all images.
        objects: in these images, and of these classes.
        classes: in the order of their ids.

    Raises:
        ValueError: an object is of none of the classes.
    """
    known = set(classes)
    foreign = next((name for name in objects.classes.tolist() if name not in known), None)
    if foreign is not None:
        raise ValueError(f"class {foreign!r} is none of {', '.join(classes)}")
    return {
        "images": [{"id": i, "file_name": f"{name}.jpg"} for i, name in enumerate(images)],
        "categories": [{"id": k, "name": name} for k, name in enumerate(classes, start=1)],
        "annotations": [
            {**record, "id": i, "area": record["bbox"][2] * record["bbox"][3], "iscrowd": 0, "ignore": flag}
            for i, (record, flag) in enumerate(
                zip(_records(images, objects, classes), objects.difficult.astype(int).tolist(), strict=True),
                1,
            )
        ],
    }


def detections_as_coco(
    images: Sequence[str], detections: VocDetections, classes: Sequence[str] = CLASSES
) -> list[dict[str, Any]]:
    """Returns detections in COCO's result format, with the ids of ``objects_as_coco``.

    Args:
        images: names of all images.
        detections: in these images; those of other classes are left out.
        classes: in the order of their ids.
    """
    known = np.isin(detections.classes, classes)
    detections = VocDetections(*(column[known] for column in detections))
    return [
        {**record, "score": score}
        for record, score in zip(
            _records(images, detections, classes), detections.scores.tolist(), strict=True
        )
    ]


def _records(
    images: Sequence[str], rows: VocObjects | VocDetections, classes: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Image, category and box of each row, as COCO has them, no side of which is negative."""
    image_ids = {name: i for i, name in enumerate(images)}
    category_ids = {name: k for k, name in enumerate(classes, start=1)}
    sides = np.concatenate([rows.boxes[:, :2], np.maximum(rows.boxes[:, 2:] - rows.boxes[:, :2], 0)], axis=1)
    for image, name, box in zip(rows.images.tolist(), rows.classes.tolist(), sides.tolist(), strict=True):
        yield {"image_id": image_ids[image], "category_id": category_ids[name], "bbox": box}
