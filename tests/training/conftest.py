"""What the tests of training need to be let."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items):
    """Lets Keras save weights: NumPy 2 deprecates how TensorFlow's variables become arrays in it."""
    ignore = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")
    for item in items:
        if "tests/training/" in item.path.as_posix():
            item.add_marker(ignore)
