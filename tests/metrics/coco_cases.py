"""Small annotation files and detections, made up from a seed."""

from __future__ import annotations

import numpy as np
from pycocotools import mask as coco_mask

CATEGORIES = [{"id": 3, "name": "square"}, {"id": 7, "name": "disc"}, {"id": 12, "name": "star"}]


def dataset(annotations: list[dict], num_images: int = 2, categories: list[dict] | None = None) -> dict:
    images = [{"id": 10 + i, "file_name": f"{i}.png", "width": 640, "height": 480} for i in range(num_images)]
    return {"images": images, "annotations": annotations, "categories": categories or CATEGORIES}


def truth(image_id: int, category_id: int, bbox: list[float], number: int = 1, **fields) -> dict:
    entry = detection(image_id, category_id, bbox, 1.0) | {
        "id": number,
        "area": bbox[2] * bbox[3],
        "iscrowd": 0,
    }
    del entry["score"]
    return entry | fields


def detection(image_id: int, category_id: int, bbox: list[float], score: float) -> dict:
    return {"image_id": image_id, "category_id": category_id, "bbox": bbox, "score": score}


def random_case(seed: int, num_images: int | None = None, masks: bool = False) -> tuple[dict, list[dict]]:
    """Objects of all three sizes, some crowds; detections around them, some false, some with equal scores."""
    rng = np.random.default_rng(seed)
    num_images = num_images or (5 if masks else 12)
    annotations, detections = [], []
    for image in range(num_images):
        for _ in range(rng.integers(0, 9)):
            category = int(rng.choice([3, 7]))  # the third category has no object anywhere
            size = rng.choice([14.0, 50.0, 170.0])
            x, y = rng.uniform(0, 640 - 2 * size), rng.uniform(0, 480 - 2 * size)
            box = [float(v) for v in (x, y, size * rng.uniform(0.6, 1.6), size * rng.uniform(0.6, 1.6))]
            crowd = int(rng.random() < 0.1)
            annotations.append(truth(10 + image, category, box, len(annotations) + 1, iscrowd=crowd))
            for _ in range(rng.integers(0, 4)):
                shift = rng.normal(0, 0.08 * size, 4)
                near = [float(max(v, 1.0)) for v in np.asarray(box) + shift]
                detections.append(detection(10 + image, category, near, float(np.round(rng.random(), 1))))
        for _ in range(rng.integers(0, 3)):
            box = [float(v) for v in (rng.uniform(0, 300), rng.uniform(0, 200), *rng.uniform(5, 200, 2))]
            detections.append(detection(10 + image, int(rng.choice([3, 7, 12])), box, float(rng.random())))
    content = dataset(annotations, num_images)
    if masks:
        for entry in annotations + detections:
            entry["segmentation"] = _ellipse(entry.pop("bbox"))
        for entry in annotations:
            entry["bbox"] = coco_mask.toBbox(entry["segmentation"]).tolist()
            entry["area"] = float(coco_mask.area(entry["segmentation"]))
    return content, detections


def _ellipse(bbox: list[float]) -> dict:
    x, y, width, height = bbox
    rows, columns = np.mgrid[:480, :640] + 0.5
    across, down = (columns - x) / width * 2 - 1, (rows - y) / height * 2 - 1
    return coco_mask.encode(np.asfortranarray((across**2 + down**2 <= 1).astype(np.uint8)))
