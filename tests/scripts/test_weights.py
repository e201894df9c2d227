"""From a checkpoint of detectron2 through every program, without a configuration."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cascade_tf
from cascade_tf.training.run_log import read_metrics
from cascade_tf.weights.families import DETECTOR_FAMILIES
from cascade_tf.weights.importing import import_checkpoint
from tests.golden import detectron2 as golden
from tests.weights.sparse_caffemodel import write_zeros
from tests.weights.synthetic_caffe import ALEXNET
from tests.weights.torch_writer import write_pickle

NAMES = [f"class {number}" for number in range(1, 6)]
# The fixture's images are small.
SMALL = ("--set=model.short_side=96", "--set=model.max_side=128")
LOW = "--set=model.output.score_threshold=0.01"


def recorded_weights(name):
    """The tensors of a fixture by detectron2's names."""
    arrays = golden.load(name)
    return {key.removeprefix("weight/"): arrays[key] for key in arrays if key.startswith("weight/")}


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> Path:
    """A file as detectron2's model zoo has them, with the recorded weights of a small Cascade R-CNN."""
    file = tmp_path_factory.mktemp("zoo") / "model_final.pkl"
    arrays = golden.load("cascade_rcnn_r50_fpn")
    weights = {
        key.removeprefix("weight/"): value for key, value in arrays.items() if key.startswith("weight/")
    }
    write_pickle(file, {"model": weights, "__author__": "the test"})
    return file


@pytest.fixture
def coco(drawn, tmp_path) -> Path:
    """The drawn images with the classes of the checkpoint."""
    folder = Path(shutil.copytree(drawn, tmp_path / "coco"))
    for file in folder.glob("instances_*.json"):
        content = json.loads(file.read_text())
        known = [category["id"] for category in content["categories"]]
        content["categories"] = [{"id": i, "name": name} for i, name in enumerate(NAMES, start=1)]
        for annotation in content["annotations"]:
            annotation["category_id"] = 1 + known.index(annotation["category_id"])
        file.write_text(json.dumps(content))
    return folder


@pytest.fixture
def three_classes(drawn, tmp_path) -> Path:
    """The drawn images with the first three of their classes."""
    folder = Path(shutil.copytree(drawn, tmp_path / "three"))
    for file in folder.glob("instances_*.json"):
        content = json.loads(file.read_text())
        content["categories"] = content["categories"][:3]
        kept = {category["id"] for category in content["categories"]}
        content["annotations"] = [one for one in content["annotations"] if one["category_id"] in kept]
        file.write_text(json.dumps(content))
    return folder


@pytest.fixture
def converted(call, checkpoint, tmp_path) -> Path:
    output = tmp_path / "made" / "zoo.weights.h5"
    said = call(
        "convert_weights",
        "--source=detectron2",
        f"--checkpoint={checkpoint}",
        f"--output={output}",
        *SMALL,
        LOW,
    )
    assert said.status == 0, said.err
    assert "(detectron2): loaded 311 variables" in said.out
    assert "settings assumed, which weights do not tell" in said.out
    return output


def test_a_converted_file_builds_its_own_detector(converted, checkpoint):
    again = cascade_tf.load(converted)
    imported = import_checkpoint(checkpoint, short_side=96, max_side=128, **{"output.score_threshold": 0.01})
    assert again.class_names == imported.detector.class_names == tuple(NAMES)
    assert (again.short_side, again.heads.ensemble, again.heads.clip_boxes) == (96, "own_boxes", True)
    for one, other in zip(again.get_weights(), imported.detector.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_every_program_takes_it(call, converted, checkpoint, coco, tmp_path):
    detections = {}
    for weights in (converted, checkpoint):
        changes = () if weights == converted else (*SMALL, LOW)
        out = tmp_path / weights.name
        said = call("evaluate", f"--weights={weights}", f"--dataset_dir={coco}", f"--output={out}", *changes)
        assert said.status == 0, said.err
        assert "AP50" in said.out
        detections[weights] = json.loads((out / "val_detections.json").read_text())
    assert detections[converted] == detections[checkpoint]
    assert len(detections[converted]) > 4

    images, found = coco / "images", tmp_path / "found"
    said = call(
        "predict", f"--weights={converted}", f"--output={found}", "--score_threshold=0.02", str(images)
    )
    assert said.status == 0, said.err
    predicted = json.loads((found / "detections.json").read_text())
    assert [category["name"] for category in predicted["categories"]] == NAMES
    assert predicted["annotations"]

    said = call("export", f"--weights={converted}", f"--output={tmp_path / 'models'}")
    assert said.status == 0, said.err
    image = np.asarray(Image.open(next(images.iterdir())).convert("RGB"))
    (served,) = cascade_tf.load(tmp_path / "models").predict([image])
    (direct,) = cascade_tf.load(converted).predict([image])
    np.testing.assert_allclose(served.boxes, direct.boxes, atol=0.02)
    np.testing.assert_allclose(served.scores, direct.scores, atol=1e-4)


@pytest.fixture
def tune(call, three_classes, tmp_path):
    """Trains from weights for some steps, with settings that hardly change them."""

    def run(weights, steps, *more):
        settings = (
            f"steps={steps}",
            "decay_steps=",
            "batch_size=1",
            "learning_rate=1e-9",
            "checkpoint_every=1",
        )
        return call(
            "train",
            "--config=custom/cascade",
            f"--dataset_dir={three_classes}",
            f"--workdir={tmp_path / 'run'}",
            f"--weights={weights}",
            "--set=data.short_sides=96",
            *SMALL,
            *(f"--set=train.{setting}" for setting in settings),
            *more,
        )

    return run


def assert_kept(trained, checkpoint):
    """A run of one small step has the settings and weights of the checkpoint, but its own classes."""
    assert trained.num_classes == 3
    assert trained.heads.ensemble == "own_boxes"
    imported = import_checkpoint(checkpoint)
    kept = trained.heads.stages[1].head.dense[0].kernel
    np.testing.assert_allclose(kept, imported.detector.heads.stages[1].head.dense[0].kernel, atol=1e-6)


@pytest.mark.slow
def test_training_starts_from_it_and_goes_on_without_it(tune, checkpoint, tmp_path):
    weights = Path(shutil.copy(checkpoint, tmp_path))
    said = tune(weights, 1)
    assert said.status == 0, said.err
    assert_kept(cascade_tf.load(tmp_path / "run"), checkpoint)
    weights.unlink()
    said = tune(weights, 2)
    assert said.status == 0, said.err
    assert read_metrics(tmp_path / "run")[-1]["step"] == 2


@pytest.mark.slow
def test_training_starts_from_a_converted_file_and_from_a_run(tune, converted, checkpoint, tmp_path):
    said = tune(converted, 1)
    assert said.status == 0, said.err
    old = cascade_tf.load(tmp_path / "run")
    assert_kept(old, checkpoint)
    first = (tmp_path / "run").rename(tmp_path / "first")
    said = tune(first / "last.weights.h5", 1)
    assert said.status == 0, said.err
    # The classes are the same now: everything goes on.
    for one, other in zip(old.get_weights(), cascade_tf.load(tmp_path / "run").get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["folder", "keras"])
def test_a_run_starts_another_on_other_classes(call, workdir, three_classes, tmp_path, form):
    old = cascade_tf.load(workdir)
    weights = workdir
    if form == "keras":
        weights = tmp_path / "mine.keras"
        old.save(weights)
    settings = ("steps=1", "decay_steps=", "batch_size=1", "learning_rate=1e-9")
    said = call(
        "train",
        "--config=custom/cascade",
        f"--dataset_dir={three_classes}",
        f"--workdir={tmp_path / 'tuned'}",
        f"--weights={weights}",
        "--set=data.short_sides=96",
        *(f"--set=train.{setting}" for setting in settings),
    )
    assert said.status == 0, said.err
    assert "variables left at their initial values" in said.err
    new = cascade_tf.load(tmp_path / "tuned")
    assert new.num_classes == 3 < old.num_classes
    assert new.short_side == 96
    kernels = [detector.heads.stages[1].head.dense[0].kernel for detector in (new, old)]
    np.testing.assert_allclose(*kernels, atol=1e-6)


@pytest.mark.parametrize("form", ["folder", "keras"])
def test_a_run_predicts_as_weights(call, workdir, drawn, tmp_path, form):
    weights = workdir
    if form == "keras":
        weights = tmp_path / "mine.keras"
        cascade_tf.load(workdir).save(weights)
    found = []
    for flag in (f"--workdir={workdir}", f"--weights={weights}"):
        said = call("predict", flag, f"--output={tmp_path / 'found'}", "--nopictures", drawn / "images")
        assert said.status == 0, said.err
        found.append(json.loads((tmp_path / "found" / "detections.json").read_text()))
    assert found[0] == found[1]


@pytest.mark.parametrize("name", ["train", "evaluate", "predict", "export"])
def test_help_names_every_form(call, name):
    text = " ".join(call(name, "--help").out.split())
    for form in (
        "a name of the catalogue",
        "a checkpoint of detectron2",
        "runs/mine",
        ".weights.h5",
        ".keras",
    ):
        # The flag's paragraph, and the beginning of the next one.
        assert form in text.split("--weights=", 1)[1][:450]


def test_masks_need_masks_in_the_data(tune, tmp_path, three_classes):
    file = tmp_path / "masks.pkl"
    write_pickle(file, {"model": recorded_weights("cascade_mask_rcnn_r50_fpn")})
    for split in three_classes.glob("instances_*.json"):
        content = json.loads(split.read_text())
        for annotation in content["annotations"]:
            annotation.pop("segmentation", None)
        split.write_text(json.dumps(content))
    assert "--set model.heads.masks=none" in tune(file, 1).complaint


def test_a_checkpoint_gets_the_classes_of_a_data_set(call, checkpoint, coco, tmp_path):
    annotations = coco / "instances_val.json"
    content = json.loads(annotations.read_text())
    ids = {category["id"]: 10 * category["id"] for category in content["categories"]}
    content["categories"] = [{"id": ids[i], "name": f"thing {i}"} for i in reversed(ids)]
    annotations.write_text(json.dumps(content))
    output = tmp_path / "named.weights.h5"
    arguments = (f"--checkpoint={checkpoint}", f"--output={output}")
    assert call("convert_weights", *arguments, f"--annotations={annotations}").status == 0
    detector = cascade_tf.load(output)
    assert detector.class_names == tuple(f"thing {i}" for i in range(1, 6))
    assert detector.category_ids == (10, 20, 30, 40, 50)
    said = call("convert_weights", *arguments, "--class_names=a,b,c,d,e", "--category_ids=5,4,3,2,1")
    assert said.status == 0
    assert cascade_tf.load(output).category_ids == (5, 4, 3, 2, 1)


def test_other_classes_name_the_remedy(call, checkpoint, three_classes, tmp_path):
    arguments = (f"--weights={checkpoint}", f"--dataset_dir={three_classes}", f"--output={tmp_path / 'out'}")
    assert "convert_weights.py --annotations" in call("evaluate", *arguments).complaint


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--weights=nothing.pkl"], "weights 'nothing.pkl': got no such file or detector of the catalogue"),
        (
            ["--weights=detectron2/cascade_mask_rcnn_R_50_FPN_3"],
            "did you mean detectron2/cascade_mask_rcnn_R_50",
        ),
        (["--weights=a", "--workdir=b"], "got both --weights and --workdir"),
        ([], "flag --workdir is missing"),
    ],
)
@pytest.mark.parametrize("name", ["evaluate", "predict", "export"])
def test_wrong_weights(call, name, arguments, message, tmp_path):
    more = ["a.jpg"] if name == "predict" else []
    assert message in call(name, *arguments, f"--output={tmp_path / 'out'}", *more).complaint


def test_results_need_a_place(call, checkpoint, coco):
    complaint = call("evaluate", f"--weights={checkpoint}", f"--dataset_dir={coco}").complaint
    assert "flag --output is missing" in complaint


def test_a_weights_file_alone_needs_its_experiment(call, workdir, tmp_path):
    alone = shutil.copy(workdir / "best.weights.h5", tmp_path / "alone.weights.h5")
    complaint = call("predict", f"--weights={alone}", f"--output={tmp_path / 'out'}", "a.jpg").complaint
    assert "beside its experiment.json" in complaint


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--checkpoint=a.pkl"], "flag --output is missing"),
        (["--checkpoint=a.pkl", "--output=b.h5"], "expected a name that ends in .weights.h5"),
        (["--checkpoint=a.pkl", "--output=b.weights.h5"], "weights 'a.pkl': got no such file"),
        (
            ["--checkpoint=a.pkl", "--output=b.weights.h5", "--annotations=a.json", "--class_names=a"],
            "one of them",
        ),
    ],
)
def test_wrong_conversions(call, arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in call("convert_weights", *arguments).complaint


def test_a_file_that_is_no_checkpoint(call, tmp_path):
    file, output = tmp_path / "photo.pkl", tmp_path / "x.weights.h5"
    file.write_bytes(b"\xff\xd8\xff\xe0 no checkpoint")
    complaint = call("convert_weights", f"--checkpoint={file}", f"--output={output}").complaint
    assert str(file) in complaint
    assert not output.exists()


@pytest.fixture(scope="session")
def alexnet(tmp_path_factory) -> Path:
    """A file as the authors of the paper have them, of a small Faster R-CNN on AlexNet."""
    return write_zeros(tmp_path_factory.mktemp("caffe") / "net.caffemodel", ALEXNET)


def test_settings_of_other_detectors_than_the_standard_pyramid(call, alexnet, tmp_path):
    output = tmp_path / "alexnet.weights.h5"
    # LevelProposals has the first, RegionProposal the last.
    own, other = "--set=model.proposals.min_side=2", "--set=model.proposals.anchor_sizes=32"
    said = call(
        "convert_weights", "--source=caffe", f"--checkpoint={alexnet}", f"--output={output}", own, *SMALL
    )
    assert said.status == 0, said.err
    assert cascade_tf.load(output).proposals.min_side == 2.0
    found = tmp_path / "found"
    for weights in (alexnet, output):
        said = call("predict", f"--weights={weights}", f"--output={found}", other, "a.jpg")
        assert "unknown setting 'model.proposals.anchor_sizes'" in said.complaint
        said = call("predict", f"--weights={weights}", f"--output={found}", own, "a.jpg")
        assert "none of 1 inputs can be read" in said.complaint


def test_training_takes_the_settings_of_the_weights_model(call, alexnet, drawn, tmp_path):
    """Those of the configuration's model, a standard pyramid, are others."""
    arguments = (f"--dataset_dir={drawn}", f"--workdir={tmp_path / 'run'}", f"--weights={alexnet}")
    for setting, complaint in (
        ("model.proposals.anchor_sizes=32", "unknown setting 'model.proposals.anchor_sizes'"),
        ("model.proposals.min_side=-2", "min_side"),
    ):
        said = call("train", "--config=custom/cascade", *arguments, f"--set={setting}", "--set=train.steps=1")
        assert complaint in said.complaint


def test_every_family_of_detectors_is_a_source(call):
    said = call("convert_weights", "--help")
    assert f"--source=auto|{'|'.join(family.name for family in DETECTOR_FAMILIES)}\n" in said.out
