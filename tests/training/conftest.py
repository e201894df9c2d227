"""One strategy with two replicas for all tests of the process."""

from __future__ import annotations

import pytest
import tensorflow as tf


@pytest.fixture(scope="session")
def two_replicas(two_devices):
    """A MirroredStrategy over two devices.

    Two of them over the same devices number their collective operations alike and fail with a shape mismatch,
    so that one must serve the whole process.
    """
    return tf.distribute.MirroredStrategy(two_devices)


def pytest_collection_modifyitems(items):
    """Lets Keras save weights: NumPy 2 deprecates how TensorFlow's variables become arrays in it."""
    ignore = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")
    for item in items:
        if "tests/training/" in item.path.as_posix():
            item.add_marker(ignore)
