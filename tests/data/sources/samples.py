"""Where real pieces of the data sets lie, which are not part of the project."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# A reading of the environment, so that what is skipped can be told.
FOLDER = Path(os.environ.get("CASCADE_TF_SAMPLES", Path(__file__).parents[3] / "../shared/data")).resolve()


def sample(name: str) -> Path:
    """Returns the folder of a sample, such as ``voc_sample``; skips the test where there is none."""
    if not (FOLDER / name).is_dir():
        pytest.skip(f"CASCADE_TF_SAMPLES names no folder with {name}/")
    return FOLDER / name
