"""Programs that read some classes of a data set, and train on a split of another name."""

from __future__ import annotations

import dataclasses
import importlib
import json

import pytest

from cascade_tf.data.coco import read_dataset_dir
from cascade_tf.data.scenes.writing import draw_scenes
from cascade_tf.experiment import config
from cascade_tf.models import cascade_mscnn_kitti
from cascade_tf.training.settings import TrainConfig
from tests.scripts.conftest import SCRIPTS

CARS = ("Car", "Van", "Truck", "Tram")
SMALL = {
    "backbone.channels": (4, 4, 4, 8, 8),
    "neck.channels": 8,
    "proposals.hidden": (8, None, None, None),
    "proposals.pre_nms_train": 50,
    "proposals.pre_nms_test": 20,
    "heads.head.channels": 8,
    "heads.head.units": 8,
    "output.max_detections": 5,
    "short_side": 64,
    "max_side": 192,
}


@pytest.fixture(scope="module")
def street(tmp_path_factory):
    """KITTI's folders, with a frame to detect in."""
    folder = tmp_path_factory.mktemp("street") / "KITTI"
    draw_scenes(folder, "street", num_train=3, num_val=2, num_test=1, image_size=(128, 320), seed=5)
    return folder


@pytest.fixture(scope="module")
def configuration(tmp_path_factory):
    """A detector of cars that learns from all frames with labels."""
    experiment = config.Experiment(
        name="cars",
        model=cascade_mscnn_kitti.replace(SMALL),
        data=config.DataConfig(classes=CARS, train_split="trainval"),
        train=TrainConfig(batch_size=2, steps=2, warmup_steps=0, decay_steps=()),
    )
    file = tmp_path_factory.mktemp("configuration") / "cars.py"
    text = config.to_json(experiment)
    file.write_text(
        "from cascade_tf.experiment.config import from_json\n\n\n"
        f"def experiment():\n    return from_json({text!r})\n"
    )
    return file


def test_cars_are_learnt_measured_submitted_and_proposed(call, street, configuration, tmp_path):
    workdir = tmp_path / "run"
    said = call("train", f"--config={configuration}", f"--dataset_dir={street}", f"--workdir={workdir}")
    assert said.status == 0, said.err
    assert "trainval: 5 images" in said.err
    assert "2 of the 2 images to measure on are images to train on" in said.err
    trained = config.read_experiment(workdir)
    assert (trained.class_names, trained.category_ids) == (CARS, (1, 4, 5, 7))
    content = json.loads((workdir / "evaluation" / "val.json").read_text())["benchmark"]
    assert {name.split("/")[0] for name in content["numbers"]} == {"car", "mean"}
    # The weights know what they have learnt, wherever they lie.
    flags = (f"--weights={workdir / 'best.weights.h5'}", f"--dataset_dir={street}")
    said = call("evaluate", *flags, f"--output={tmp_path / 'measured'}")
    assert said.status == 0, said.err
    assert "of Pedestrian, Cyclist" in said.err
    sent = tmp_path / "sent"
    flags = (f"--workdir={workdir}", f"--dataset_dir={street}", "--split=test")
    said = call("predict", *flags, f"--output={tmp_path / 'seen'}", f"--submission={sent}", "--nopictures")
    assert said.status == 0, said.err
    assert [file.name for file in sent.iterdir()] == ["000000.txt"]
    said = call("propose", *flags, f"--output={tmp_path / 'boxes.npz'}")
    assert said.status == 0, said.err


def test_classes_that_are_not_there_stop_before_anything_is_built(call, street, configuration, tmp_path):
    flags = (f"--config={configuration}", f"--dataset_dir={street}", f"--workdir={tmp_path / 'run'}")
    said = call("train", *flags, "--set=data.classes=Car,Lorry")
    assert "classes: got 'Lorry', expected some of Car, Pedestrian, Cyclist, Van, Truck" in said.complaint


def test_its_data_is_looked_at_beside_its_templates(call, street, configuration, tmp_path):
    page = tmp_path / "look.html"
    flags = (f"--dataset_dir={street}", f"--config={configuration}", f"--overview={page}")
    said = call("prepare_data", *flags)
    assert said.status == 0, said.err
    assert "Truck" in page.read_text()


def test_training_pads_batches_to_what_the_model_wants(street, configuration, monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    train = importlib.import_module("train")
    experiment = config.load_config(configuration)
    # 128 x 320 becomes 100 x 150, and a batch of the coarsest map's stride.
    model = experiment.model.replace({"short_side": 100, "max_side": 150})
    data = read_dataset_dir(street, "train", classes=CARS)
    ((batch, _),) = train.training_batches(dataclasses.replace(experiment, model=model), data, num_steps=1)
    assert batch.image_size.numpy().tolist() == [[100, 150]] * 2
    assert tuple(batch.images.shape) == (2, 128, 192, 3)
