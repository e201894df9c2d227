"""The source distribution, the wheel that is built from it, and the wheel in an environment of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.metadata import Metadata

ROOT = Path(__file__).parents[2]
TREES = ("cascade_tf", "configs", "custom_ops", "requirements", "scripts")
TINY = (
    "--set=data.short_sides=64",
    "--set=data.max_side=96",
    "--set=model.short_side=64",
    "--set=model.max_side=96",
    "--set=model.backbone.width=0.125",
    "--set=model.heads.head.units=16",
    "--set=train.batch_size=2",
    "--set=train.warmup_steps=1",
    "--set=train.decay_steps=2",
    "--set=train.steps=3",
)


class Built(NamedTuple):
    """Both distributions, and the folder of an environment that has the wheel and its dependencies."""

    sdist: Path
    wheel: Path
    environment: Path


def run(*command, cwd, **variables) -> str:
    # A path that the tests were started with would lead to the clone.
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**own, **variables},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Built:
    """Builds like an installer, from a copy: distributions leave files behind where they are built."""
    folder = tmp_path_factory.mktemp("built")
    source, environment = folder / "source", folder / "environment"
    source.mkdir()
    for path in ROOT.iterdir():
        if path.is_file() and not path.name.startswith("."):
            shutil.copy(path, source)
    for tree in TREES:
        shutil.copytree(ROOT / tree, source / tree, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    build = "from setuptools import build_meta; print(build_meta.build_sdist('..'))"
    name = run(sys.executable, "-c", build, cwd=source).split()[-1]
    with tarfile.open(folder / name) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    run(*pip, "wheel", "--no-build-isolation", "--no-deps", "--wheel-dir", folder, unpacked, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    venv.create(environment, with_pip=False)
    python = environment / "bin" / "python"
    packages = Path(
        run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip()
    )
    # The dependencies of these tests, without the clone that is installed among them: of a folder that is
    # named in a .pth file no .pth files are read.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    run(*pip, f"--python={python}", "install", "--no-deps", "--no-index", wheel, cwd=folder)
    return Built(folder / name, wheel, environment)


def names_of(path: Path) -> set[str]:
    if path.suffix == ".whl":
        return set(zipfile.ZipFile(path).namelist())
    with tarfile.open(path) as archive:
        return {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}


@pytest.mark.slow
def test_the_source_distribution_has_every_file_of_the_product(built):
    found = names_of(built.sdist)
    files = (path for tree in TREES for path in (ROOT / tree).rglob("*.*") if path.is_file())
    made = {".so", ".pyc"}
    assert {path.relative_to(ROOT).as_posix() for path in files if path.suffix not in made} <= found
    assert {"README.md", "LICENSE", "pyproject.toml", "setup.py"} <= found


def test_the_wheel_has_programs_configurations_and_compiled_ops(built):
    found = names_of(built.wheel)
    for name in (
        "scripts/train.py",
        "scripts/program/flags.py",
        "configs/coco/cascade_rcnn_r50_fpn_1x.py",
        "configs/studies/paper.py",
        "ops/custom_ops/nms/nms_cpu.cc",
    ):
        assert f"cascade_tf/{name}" in found
    assert any(name.endswith(".so") for name in found)
    assert not [name for name in found if "benchmarks" in name or "document_" in name]
    assert not [name for name in found if not name.startswith("cascade_tf")]


def test_the_metadata_are_valid(built):
    with zipfile.ZipFile(built.wheel) as archive:
        (file,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Metadata.from_email(archive.read(file), validate=True)
    assert metadata.name == "cascade-tf"
    assert metadata.description_content_type == "text/markdown"
    assert metadata.description.startswith("# ")


def test_the_command_lists_its_programs(built, tmp_path):
    command = built.environment / "bin" / "cascade-tf"
    said = run(command, "--help", cwd=tmp_path)
    for program in ("train", "evaluate", "predict", "export", "convert", "analyze", "prepare-data"):
        assert f"\n  {program} " in said
    assert "document" not in said.replace("documents", "")
    page = run(command, "prepare-data", "--help", cwd=tmp_path)
    assert "usage: cascade-tf prepare-data [flags]" in page
    assert "python scripts/" not in page


@pytest.mark.slow
def test_training_and_prediction_from_an_empty_folder(built, tmp_path):
    command, python = (built.environment / "bin" / name for name in ("cascade-tf", "python"))
    quiet = {"OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "2"}
    size = ("--num_train=4", "--num_val=2", "--height=64", "--width=96")
    run(command, "make-demo-dataset", "--output=data", *size, cwd=tmp_path, **quiet)
    flags = ("--config=demo/faster", "--dataset_dir=data", "--workdir=run", *TINY)
    run(command, "train", *flags, cwd=tmp_path, **quiet)
    run(command, "predict", "--workdir=run", "--output=found", "data/images", cwd=tmp_path, **quiet)
    assert len(json.loads((tmp_path / "found" / "detections.json").read_text())["images"]) == 6
    assert sorted(path.name for path in (tmp_path / "run").glob("*.weights.h5"))
    of = run(python, "-c", "import cascade_tf; print(cascade_tf.__file__)", cwd=tmp_path)
    assert Path(of.strip()).is_relative_to(built.environment)
