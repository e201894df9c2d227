"""What the documentation says is there, is there; and the README's Python runs."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import cascade_tf
from cascade_tf.backbones import VGG16
from cascade_tf.experiment.config import Experiment, load_config, settings
from cascade_tf.models import cascade_rcnn_fpn
from cascade_tf.parts import part
from tests.boxes.examples import targets
from tests.models.examples import image_batch
from tests.reader import ROOT, blocks, run, write_folder

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "custom_ops" / "README.md"])
# Smaller numbers and random weights, so that the README's examples run in seconds and without a network.
SHORTENED = {
    "steps_per_epoch=100, epochs=10": "steps_per_epoch=1, epochs=1",
    '"short_side": 512, "max_side": 768': (
        '"short_side": 64, "max_side": 96, "backbone.depth": 14, "neck.channels": 32, '
        '"heads.head.units": 32, "heads.num_samples": 32, "proposals.pre_nms_train": 100, '
        '"proposals.post_nms_train": 50'
    ),
    "short_sides=(512,), max_side=768": "short_sides=(64,), max_side=96",
    'weights="imagenet"': "weights=None",
}
NARROW = {
    "part(VGG16,": "part(VGG16, width=0.0625,",
    "part(DoubleHead, units=512)": 'part(DoubleHead, units=8, channels=8), "backbone.depth": 14',
    "depth=50,": "depth=14, width=0.125,",
    "conv_channels=256": "conv_channels=8, units=8",
}


def ids(path: Path) -> str:
    return str(path.relative_to(ROOT))


def prose(page: Path) -> str:
    """The page without its Python, in which ``model.save`` is no setting and ``](`` no link."""
    return re.sub(r"^```python\n.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


@functools.cache
def help_of(script: str) -> str:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / script), "--help"], capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", prose(page)):
        if not target.startswith("https://"):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_links_to_sections_lead_somewhere(page):
    for target, section in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", prose(page)):
        other = page.parent / target if target else page
        titles = re.findall(r"^#+ (.+)$", other.read_text(), re.MULTILINE)
        assert section in [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_commands_use_flags_and_configurations_that_exist(page):
    for block in blocks(page, "bash"):
        for command in block.replace("\\\n", " ").splitlines():
            found = re.match(r"(?:\S*python )scripts/(\w+\.py)(.*)", command)
            if not found:
                continue
            script, arguments = found.groups()
            for flag in re.findall(r"--(\w+)", arguments):
                shown = rf"--(\[no\])?{flag}\b|--\[no\]{flag.removeprefix('no')}\b"
                assert re.search(shown, help_of(script)), f"{script} --{flag}"
            for name in re.findall(r"--config (\S+)", arguments):
                assert isinstance(load_config(name), Experiment)


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_settings_exist(page):
    known = set(settings(load_config("custom/cascade")))
    named = set(re.findall(r"\b((?:model|data|train|evaluation)\.[a-z_0-9]+)\b", prose(page)))
    files = {
        name
        for name in named
        if name.endswith((".py", ".md", ".json", ".npz", ".txt", ".html", ".yaml", ".log"))
    }
    modules = {"data.pipeline", "data.coco", "train.py", "train.batchsize", "model.export"}
    assert named - files - modules <= known


def test_the_tree_of_the_architecture_has_every_program():
    tree = (ROOT / "ARCHITECTURE.md").read_text().split("```")[1]
    (line,) = re.findall(r"^scripts/ +((?:.+\n)(?: {10,}.+\n)*?)  program/", tree, re.MULTILINE)
    named = set(re.findall(r"\w+", line))
    assert {file.stem for file in (ROOT / "scripts").glob("*.py")} <= named


@pytest.fixture
def folder_of_the_reader(tmp_path, monkeypatch):
    """The reader's folder, and the reader in it."""
    write_folder(tmp_path)
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(5))
def test_python_of_the_readme_runs(number, folder_of_the_reader):
    examples = blocks(ROOT / "README.md", "python")
    assert len(examples) == 5
    names = run(examples[number], f"README.md, example {number + 1}", SHORTENED)
    assert "detector" in names or "again" in names


@pytest.mark.slow
@pytest.mark.parametrize("number", range(3))
def test_python_of_the_extending_page_runs(number):
    examples = blocks(ROOT / "docs" / "extending.md", "python")
    assert len(examples) == 3
    names = run(examples[number], f"extending.md, example {number + 1}", NARROW)
    batch = image_batch()
    losses, _ = names["detector"].compute_losses(
        batch, targets([[((8, 8, 40, 40), 1)], [((20, 10, 60, 50), 2)]])
    )
    assert all(np.isfinite(loss) for loss in losses.values())
    assert names["detector"](batch).boxes.shape[0] == len(batch.images)


@pytest.mark.slow
def test_python_of_the_serving_page_runs(folder_of_the_reader):
    export, outputs, subclass, *_ = blocks(ROOT / "docs" / "serving.md", "python")
    moved = {"runs/mine": "runs/demo"}
    run(export, "serving.md, the export", moved)
    run(outputs, "serving.md, outputs of one's own", moved)
    answer = tf.saved_model.load("models/detector/2").signatures["image_tensor"](
        tf.zeros([1, 64, 96, 3], tf.uint8)
    )
    assert answer["embedding"].shape[::2] == (1, 16)
    names = run(subclass, "serving.md, a subclass", {})
    detector = names["WithScene"].from_config(cascade_tf.load("runs/demo").get_config())
    assert detector(image_batch()).scene.shape == (2, 16)


def test_what_the_extending_page_says_of_strides():
    page = ROOT / "docs" / "extending.md"
    (message,) = re.findall(r"^```\n(proposals\..*)\n```", page.read_text(), re.MULTILINE)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        cascade_rcnn_fpn.replace({"backbone": part(VGG16, width=0.0625)})(("cat", "dog"))


def test_python_of_the_page_of_protocols_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (example,) = blocks(ROOT / "docs" / "protocols.md", "python")
    names: dict = {}
    exec(compile(example, "protocols.md", "exec"), names)
    assert names["numbers"]["MR/reasonable"] == pytest.approx(50.0)
    assert (tmp_path / "val_dt.json").is_file()


def test_python_of_the_page_of_errors_runs(capsys):
    (example,) = blocks(ROOT / "docs" / "errors.md", "python")
    exec(compile(example, "errors.md", "exec"), {})
    assert capsys.readouterr().out.splitlines()[-1] == "1.0"


def test_python_of_the_configuration_page_runs():
    first, tree, two_steps, integral, last = blocks(ROOT / "docs" / "configuration.md", "python")
    names: dict = {}
    exec(compile(first, "configuration.md", "exec"), names)
    assert names["experiment"]().train.steps == 6000
    exec(compile(tree, "configuration.md", "exec"), names)
    assert names["model"] == cascade_rcnn_fpn.replace({"backbone.depth": 101})
    # It leaves out the rest of its experiment.
    compile(two_steps, "configuration.md", "exec")
    exec(compile(integral, "configuration.md", "exec"), names)
    assert names["recipe"].value("heads.hidden_layers") == "shared"
    exec(compile(last, "configuration.md", "exec"), names)
    assert names["detector"].class_names == ("disc", "square")
