"""A small data set, a run with untrained weights, and a way to call a program and see what it says."""

from __future__ import annotations

import importlib
import json
import shutil
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import pytest

from cascade_tf.data.coco import read_dataset_dir
from cascade_tf.data.synthetic import draw_dataset
from cascade_tf.experiment import config
from cascade_tf.models import cascade_rcnn_fpn
from tests.data.sources.small_voc import Thing, write_year

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
TINY = {
    "backbone.depth": 14,
    "backbone.width": 0.125,
    "backbone.norm": "group",
    "neck.norm": "group",
    "backbone.freeze_at": 0,
    "neck.channels": 32,
    "heads.head.units": 32,
    "proposals.anchor_sizes": (16, 32, 64, 128, 256),
    "proposals.post_nms_train": 50,
    "proposals.post_nms_test": 20,
    "heads.num_samples": 32,
    "short_side": 96,
    "max_side": 128,
}

# Of the full-size detectors of the benchmarks, whichever a family has.
SHRUNK = {
    "backbone.depth": 14,
    "backbone.width": 0.25,
    "backbone.channels": (16, 16, 16, 16, 16),
    "neck.channels": 16,
    "heads.head.units": 16,
    "heads.head.channels": 16,
    "heads.num_samples": 16,
    "proposals.channels": 16,
    "proposals.post_nms_test": 20,
    "proposals.pre_nms_test": 200,
}


class Said(NamedTuple):
    """Exit status and output of a program."""

    status: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The only line of the standard error that tells of the error."""
        lines = [line for line in self.err.splitlines() if "error: " in line]
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err, self.err
        assert self.status == 1
        return lines[0]


@pytest.fixture
def call(capfd, monkeypatch):
    """Calls ``scripts/<name>.py`` in this process, which saves a start of TensorFlow for each call."""
    monkeypatch.syspath_prepend(str(SCRIPTS))

    def run(name: str, *arguments: object) -> Said:
        capfd.readouterr()
        status = importlib.import_module(name).main([f"{name}.py", *map(str, arguments)])
        return Said(status, *capfd.readouterr())

    return run


@pytest.fixture
def benchmark(monkeypatch):
    """Imports a module of ``scripts/benchmarks`` by its name."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    monkeypatch.syspath_prepend(str(SCRIPTS / "benchmarks"))
    return importlib.import_module


@pytest.fixture
def at_once(benchmark, monkeypatch):
    """Benchmarks count their first round."""
    monkeypatch.setattr(benchmark("measuring"), "WARMUPS", 0)


@pytest.fixture
def shrink(benchmark, monkeypatch):
    """Makes the detectors of a family small."""
    families = benchmark("workload").FAMILIES

    def small(name):
        known = families[name].recipe("cascade").names()
        settings = {key: value for key, value in SHRUNK.items() if key in known}
        monkeypatch.setitem(families, name, families[name]._replace(settings=settings))

    return small


@pytest.fixture(scope="session")
def drawn(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("drawn") / "data"
    draw_dataset(folder, num_train=6, num_val=4, image_size=(96, 128), seed=3)
    return folder


@pytest.fixture
def dataset(drawn, tmp_path) -> Path:
    """A data set that the test may break."""
    return Path(shutil.copytree(drawn, tmp_path / "data"))


@pytest.fixture
def edit_annotations(dataset):
    """Changes the annotation file of a split."""

    def edit(change, split: str = "val") -> Path:
        file = dataset / f"instances_{split}.json"
        content = json.loads(file.read_text())
        change(content)
        file.write_text(json.dumps(content))
        return file

    return edit


@pytest.fixture(scope="session")
def _untrained(tmp_path_factory, drawn) -> Path:
    workdir = tmp_path_factory.mktemp("run")
    model = cascade_rcnn_fpn.replace({**TINY, **{"output.score_threshold": 0.0, "output.max_detections": 10}})
    blank = config.Experiment(name="tiny", model=model, data=config.DataConfig(dataset_dir=str(drawn)))
    data = read_dataset_dir(drawn, "val")
    experiment = config.with_classes(blank, data.class_names, data.category_ids)
    config.write_experiment(experiment, workdir)
    config.build_detector(experiment).save_weights(str(workdir / "best.weights.h5"))
    return workdir


@pytest.fixture
def workdir(_untrained, tmp_path) -> Path:
    """A run's folder that the test may break."""
    return Path(shutil.copytree(_untrained, tmp_path / "run"))


@pytest.fixture
def voc(drawn, tmp_path) -> Path:
    """The drawn scenes as PASCAL VOC has them; the last object of each image to train on is difficult."""
    lists, things = {}, defaultdict(list)
    for split in ("train", "val"):
        content = json.loads((drawn / f"instances_{split}.json").read_text())
        names = {image["id"]: Path(image["file_name"]).stem for image in content["images"]}
        classes = {category["id"]: category["name"] for category in content["categories"]}
        lists[split] = list(names.values())
        things |= {name: [] for name in lists[split]}
        for one in content["annotations"]:
            x, y, width, height = one["bbox"]
            box = (x + 1, y + 1, x + width, y + height)
            things[names[one["image_id"]]].append(Thing(classes[one["category_id"]], box))
    for name in lists["train"]:
        things[name][-1] = things[name][-1]._replace(marks={"difficult": 1})
    folder = write_year(tmp_path / "voc", lists, things, size=(128, 96))
    shutil.rmtree(folder / "JPEGImages")
    shutil.copytree(drawn / "images", folder / "JPEGImages")
    return folder
