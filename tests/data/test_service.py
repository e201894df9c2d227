"""Batches that a service of tf.data prepares in another process."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from cascade_tf.data.coco import read_dataset_dir
from cascade_tf.data.pipeline import train_batches
from cascade_tf.data.service import check_service, on_service
from cascade_tf.data.settings import DataConfig
from cascade_tf.ops.library import twins_alone
from tests.data.small_dataset import content_with_masks, write_annotations

TIMEOUT = 120  # seconds
PROGRAM = Path(__file__).parents[2] / "scripts" / "data_service.py"


def test_a_service_cannot_tell_what_it_skips():
    with pytest.raises(ValueError, match=r"data.service: got 'a:1' with data.skip_broken=true, expected one"):
        DataConfig(service="a:1", skip_broken=True)


def test_where_nobody_answers_it_is_said_at_once():
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        address = f"localhost:{taken.getsockname()[1]}"
        with pytest.raises(ValueError, match=rf"data\.service: nobody answers at {address} \(.*refused"):
            check_service(address)
        taken.listen()
        check_service(address)


@pytest.mark.parametrize("address", ["reader1", "reader1:", ":5050", "reader1:http", "reader1:70000"])
def test_addresses_have_a_host_and_a_port(address):
    with pytest.raises(ValueError, match=rf"data\.service: got '{address}', expected HOST:PORT"):
        check_service(address)


def test_pictures_that_need_python_are_refused(dataset_dir):
    picture = dataset_dir / "images" / "a.png"
    Image.open(picture).save(picture, "WEBP", lossless=True)
    data = read_dataset_dir(dataset_dir, "train")
    batches = train_batches(data, batch_size=1, short_sides=(40,), max_side=200, num_steps=1)
    with pytest.raises(ValueError, match=r"data\.service: got 'a:1' and batches that need Python"):
        on_service(batches, "a:1")


def test_masks_that_need_python_are_refused(dataset_dir):
    write_annotations(dataset_dir, content_with_masks())
    data = read_dataset_dir(dataset_dir, "train", segmentations=True)
    settings = {"batch_size": 1, "short_sides": (40,), "max_side": 200}
    with twins_alone():
        batches = train_batches(data, masks=True, num_steps=1, **settings)
    with pytest.raises(ValueError, match=r"and batches that need Python"):
        on_service(batches, "a:1")


@pytest.fixture
def service():
    """A service in another process, and its address."""
    command = [sys.executable, str(PROGRAM), "--host", "localhost"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait(TIMEOUT)
        process.stdout.close()


def test_another_process_prepares_the_same_batches_until_it_is_stopped(service, dataset_dir):
    process, address = service
    check_service(address)
    write_annotations(dataset_dir, content_with_masks())
    data = read_dataset_dir(dataset_dir, "train", segmentations=True)
    settings = {"batch_size": 2, "short_sides": (40, 60), "max_side": 200, "seed": 3}
    batches = train_batches(data, start_step=5, num_steps=7, masks=True, **settings)
    got, expected = list(on_service(batches, address)), list(batches)
    assert len(got) == len(expected) == 7
    for one, other in zip(got, expected, strict=True):
        for a, b in zip(tf.nest.flatten(one), tf.nest.flatten(other), strict=True):
            np.testing.assert_array_equal(a, b)
    process.send_signal(signal.SIGINT)
    assert process.wait(TIMEOUT) == 130
