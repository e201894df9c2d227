"""Masks that a head should answer, pasted, encoded and measured: on the way to AP nothing is lost."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cascade_tf.data.coco import CocoDataset, read_dataset_dir
from cascade_tf.data.segmentation import to_packed_mask
from cascade_tf.data.synthetic import draw_dataset
from cascade_tf.metrics import evaluate_instances
from cascade_tf.ops.mask_targets import crop_masks
from cascade_tf.prediction.inference import ImageDetections, to_coco_results

# 28 cells to a side cut the corners of the largest shapes, which costs 0.02. A quarter of a pixel of error in
# the boxes, or in where cells lie, costs 0.05.
LEAST_AP = 0.97


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> CocoDataset:
    folder = tmp_path_factory.mktemp("drawn") / "data"
    draw_dataset(folder, num_train=1, num_val=12, image_size=(192, 256), seed=5)
    return read_dataset_dir(folder, "val", segmentations=True)


def perfect(dataset: CocoDataset, shift: float = 0.0) -> list[ImageDetections]:
    """The objects themselves; with ``shift``, boxes moved by so many pixels after the masks were cut out."""
    records = []
    for example in dataset.examples:
        count = len(example.boxes)
        packed = np.stack([to_packed_mask(s, example.height, example.width) for s in example.segmentations])
        size, index = [[example.height, example.width]], np.arange(count)[None]
        masks = crop_masks(packed[None], size, example.boxes[None], index, np.ones((1, count), bool))
        records.append(
            ImageDetections(
                boxes=example.boxes + np.float32(shift),
                scores=np.linspace(1, 0.5, count, dtype=np.float32),
                classes=example.classes,
                category_ids=np.array(dataset.category_ids)[example.classes - 1],
                names=tuple(dataset.class_names[c - 1] for c in example.classes),
                image_id=example.image_id,
                size=(example.height, example.width),
                masks=masks[0].numpy(),
            )
        )
    return records


def test_perfect_masks_are_measured_as_such(dataset):
    results = json.loads(json.dumps(to_coco_results(perfect(dataset))))
    found = evaluate_instances(dataset.ground_truth(), results)
    assert found.summary["AP"] == pytest.approx(1.0)
    assert found.mask.summary["AP50"] == pytest.approx(1.0)
    assert found.mask.summary["AP90"] == pytest.approx(1.0)
    assert found.mask.summary["AP"] > LEAST_AP


def test_a_quarter_of_a_pixel_is_seen(dataset):
    """The bound above is one that an error would break."""
    found = evaluate_instances(dataset.ground_truth(), to_coco_results(perfect(dataset, shift=0.25)))
    assert found.mask.summary["AP"] < LEAST_AP
    assert found.mask.summary["AP90"] < 0.99
