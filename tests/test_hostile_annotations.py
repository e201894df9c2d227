"""Whatever the reader accepts, every later part survives: tables, masks, settings, evaluation, files.

Single values of a small data set are replaced by hostile ones. Each time the reader either refuses with an
error of its own, or what it returns goes through everything that reads annotations later.
"""

from __future__ import annotations

import copy
import json
import math
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cascade_tf.data.coco import read_dataset_dir
from cascade_tf.data.dataset import CocoDataset
from cascade_tf.data.image_check import check_images
from cascade_tf.data.outline_table import OutlineTable
from cascade_tf.data.segmentation import packed_mask
from cascade_tf.data.table import ExampleTable
from cascade_tf.experiment import config
from cascade_tf.masks.instance_masks import encode_masks
from cascade_tf.metrics import evaluate_coco, evaluate_instances
from cascade_tf.models import cascade_rcnn_fpn
from cascade_tf.prediction.inference import ImageDetections, to_coco_results
from tests.data import small_dataset

MISSING = object()
NUMBERS = [0, -1, 0.5, 7.0, 2**31, 2**63 - 1, 2**63, -(2**63), 2**70, 10**400, 1e300, math.nan, math.inf]
TEXTS = ["", "7", "x", "nan", "1e999", "\ud800", "a\0b", "x" * 300, "\n"]
LISTS: list[Any] = [[], [None], [[]], [math.nan] * 4, [2**70] * 4, [1e300] * 6, [[1e300] * 6], [["1"] * 6]]
RUNS = [
    {},
    {"size": [40, 60], "counts": [2400]},
    {"size": [2**40, 2**40], "counts": [2**80]},
    {"size": [40, 60], "counts": "\ud800"},
    {"size": [40, 60], "counts": [2**70]},
    {"size": None, "counts": None},
]
VALUES = [MISSING, None, True, *NUMBERS, *TEXTS, *LISTS, *RUNS]
PLACES: list[tuple[Any, ...]] = [
    *(("images", 0, field) for field in ("id", "file_name", "width", "height")),
    ("images", 3, "id"),
    *(("annotations", 0, field) for field in ("id", "image_id", "category_id", "bbox", "iscrowd", "area")),
    *(("annotations", 0, "bbox", side) for side in range(4)),
    ("annotations", 0, "segmentation"),
    ("annotations", 0, "segmentation", 0),
    ("annotations", 0, "segmentation", 0, 0),
    *(("annotations", 1, field) for field in ("iscrowd", "area", "segmentation", "bbox")),
    *(("annotations", 4, "segmentation", field) for field in ("size", "counts")),
    *(("categories", 0, field) for field in ("id", "name", "supercategory")),
    *((kind, 0) for kind in ("images", "annotations", "categories")),
    *((kind,) for kind in ("images", "annotations", "categories")),
]


@pytest.fixture
def folder(tmp_path) -> Path:
    small_dataset.write_pictures(tmp_path / "images")
    return tmp_path


def mutations(place: tuple[Any, ...]) -> Iterator[dict]:
    for value in VALUES:
        content = small_dataset.content_with_masks()
        parent: Any = content
        for key in place[:-1]:
            parent = parent[key]
        if value is MISSING:
            parent.pop(place[-1], None) if isinstance(parent, dict) else parent.pop(place[-1])
        else:
            parent[place[-1]] = copy.deepcopy(value)
        yield content


@pytest.mark.parametrize("place", PLACES, ids=lambda place: ".".join(map(str, place)))
@pytest.mark.parametrize(("masks", "skip_broken"), [(False, False), (True, True)])
def test_what_is_accepted_survives(folder, place, masks, skip_broken):
    accepted = 0
    for content in mutations(place):
        (folder / "instances_train.json").write_text(json.dumps(content))
        try:
            dataset = read_dataset_dir(folder, "train", skip_broken=skip_broken, segmentations=masks)
            dataset = check_images(dataset, skip_broken=skip_broken)
        except (ValueError, FileNotFoundError) as error:
            complain_on_purpose(error)
            continue
        accepted += 1
        survive(dataset, masks, folder)
    # With broken records left out, only whole lists and categories can make a data set unusable.
    if skip_broken and place[0] != "categories" and len(place) > 1:
        assert accepted == len(VALUES)


def complain_on_purpose(error: Exception) -> None:
    """The error comes from a check of the package, names its file, and can be written as UTF-8 or escaped."""
    assert not isinstance(error, UnicodeError), error
    assert "cascade_tf" in traceback.extract_tb(error.__traceback__)[-1].filename, error
    assert "instances_train.json" in str(error)
    assert str(error).encode("utf-8", "backslashreplace")


def survive(dataset: CocoDataset, masks: bool, folder: Path) -> None:
    table = ExampleTable.of(dataset.examples, None)
    assert table.ids.numpy().tolist() == [example.image_id for example in dataset.examples]
    for example in dataset.examples:
        assert np.isfinite(example.boxes).all()
        assert (example.boxes[:, 2:] > example.boxes[:, :2]).all()
        assert (example.boxes >= 0).all()
        assert (example.boxes[:, 2:] <= (example.width, example.height)).all()
        # Of a crowd the class may not be known.
        assert (example.classes >= np.where(example.crowd, 0, 1)).all()
        assert (example.classes <= len(dataset.categories)).all()
        for segmentation in example.segmentations:
            if segmentation is not None:
                packed_mask(segmentation, (example.height, example.width), (50, 70))
    if masks:
        assert OutlineTable.of(table.segmentations, table.sizes) is not None
    blank = config.Experiment(name="x", model=cascade_rcnn_fpn)
    experiment = config.with_classes(blank, dataset.class_names, dataset.category_ids)
    config.write_experiment(experiment, folder)
    assert config.read_experiment(folder).category_ids == dataset.category_ids
    found = [record(example, dataset, masks) for example in dataset.examples]
    evaluate = evaluate_instances if masks else evaluate_coco
    detections = to_coco_results(found)
    result = evaluate(dataset.ground_truth(), detections, image_ids=[r.image_id for r in found])
    assert not masks or result.mask is not None, result.no_mask
    assert all(math.isnan(value) or 0 <= value <= 1 for value in result.numbers().values())
    result.to_csv(folder / "result.csv")
    result.to_json(folder / "result.json")
    assert result.to_table().encode()
    assert json.dumps(detections).encode()


def record(example: Any, dataset: CocoDataset, masks: bool) -> ImageDetections:
    """What a detector gives that finds exactly the annotated boxes."""
    count, size = len(example.boxes), (example.height, example.width)
    classes = np.maximum(example.classes, 1)
    return ImageDetections(
        example.boxes,
        np.full(count, 0.5, np.float32),
        classes,
        np.asarray(dataset.category_ids, np.int64)[classes - 1],
        tuple(dataset.class_names[number - 1] for number in classes),
        example.image_id,
        size,
        None,
        encode_masks(np.ones([count, 4, 4], np.float32), example.boxes, size) if masks else None,
    )
