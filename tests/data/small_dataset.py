"""A small data set, whose annotation file a test may spoil before it is written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

# (file name, width, height): three wide pictures and two tall ones.
PICTURES = [("a.png", 60, 40), ("b.png", 64, 48), ("c.png", 40, 60), ("d.png", 80, 40), ("e.png", 30, 60)]


def content() -> dict:
    """A correct annotation file: image 13 has no object, image 11 has a crowd; ids have gaps."""
    annotations = {
        "images": [
            {"id": 10 + i, "file_name": name, "width": width, "height": height}
            for i, (name, width, height) in enumerate(PICTURES)
        ],
        "annotations": [
            {"id": 1, "image_id": 10, "category_id": 7, "bbox": [10, 5, 20, 30], "iscrowd": 0},
            {"id": 2, "image_id": 11, "category_id": 3, "bbox": [0, 0, 64, 48], "iscrowd": 1},
            {"id": 3, "image_id": 11, "category_id": 7, "bbox": [4.5, 8, 16, 8]},
            {"id": 4, "image_id": 12, "category_id": 3, "bbox": [10, 20, 20, 30]},
            {"id": 5, "image_id": 14, "category_id": 3, "bbox": [0, 30, 15, 30]},
        ],
        "categories": [{"id": 7, "name": "cat"}, {"id": 3, "name": "dog"}],
    }
    for record in annotations["annotations"]:
        record["area"] = float(record["bbox"][2] * record["bbox"][3])
    return annotations


def content_with_masks() -> dict:
    """The annotation file with a rectangle for each box: a polygon, but RLE in image 14 and for the crowd."""
    annotations = content()
    sizes = {image["id"]: (image["height"], image["width"]) for image in annotations["images"]}
    for record in annotations["annotations"]:
        x, y, width, height = record["bbox"]
        record["segmentation"] = [[x, y, x + width, y, x + width, y + height, x, y + height]]
        if record["image_id"] == 14 or record.get("iscrowd"):
            size = sizes[record["image_id"]]
            pixels = np.zeros(size, np.uint8, order="F")
            pixels[y : y + height, x : x + width] = 1
            counts = coco_mask.encode(pixels)["counts"].decode("ascii")
            record["segmentation"] = {"size": list(size), "counts": counts}
    return annotations


def draw_picture(width: int, height: int) -> np.ndarray:
    """A picture of which every column and row is told by its colour: red is x, green is y."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.arange(width)
    image[..., 1] = np.arange(height)[:, None]
    return image


def write_pictures(folder: Path) -> None:
    """Writes the five pictures into a folder."""
    folder.mkdir()
    for name, width, height in PICTURES:
        Image.fromarray(draw_picture(width, height)).save(folder / name)


def write_annotations(folder: Path, annotations: object) -> Path:
    """Writes the annotation file of a data set folder and gives its path."""
    path = folder / "instances_train.json"
    path.write_text(annotations if isinstance(annotations, str) else json.dumps(annotations))
    return path
