"""Where published figures lie with the files that they were measured on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# A reading of the environment, so that what is skipped can be told.
FOLDER = Path(os.environ.get("CASCADE_TF_ORACLES", Path(__file__).parents[2] / "../shared/oracles")).resolve()


def oracle(name: str) -> Path:
    """Returns a folder of published figures, such as ``voc``; skips the test where there is none."""
    if not (FOLDER / name).is_dir():
        pytest.skip(f"CASCADE_TF_ORACLES names no folder with {name}/")
    return FOLDER / name
