"""What the tests of readers and batches share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data import small_dataset


@pytest.fixture(autouse=True)
def _same_start():
    """Nothing in this folder touches Keras, whose state takes longer to reset than these tests take."""


@pytest.fixture
def dataset_dir(tmp_path) -> Path:
    """A correct data set folder with one split, "train"."""
    small_dataset.write_pictures(tmp_path / "images")
    small_dataset.write_annotations(tmp_path, small_dataset.content())
    return tmp_path
