"""Phases of the recorded nets: what each layer read and put out, in training too."""

from __future__ import annotations

import dataclasses
import json
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest

from tests.golden.caffe_layers import flat_settings
from tests.golden.caffe_nets import FOLDER


@dataclasses.dataclass(frozen=True)
class PhaseLayer:
    """One layer of a net: its type, the names of its blobs, and its settings whatever group they are in."""

    name: str
    kind: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    settings: dict


@dataclasses.dataclass(frozen=True)
class RecordedPhase:
    """A net in one phase: ``test``, ``train``, ``train_1st`` or ``train_2nd``."""

    folder: Path
    phase: str

    @cached_property
    def arrays(self):
        with np.load(self.folder / f"{self.phase}.npz") as arrays:
            return dict(arrays)

    @cached_property
    def layers(self):
        table = json.loads((self.folder / "layers.json").read_text())[self.phase]
        return [
            PhaseLayer(
                record["name"],
                record["type"],
                tuple(record["bottoms"]),
                tuple(record["tops"]),
                dict(flat_settings(record["params"])),
            )
            for record in table
        ]

    def of_kind(self, kind):
        return [layer for layer in self.layers if layer.kind == kind]

    def blob(self, name, kind="out"):
        """The rows [R, ...] of a blob, None where it was not recorded."""
        key = next((key for key in (f"{kind}/{name}", f"in/{name}") if key in self.arrays), None)
        return None if key is None else self.arrays[key]

    def gradient(self, name):
        return self.blob(name, "dout")


def recorded_phases(*phases, kind):
    """Parameters for a test: the nets that have layers of a kind, in each of the phases that they have."""
    nets = [
        RecordedPhase(file.parent, phase)
        for phase in phases
        for file in sorted(FOLDER.glob(f"*/{phase}.npz"))
    ]
    found = [pytest.param(net, id=f"{net.folder.name}-{net.phase}") for net in nets if net.of_kind(kind)]
    skip = pytest.mark.skip(reason="GOLDEN_CAFFE names no folder with recorded nets")
    return found or [pytest.param(None, id="none", marks=skip)]
