"""PASCAL VOC's objects in COCO's forms, and the numbers that they give."""

from __future__ import annotations

import numpy as np
import pytest

from cascade_tf.formats.voc import CLASSES, VocDetections, VocObjects
from cascade_tf.formats.voc_as_coco import detections_as_coco, objects_as_coco
from cascade_tf.metrics import evaluate_coco

IMAGES = ("000005", "2008_000002")


@pytest.fixture
def objects():
    return VocObjects(
        np.array(["2008_000002", "000005"]),
        np.array(["cat", "aeroplane"]),
        np.array([[10.0, 20, 40, 60], [0, 0, 5, 4]]),
        np.array([True, False]),
    )


def test_objects(objects):
    content = objects_as_coco(IMAGES, objects)
    assert content["images"] == [
        {"id": 0, "file_name": "000005.jpg"},
        {"id": 1, "file_name": "2008_000002.jpg"},
    ]
    assert [category["name"] for category in content["categories"]] == list(CLASSES)
    assert [category["id"] for category in content["categories"]] == list(range(1, 21))
    common = {"iscrowd": 0}
    assert content["annotations"] == [
        {
            "id": 1,
            "image_id": 1,
            "category_id": 8,
            "bbox": [10, 20, 30, 40],
            "area": 1200,
            "ignore": 1,
            **common,
        },
        {"id": 2, "image_id": 0, "category_id": 1, "bbox": [0, 0, 5, 4], "area": 20, "ignore": 0, **common},
    ]


def test_difficult_objects_are_ignored_in_the_numbers(objects):
    content = objects_as_coco(IMAGES, objects)
    found = VocDetections(objects.images, objects.classes, objects.boxes, np.array([0.9, 0.5]))
    records = detections_as_coco(IMAGES, found)
    assert records[0] == {"image_id": 1, "category_id": 8, "bbox": [10, 20, 30, 40], "score": 0.9}
    result = evaluate_coco(content, records)
    assert result.summary["AP"] == pytest.approx(1.0)
    assert {name: n["objects"] for name, n in result.per_class.items() if n["objects"]} == {"aeroplane": 1}


def test_other_classes(objects):
    objects.classes[0] = "zebra"
    with pytest.raises(ValueError, match="class 'zebra' is none of aeroplane, bicycle"):
        objects_as_coco(IMAGES, objects)
    found = VocDetections(objects.images, objects.classes, objects.boxes, np.ones(2))
    assert [record["category_id"] for record in detections_as_coco(IMAGES, found)] == [1]


def test_nothing():
    nothing = np.zeros(0, str), np.zeros(0, str), np.zeros((0, 4))
    assert objects_as_coco((), VocObjects(*nothing, np.zeros(0, bool)))["annotations"] == []
    assert detections_as_coco((), VocDetections(*nothing, np.zeros(0))) == []
