"""Whole nets that were recorded from the authors' Caffe code.

A baseline of each family and one cascade are in the folder ``caffe/nets``. All nets are in the folder
``nets`` of that which the environment variable GOLDEN_CAFFE names, by default ``../shared/golden_caffe``
beside the project; where it is missing or has no nets the tests run on the few. What a net is, its layers
say, whatever its folder is called.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from pathlib import Path

import numpy as np
import pytest

from cascade_tf.weights.files.checkpoint_file import read_checkpoint
from tests.golden.caffe_layers import BESIDE, COMMITTED

_ALL = Path(os.environ.get("GOLDEN_CAFFE", BESIDE)) / "nets"
FOLDER = _ALL if any(_ALL.glob("*/net.caffemodel")) else COMMITTED / "nets"
PIXEL_MEAN = np.array([104, 117, 123], np.float32)


@dataclasses.dataclass(frozen=True)
class RecordedNet:
    """The folder of one net.

    Attributes:
        folder: its own.
        training: the phase that ``train`` is of.
    """

    folder: Path
    training: str = "train"

    def in_phase(self, training):
        """The same net with another phase of its training."""
        return dataclasses.replace(self, training=training)

    @functools.cached_property
    def weights(self):
        """Arrays by ``LAYER/INDEX``, in Caffe's layouts."""
        return read_checkpoint(self.folder / "net.caffemodel").arrays

    @functools.cached_property
    def layers(self):
        """Settings of the layers of the test phase by their names."""
        return self.layers_of("test")

    def layers_of(self, phase):
        """Settings of the layers of a phase by their names."""
        return {layer["name"]: layer["params"] for layer in self._tables[phase]}

    @functools.cached_property
    def kind(self):
        """Which of the authors' networks: vgg, alex, rfcn50, fpn101 and so on; mscnn for other proposals."""
        depth = 101 if "res4b22_branch2a" in self.layers else 50
        for layer, kind in (("rpn_fpn2_cls", f"fpn{depth}"), ("rfcn_cls", f"rfcn{depth}")):
            if layer in self.layers:
                return kind
        if "rpn_cls" not in self.layers:
            return "mscnn"
        return "vgg" if "conv5_3" in self.layers else "alex"

    @property
    def is_voc(self):
        """Whether there are VOC's nine anchors in a cell, with two scores each."""
        return "rpn_cls/0" in self.weights and len(self.weights["rpn_cls/0"]) == 18

    def inputs_of(self, name):
        """What a layer of the test phase reads."""
        return next(layer["bottoms"] for layer in self._tables["test"] if layer["name"] == name)

    @property
    def source(self):
        """The authors' folder that the net is from; None where the tables do not say it."""
        return self._tables.get("source")

    @functools.cached_property
    def _tables(self):
        return json.loads((self.folder / "layers.json").read_text())

    @functools.cached_property
    def test(self):
        """What was recorded of the test phase, as the file has it: ``in/...``, ``out/...``."""
        return self._read("test")

    @functools.cached_property
    def train(self):
        """The same of the training phase, with gradients: ``dout/BLOB``, ``grad/LAYER/INDEX``."""
        return self._read(self.training)

    def _read(self, phase):
        with np.load(self.folder / f"{phase}.npz") as arrays:
            return dict(arrays)

    def images(self, training=False):
        """[N, h, w, 3] normalised pixels, blue first."""
        return np.moveaxis((self.train if training else self.test)["in/data_u8"], 1, -1) - PIXEL_MEAN

    def map(self, name):
        """[N, h, w, C] a recorded blob; of rows that are no images the first, where only these were kept."""
        (found,) = (value for key, value in self.test.items() if key.split("__")[0] == f"out/{name}")
        return np.moveaxis(found, 1, -1)

    def boxes(self, name):
        """[1, R, 4] continuous boxes of a recorded blob of RoIs of one image."""
        rois = self.test[f"out/{name}"]
        assert np.all(rois[:, 0] == 0)
        return (rois[:, 1:, 0, 0] + np.float32([0, 0, 1, 1]))[None]


def recorded_nets(*starts):
    """Parameters for a test: the nets of the kinds that start so."""
    nets = [RecordedNet(path.parent) for path in sorted(FOLDER.glob("*/net.caffemodel"))]
    found = [pytest.param(net, id=net.folder.name) for net in nets if net.kind.startswith(starts)]
    skip = pytest.mark.skip(
        reason=f"no recorded net is of a kind in {starts}: GOLDEN_CAFFE names no folder of all"
    )
    return found or [pytest.param(None, id="none", marks=skip)]
