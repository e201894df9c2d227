"""Layers that were recorded from the authors' Caffe code, case by case.

A few cases are in the folder ``caffe``. All of them are in the folder that the environment variable
GOLDEN_CAFFE names, by default ``../shared/golden_caffe`` beside the project; where it is missing the tests
that want them are skipped.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest

COMMITTED = Path(__file__).parent / "caffe"
BESIDE = Path(__file__).parents[3] / "shared" / "golden_caffe"


@dataclasses.dataclass(frozen=True)
class RecordedLayer:
    """One case of a layer: its arrays, and its settings whatever group they are in."""

    file: Path
    case: str
    fork: str
    phase: str | None
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    settings: dict

    def array(self, name):
        with np.load(self.file) as arrays:
            return arrays[f"{self.case}/{name}"]

    def maps(self, name):
        """[N, C, h, w] as [N, h, w, C]."""
        return np.moveaxis(self.array(name), 1, -1)

    def boxes(self):
        """[N, R, 4] every box for every image, and the (image, row) where each box belongs."""
        rois = self.array("in/rois")
        images = self.array("in/x").shape[0]
        return np.stack([rois[:, 1:]] * images), (rois[:, 0].astype(int), np.arange(len(rois)))

    def number(self, name):
        return float(self.settings.get(name, 0))


def recorded(layer, kind=None):
    """Parameters for a test: the committed cases of a layer and those of the folder beside the project.

    Args:
        layer: name of the files.
        kind: type of layer, where files hold several.
    """
    found = _cases(COMMITTED, layer, kind)
    folder = Path(os.environ.get("GOLDEN_CAFFE", BESIDE)) / "singles"
    parameters = [pytest.param(case, id=f"committed-{case.case}") for case in found]
    if not (folder / f"{layer}.json").is_file():
        skip = pytest.mark.skip(reason="GOLDEN_CAFFE names no folder with the recorded layers")
        return [*parameters, pytest.param(None, id="all", marks=skip)]
    return parameters + [pytest.param(case, id=f"all-{case.case}") for case in _cases(folder, layer, kind)]


def _cases(folder, layer, kind):
    file = folder / f"{layer}.json"
    records = json.loads(file.read_text()) if file.is_file() else []
    records = [record for record in records if kind in (None, record.get("type"))]
    cases = []
    for record in records:
        settings = dict(flat_settings(record["params"]))
        cases.append(
            RecordedLayer(
                file.with_suffix(".npz"),
                record["case"],
                record["fork"],
                record.get("phase"),
                tuple(record.get("bottoms", ())),
                tuple(record.get("tops", ())),
                settings,
            )
        )
    return cases


def flat_settings(parameters):
    """(name, value) of a layer's settings, those of its groups and those beside them."""
    for name, value in parameters.items():
        yield from value.items() if isinstance(value, dict) else [(name, value)]
