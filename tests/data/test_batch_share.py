"""Hosts read disjoint parts of each batch, padded as the whole."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.data.coco import read_dataset_dir
from cascade_tf.data.pipeline import train_batches
from cascade_tf.data.synthetic import draw_dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn") / "data"
    draw_dataset(folder, num_train=9, num_val=1, image_size=(64, 96), seed=1)
    return read_dataset_dir(folder, "train", segmentations=True)


def read(dataset, share=(0, 1), **settings):
    settings = {"short_sides": (48, 80), "max_side": 90, "size_divisor": 16, **settings}
    batches = train_batches(dataset, batch_size=4, num_steps=5, part=share, **settings)
    return list(batches.as_numpy_iterator())


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("count", [2, 4])
def test_shares_put_together_are_the_batch(dataset, masks, count):
    whole = read(dataset, masks=masks)
    shares = [read(dataset, (index, count), masks=masks) for index in range(count)]
    for expected, *parts in zip(whole, *shares, strict=True):
        images = tf.nest.map_structure(lambda *p: np.concatenate(p), *(part[0] for part in parts))
        for a, b in zip(expected[0], images, strict=True):
            np.testing.assert_array_equal(a, b)
        boxes = [
            row[valid] for part in parts for row, valid in zip(part[1].boxes, part[1].valid, strict=True)
        ]
        wanted = [row[valid] for row, valid in zip(expected[1].boxes, expected[1].valid, strict=True)]
        for a, b in zip(wanted, boxes, strict=True):
            np.testing.assert_array_equal(a, b)


def test_no_image_is_read_by_two_hosts(dataset):
    ids = [np.concatenate([batch.image_id for batch, _ in read(dataset, (i, 2))[:2]]) for i in (0, 1)]
    assert len(set(ids[0]) | set(ids[1])) == 8
