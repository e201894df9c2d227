"""An RPN alone gives proposals to a file, and Fast R-CNN learns from them."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from cascade_tf.experiment import config
from cascade_tf.models import fast_rcnn_fpn, rpn_fpn
from cascade_tf.proposal_files import read_proposals
from tests.scripts.conftest import SCRIPTS, TINY

pytestmark = pytest.mark.slow

CONFIGURATION = """
from cascade_tf.experiment.config import DataConfig, Experiment
from cascade_tf.models import fast_rcnn_fpn
from cascade_tf.training.settings import TrainConfig

def experiment():
    return Experiment(
        name="tiny",
        model=fast_rcnn_fpn.replace({settings}),
        data=DataConfig(**{data}),
        train=TrainConfig(batch_size=2, steps=4, warmup_steps=0, checkpoint_every=2, evaluate_every=0),
    )
"""


def run(name, *arguments):
    """Runs a program for the fixtures of the module, and gives its standard output."""
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out):
        patch.syspath_prepend(str(SCRIPTS))
        assert importlib.import_module(name).main([f"{name}.py", *map(str, arguments)]) == 0
    return out.getvalue()


def known_settings(recipe):
    known = recipe.names()
    return {key: value for key, value in TINY.items() if key in known}


@pytest.fixture(scope="module")
def rpn(tmp_path_factory, drawn) -> Path:
    """A run with weights that have learnt nothing."""
    workdir = tmp_path_factory.mktemp("rpn") / "run"
    workdir.mkdir()
    data = config.DataConfig(dataset_dir=str(drawn), one_class=True)
    model = rpn_fpn.replace(known_settings(rpn_fpn))
    blank = config.Experiment(name="rpn", model=model, data=data)
    experiment = config.with_classes(blank, ("object",), (1,))
    config.write_experiment(experiment, workdir)
    config.build_detector(experiment).save_weights(str(workdir / "best.weights.h5"))
    return workdir


@pytest.fixture(scope="module")
def files(rpn, drawn) -> dict[str, Path]:
    """The proposals of both splits."""
    paths = {split: rpn.parent / f"{split}.npz" for split in ("train", "val")}
    for split, path in paths.items():
        common = (f"--workdir={rpn}", f"--dataset_dir={drawn}", f"--split={split}", f"--output={path}")
        out = run("propose", *common, "--set=model.proposals.post_nms_test=40")
        assert f"lie in {path}" in out
        assert "proposals     AR" in out
    return paths


@pytest.fixture(scope="module")
def fast(files, drawn) -> Path:
    """A run of four steps that has not stopped."""
    folder = files["val"].parent
    data = {"proposals": str(files["train"]), "val_proposals": str(files["val"])}
    file = folder / "fast.py"
    file.write_text(CONFIGURATION.format(settings=known_settings(fast_rcnn_fpn), data=data))
    run("train", f"--config={file}", f"--dataset_dir={drawn}", f"--workdir={folder / 'fast'}")
    return folder / "fast"


def arrays(file):
    found = {}
    with h5py.File(file) as content:
        content.visititems(
            lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
        )
    return found


def test_an_rpn_is_measured_without_classes(rpn, call, tmp_path):
    said = call("evaluate", f"--workdir={rpn}", f"--output={tmp_path}", "--set=data.check_images=none")
    assert said.status == 0, said.err
    numbers = json.loads((tmp_path / "val.json").read_text())
    assert list(numbers["per_class"]) == ["object"]
    assert 0.0 <= numbers["summary"]["AR100"] <= 1.0
    assert numbers["per_class"]["object"]["objects"] > 0


def test_the_file_has_every_image_and_the_best_first(files, drawn):
    for split, path in files.items():
        images = json.loads((drawn / f"instances_{split}.json").read_text())["images"]
        found = read_proposals(path)
        assert found.image_ids.tolist() == [image["id"] for image in images]
        assert found.sizes.tolist() == [[image["height"], image["width"]] for image in images]
        assert list(found.file_names) == [image["file_name"] for image in images]
        # The limit of the run itself is 20.
        assert 20 < len(found.boxes) / len(images) <= 40
        for record, image in enumerate(images):
            boxes, scores = found.of_record(record)
            assert np.all(np.diff(scores) <= 0)
            assert np.all((boxes >= 0) & (boxes <= np.tile([image["width"], image["height"]], 2)))


def test_recall_is_written_beside_it(files):
    numbers = json.loads(files["val"].with_suffix(".json").read_text())
    assert set(numbers["summary"]) == {f"AR{s}{n}" for s in ("", "s", "m", "l") for n in (100, 300, 1000)}
    assert numbers["objects"]["all"] > 0


def test_fast_rcnn_is_trained_and_measured(fast, call):
    said = call("evaluate", f"--workdir={fast}", "--per_stage", "--set=data.check_images=none")
    assert said.status == 0, said.err
    assert "all classes" in said.out
    # The one stage is the detector.
    assert "stage 1" not in said.out
    assert not list((fast / "evaluation").glob("*stage*"))


def test_a_run_that_goes_on_ends_with_the_same_bits(fast, drawn, tmp_path, call):
    workdir = Path(shutil.copytree(fast, tmp_path / "run"))
    state = 'model_checkpoint_path: "step-2"\nall_model_checkpoint_paths: "step-2"\n'
    (workdir / "checkpoints" / "checkpoint").write_text(state)
    (workdir / "last.weights.h5").unlink()
    said = call(
        "train", f"--config={fast.parent / 'fast.py'}", f"--dataset_dir={drawn}", f"--workdir={workdir}"
    )
    assert said.status == 0, said.err
    whole, pieces = (arrays(folder / "last.weights.h5") for folder in (fast, workdir))
    assert whole.keys() == pieces.keys()
    for name, values in whole.items():
        np.testing.assert_array_equal(pieces[name], values)


def test_what_has_images_only_says_why_it_refuses(fast, drawn, tmp_path, call):
    output = f"--output={tmp_path / 'x'}"
    for name, more in (("predict", [drawn / "images"]), ("export", [])):
        said = call(name, f"--workdir={fast}", output, *more)
        assert "the detector takes its proposals from a file and " in said.complaint
    said = call("propose", f"--workdir={fast}", f"--dataset_dir={drawn}", f"{output}.npz")
    assert "takes its proposals from a file, expected one that makes them" in said.complaint


def test_files_that_are_missing_or_not_wanted(fast, rpn, files, call):
    evaluate = ("evaluate", "--set=data.check_images=none")
    none = call(*evaluate, f"--workdir={fast}", "--set=data.proposals=none", "--set=data.val_proposals=none")
    assert "expected --set data.val_proposals=FILE for the images of val" in none.complaint
    other = call(*evaluate, f"--workdir={fast}", f"--set=data.val_proposals={files['train']}")
    assert "train.npz: 4 of 4 images are not in it" in other.complaint
    unwanted = call(*evaluate, f"--workdir={rpn}", f"--set=data.proposals={files['train']}")
    assert "expected none: the model makes its proposals itself" in unwanted.complaint


def test_several_classes_are_not_those_of_an_rpn(rpn, call):
    said = call("evaluate", f"--workdir={rpn}", "--set=data.one_class=false")
    assert "expected those of the experiment: 1 class: object (1)" in said.complaint
