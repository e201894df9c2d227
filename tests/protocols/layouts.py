"""Writes small data sets of each benchmark, with what makes its protocol hard, and makes up detections."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from cascade_tf.prediction.inference import ImageDetections
from tests.data.sources.small_voc import Thing, write_year
from tests.formats.widerface_files import write_ground_truth

SIZE = (320, 240)
_KITTI_REST = "1.5 1.6 3.9 2.0 1.5 20.0 1.5"


class Written(NamedTuple):
    """Where a benchmark's files are.

    Attributes:
        folder: of the data set.
        split: to measure on.
        ground_truth: as scripts/measure.py takes it.
    """

    folder: Path
    split: str
    ground_truth: Path


def draw(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", SIZE).save(path)


def sides(generator: np.random.Generator, count: int) -> np.ndarray:
    """[count, 4] x, y, width, height inside the picture, with two decimals."""
    corner = generator.uniform(0, 150, (count, 2))
    return np.concatenate([corner, generator.uniform(15, 85, (count, 2))], axis=1).round(2)


def write_voc(folder: Path, year: str = "VOC2007", num_images: int = 6) -> Written:
    generator = np.random.default_rng(5)
    names = [f"{i:06d}" for i in range(1, num_images + 1)]
    things = {}
    for name in names:
        boxes = sides(generator, generator.integers(0, 5)).round(1) + 1
        boxes[:, 2:] += boxes[:, :2]
        kinds = generator.choice(["cat", "dog", "person"], len(boxes))
        marks = generator.random(len(boxes)) < 0.3
        things[name] = [
            Thing(kind, box.tolist(), {"difficult": int(mark)})
            for kind, box, mark in zip(kinds, boxes, marks, strict=True)
        ]
    write_year(folder / year, {"trainval": [names[0]], "test": names}, things, size=SIZE)
    return Written(folder, "val", folder)


def write_kitti(folder: Path, num_images: int = 16) -> Written:
    generator = np.random.default_rng(6)
    kinds = ("Car", "Car", "Van", "Pedestrian", "Person_sitting", "Cyclist", "Truck", "DontCare")
    frames = [f"{i:06d}" for i in range(num_images)]
    for frame in frames:
        draw(folder / "training" / "image_2" / f"{frame}.png")
        lines = []
        for x, y, width, height in sides(generator, 9).tolist():
            kind = generator.choice(kinds)
            height = float(generator.choice([25.0, 25.0, 40.0, height]))
            box = f"{x:.2f} {y:.2f} {x + width:.2f} {y + height:.2f}"
            marks = f"{generator.choice([0.0, 0.0, 0.15, 0.3, 0.6])} {generator.choice([0, 0, 0, 1, 2, 3])}"
            lines.append(f"{kind} {marks} -1.5 {box} {_KITTI_REST}\n")
        (folder / "training" / "label_2").mkdir(exist_ok=True)
        (folder / "training" / "label_2" / f"{frame}.txt").write_text("".join(lines))
    (folder / "ImageSets").mkdir()
    (folder / "ImageSets" / "val.txt").write_text("\n".join(frames))
    (folder / "ImageSets" / "train.txt").write_text(frames[0])
    return Written(folder, "val", folder)


def write_citypersons(folder: Path, savemat: Callable, num_images: int = 6, split: str = "val") -> Written:
    generator = np.random.default_rng(7)
    cells = np.empty((1, num_images), object)
    for i in range(num_images):
        name = f"ulm_{i}_leftImg8bit.png"
        draw(folder / "leftImg8bit" / split / "ulm" / name)
        boxes = sides(generator, 6).astype(int)
        visible = boxes.copy()
        visible[:, 3] = boxes[:, 3] * generator.choice([0.3, 0.65, 1.0], 6)
        labels = generator.choice([1, 1, 1, 2, 0, 5], 6)
        rows = np.concatenate([labels[:, None], boxes, np.arange(6)[:, None], visible], axis=1)
        cells[0, i] = {"cityname": "ulm", "im_name": name, "bbs": np.uint16(rows)}
    file = folder / "annotations" / f"anno_{split}.mat"
    file.parent.mkdir()
    savemat(file, {f"anno_{split}_aligned": cells})
    return Written(folder, split, file)


def write_widerface(folder: Path, savemat: Callable, num_images: int = 6, split: str = "val") -> Written:
    generator = np.random.default_rng(8)
    lines, images = [], {}
    for i in range(num_images):
        name = f"0_Parade_{i}"
        draw(folder / f"WIDER_{split}" / "images" / "0--Parade" / f"{name}.jpg")
        boxes = sides(generator, 4).astype(int)
        boxes[0, 2] = 0 if i == 2 else boxes[0, 2]  # as some faces of the benchmark
        lines += [f"0--Parade/{name}.jpg", str(len(boxes))]
        lines += [f"{' '.join(map(str, box))} 0 0 0 0 0 0" for box in boxes.tolist()]
        hard = [k for k in (1, 2, 3, 4) if generator.random() < 0.8]
        images[name] = (boxes, {"easy": hard[:1], "medium": hard[:2], "hard": hard})
    text = "\n".join(lines) + "\n"
    (folder / "wider_face_split").mkdir()
    (folder / "wider_face_split" / f"wider_face_{split}_bbx_gt.txt").write_text(text)
    truth = folder / "ground_truth"
    truth.mkdir()
    write_ground_truth(truth, {"0--Parade": images}, savemat)
    return Written(folder, split, truth)


def made_up_detections(dataset, seed: int = 1) -> list[ImageDetections]:
    """Objects found more or less well, not at all, twice or as another class, and what is not there.

    Scores have one digit, so that many are equal; better places have better ones.
    """
    generator = np.random.default_rng(seed)
    found = []
    for number, example in enumerate(dataset.examples):
        boxes = np.concatenate([example.boxes, example.boxes[::2], sides(generator, 3)])
        boxes[-3:, 2:] += boxes[-3:, :2]
        boxes = boxes + generator.normal(0, 2.0, boxes.shape)
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 5)
        num_classes = len(dataset.class_names)
        classes = np.concatenate([example.classes, example.classes[::2], np.zeros(3, np.int32)])
        drawn = generator.integers(1, num_classes + 1, len(boxes))
        classes = np.where((classes == 0) | (generator.random(len(boxes)) < 0.1), drawn, classes)
        scores = generator.random(len(boxes))
        scores[: len(example.boxes)] += 0.5
        scores = (scores / 1.5).round(1).astype(np.float32)
        order = np.argsort(-scores, kind="stable")
        order = order[generator.random(len(order)) < (0.0 if number == 1 else 0.8)]
        found.append(
            ImageDetections(
                boxes[order].astype(np.float32),
                scores[order],
                classes[order].astype(np.int32),
                np.array(dataset.category_ids)[classes[order] - 1],
                tuple(dataset.class_names[c - 1] for c in classes[order]),
                example.image_id,
                SIZE[::-1],
            )
        )
    return found
