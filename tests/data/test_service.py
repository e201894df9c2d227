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
from tests.data.small_dataset import content_with_masks, write_annotations

WORKER = """
import sys
import tensorflow as tf
from cascade_tf.ops import library

library.load()
service = tf.data.experimental.service
service.WorkerServer(service.WorkerConfig(dispatcher_address=sys.argv[1])).join()
"""
TIMEOUT = 120  # seconds


@pytest.fixture
def dispatcher():
    """A dispatcher in this process with a worker in another one."""
    server = tf.data.experimental.service.DispatchServer()
    address = server.target.split("://")[1]
    root = Path(__file__).parents[2]
    worker = subprocess.Popen([sys.executable, "-c", WORKER, address], cwd=root)
    yield server
    worker.kill()
    worker.wait(TIMEOUT)


def test_another_process_prepares_the_same_batches(dispatcher, dataset_dir):
    write_annotations(dataset_dir, content_with_masks())
    data = read_dataset_dir(dataset_dir, "train", segmentations=True)
    settings = {"batch_size": 2, "short_sides": (40, 60), "max_side": 200, "seed": 3}
    batches = train_batches(data, start_step=5, num_steps=7, masks=True, **settings)
    remote = batches.apply(
        tf.data.experimental.service.distribute(
            processing_mode=tf.data.experimental.service.ShardingPolicy.OFF, service=dispatcher.target
        )
    )
    got, expected = list(remote), list(batches)
    assert len(got) == len(expected) == 7
    for one, other in zip(got, expected, strict=True):
        for a, b in zip(tf.nest.flatten(one), tf.nest.flatten(other), strict=True):
            np.testing.assert_array_equal(a, b)
