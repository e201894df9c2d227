"""Other places where the work of the input pipeline can be done: beforehand, or in another process.

Each gives the same batches. What counts is the CPU time that is left in the process that trains.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import measuring
import photos
import tensorflow as tf
from PIL import Image

from cascade_tf.data.coco import CocoDataset
from cascade_tf.data.pipeline import train_batches

MakeBatches = Callable[[], tf.data.Dataset]

STEPS = 1000  # more than are measured in a round
SAVED_STEPS = 16
# The ops must be there before a graph with them arrives.
_WORKER = """
import sys
sys.path.insert(0, sys.argv[2])
import tensorflow as tf
from cascade_tf.ops import library

library.load()
service = tf.data.experimental.service
service.WorkerServer(service.WorkerConfig(dispatcher_address=sys.argv[1])).join()
"""


@contextlib.contextmanager
def alternatives(dataset: CocoDataset, scratch: Path, **settings: Any) -> Iterator[dict[str, MakeBatches]]:
    """Prepares the alternatives; they work inside the context.

    Args:
        dataset: whose JPEGs they are about.
        scratch: an empty folder for what is prepared beforehand.
        **settings: of `train_batches`.
    """
    decoded = photos.make_dataset(_decode_files(dataset, scratch))
    saved = scratch / "batches"
    train_batches(dataset, num_steps=SAVED_STEPS, **settings).save(str(saved))
    with _service() as target:
        yield {
            "files decoded beforehand (BMP)": lambda: train_batches(decoded, **settings),
            "batches saved beforehand": lambda: tf.data.Dataset.load(str(saved)).repeat().prefetch(1),
            "batches of a tf.data service in another process": lambda: train_batches(
                dataset, num_steps=STEPS, **settings
            ).apply(
                tf.data.experimental.service.distribute(
                    processing_mode=tf.data.experimental.service.ShardingPolicy.OFF, service=target
                )
            ),
        }


def _decode_files(dataset: CocoDataset, scratch: Path) -> list[Path]:
    paths = []
    for example in dataset.examples:
        paths.append(scratch / f"{example.image_id}.bmp")
        with Image.open(example.path) as image:
            image.convert("RGB").save(paths[-1])
    return paths


@contextlib.contextmanager
def _service() -> Iterator[str]:
    """The address of a dispatcher in this process, which has a worker in another one."""
    dispatcher = tf.data.experimental.service.DispatchServer()
    address = dispatcher.target.split("://")[1]
    command = [sys.executable, "-c", _WORKER, address, str(measuring.SCRIPTS.parent)]
    worker = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        yield dispatcher.target
    finally:
        worker.kill()
        worker.wait()
