"""Batches that a service of tf.data prepares in another process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from cascade_tf.data.coco import read_dataset_dir
from cascade_tf.data.pipeline import train_batches
from cascade_tf.data.service import on_service
from cascade_tf.data.settings import DataConfig
from tests.data.small_dataset import content_with_masks, write_annotations

TIMEOUT = 120  # seconds
PROGRAM = Path(__file__).parents[2] / "scripts" / "data_service.py"


def test_a_service_cannot_tell_what_it_skips():
    with pytest.raises(ValueError, match=r"data.service: got 'a:1' with data.skip_broken=true, expected one"):
        DataConfig(service="a:1", skip_broken=True)


@pytest.fixture
def address():
    """A service in another process."""
    command = [sys.executable, str(PROGRAM), "--host", "localhost"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait(TIMEOUT)
        process.stdout.close()


def test_another_process_prepares_the_same_batches(address, dataset_dir):
    write_annotations(dataset_dir, content_with_masks())
    data = read_dataset_dir(dataset_dir, "train", segmentations=True)
    settings = {"batch_size": 2, "short_sides": (40, 60), "max_side": 200, "seed": 3}
    batches = train_batches(data, start_step=5, num_steps=7, masks=True, **settings)
    got, expected = list(on_service(batches, address)), list(batches)
    assert len(got) == len(expected) == 7
    for one, other in zip(got, expected, strict=True):
        for a, b in zip(tf.nest.flatten(one), tf.nest.flatten(other), strict=True):
            np.testing.assert_array_equal(a, b)
