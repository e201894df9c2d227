"""The configurations for one's own images take a data set of every layout."""

from __future__ import annotations

import importlib
import json

import numpy as np
import pytest

from cascade_tf.conversion.tfrecord import write_tfrecords
from cascade_tf.data.coco import read_dataset_dir
from cascade_tf.data.sources.layout import LAYOUTS
from cascade_tf.experiment.config import load_config
from cascade_tf.experiment.overrides import apply_overrides
from tests.data.small_dataset import content, write_annotations, write_pictures
from tests.data.sources import tool_samples
from tests.protocols import layouts
from tests.scripts.conftest import SCRIPTS

SMALL = (
    "model.backbone.depth=14",
    "model.backbone.width=0.125",
    "model.backbone.norm=group",
    "model.backbone.freeze_at=0",
    "model.neck.channels=32",
    "model.neck.norm=group",
    "model.heads.head.units=32",
    "model.heads.num_samples=16",
    "model.proposals.post_nms_train=20",
    "model.proposals.post_nms_test=20",
    "model.short_side=64",
    "model.max_side=96",
    "data.short_sides=64",
    # Of what has no images to measure on.
    "data.val_fraction=0.4",
    "train.batch_size=2",
    "train.steps=1",
    "train.decay_steps=",
    "evaluation.per_stage=false",
)
TOOLS = {
    "yolo": "YOLO of Label Studio",
    "xml": "labelImg",
    "via": "VIA 2",
    "createml": "CreateML",
    "labelme": "labelme",
    "datumaro": "Datumaro of CVAT",
}
PROTOCOLS = {"voc": "voc2007", "kitti": "kitti", "citypersons": "citypersons", "widerface": "widerface"}


def test_there_is_a_sample_of_every_layout():
    assert {*TOOLS, *PROTOCOLS, "tfrecord"} == set(LAYOUTS)


@pytest.fixture
def written(tmp_path):
    """Writes a data set of a layout and gives its folder."""

    def write(layout):
        folder = tmp_path / "data"
        if layout in TOOLS:
            return tool_samples.write(folder, tool_samples.WHOLE[TOOLS[layout]][1]())
        if layout in ("coco", "tfrecord"):
            folder.mkdir()
            write_pictures(folder / "images")
            write_annotations(folder, content())
            if layout == "coco":
                return folder
            write_tfrecords({"train": read_dataset_dir(folder, "train")}, tmp_path / "shards")
            return tmp_path / "shards"
        if layout == "voc":
            return layouts.write_voc(folder).folder
        if layout == "kitti":
            return layouts.write_kitti(folder, num_images=4).folder
        savemat = pytest.importorskip("scipy.io").savemat
        save = layouts.write_citypersons if layout == "citypersons" else layouts.write_widerface
        return save(folder, savemat, split="train").folder

    return write


@pytest.fixture
def train(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("train")


@pytest.mark.parametrize("layout", ["coco", *LAYOUTS])
def test_a_batch_to_learn_from(train, written, layout):
    settings = [*SMALL, f"data.dataset_dir={written(layout)}"]
    experiment = apply_overrides(load_config("custom/faster"), settings)
    experiment, train_set, val_set = train.program.read_data(experiment)
    assert experiment.class_names == train_set.class_names == val_set.class_names
    assert len(val_set.examples) > 0
    protocol = importlib.import_module("program").chosen_protocol(experiment, val_set)
    assert protocol.name == PROTOCOLS.get(layout, "coco")
    batch, targets = next(iter(train.training_batches(experiment, train_set, 0)))
    assert batch.images.shape[0] == 2
    heights = batch.image_size.numpy()[:, 0]
    assert ((heights > 0) & (heights <= batch.images.shape[1])).all()
    counted = targets.valid.numpy()
    assert counted.any()
    classes = targets.classes.numpy()[counted]
    assert set(classes.tolist()) <= set(range(1, len(experiment.class_names) + 1))
    sides = targets.boxes.numpy()[counted]
    assert np.all(sides[:, 2:] > sides[:, :2])


@pytest.mark.slow
def test_a_step(call, written, tmp_path):
    """Of a layout whose protocol has a rule, which stands beside the number of the best weights."""
    settings = [f"--set={setting}" for setting in SMALL]
    flags = f"--dataset_dir={written('kitti')}", f"--workdir={tmp_path / 'run'}"
    said = call("train", "--config=custom/faster", *settings, *flags)
    assert said.status == 0, said.err
    best = json.loads((tmp_path / "run" / "best.json").read_text())
    assert list(best) == ["step", "kitti/mean/AP40/moderate", "measured_by"]
    assert (best["step"], best["measured_by"]) == (1, "the rule of 2017")
