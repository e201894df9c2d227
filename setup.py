"""Builds the C++ ops and puts programs and configurations into wheels; the rest stands in pyproject.toml."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
SOURCES = ROOT / "custom_ops"


def load_module(name: str):
    """A module of the package's ops, by path: importing the package needs what is being installed."""
    path = ROOT / "cascade_tf" / "ops" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"cascade_tf_{name}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def shared_files() -> list[Path]:
    """What wheels have of the folders ``configs/`` and ``scripts/``, inside the package.

    Benchmarks, and the programs that write this project's own documents, are for a clone.
    """
    scripts = [
        path for path in sorted((ROOT / "scripts").glob("*.py")) if not path.name.startswith("document_")
    ]
    shared = sorted((ROOT / "scripts" / "program").rglob("*.py"))
    return [*scripts, *shared, *sorted((ROOT / "configs").rglob("*.py"))]


class BuildPackage(build_py):
    """Copies the package, and into it what ``cascade-tf`` runs."""

    def run(self) -> None:
        super().run()
        self.shared: list[str] = []
        if getattr(self, "editable_mode", False):
            return
        for source in shared_files():
            target = Path(self.build_lib) / "cascade_tf" / source.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            self.shared.append(str(target))

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        return [*super().get_outputs(include_bytecode), *getattr(self, "shared", [])]


class BuildOps(build_ext):
    """Compiles for the TensorFlow of the target environment, and ships the sources for builds at first use.

    Without TensorFlow or a compiler the installation goes on: the package compiles the ops when they are
    first used, or runs their TensorFlow implementation.
    """

    def run(self) -> None:
        self.outputs: list[str] = []
        in_place = self.inplace or getattr(self, "editable_mode", False)
        folder = (ROOT if in_place else Path(self.build_lib)) / "cascade_tf" / "ops"
        if not in_place:
            self.copy_sources(folder / "custom_ops")
        build = load_module("build")
        tensorflow = build.probe_tensorflow()
        if tensorflow is None:
            self.warn("no TensorFlow in this environment: the C++ ops will be compiled at their first use")
            return
        try:
            library = build.compile_library(SOURCES, folder, tensorflow)
        except build.BuildError as error:
            self.warn(f"the C++ ops were not built: {error}")
            return
        libraries = [library]
        if gpu_library := self.compile_for_gpus(build, folder, tensorflow):
            libraries.append(gpu_library)
        if in_place:
            remove_outdated(libraries, tensorflow.version)
        self.outputs.extend(map(str, libraries))

    def compile_for_gpus(self, build, folder: Path, tensorflow) -> Path | None:
        """The kernels for GPUs, where they can be built and be of use, or CASCADE_TF_CUDA says so."""
        cuda_build = load_module("cuda_build")
        if not cuda_build.wanted(tensorflow.cuda):
            return None
        try:
            return cuda_build.CudaBuilder(build, SOURCES).compile_library(folder, tensorflow)
        except build.BuildError as error:
            if os.environ.get("CASCADE_TF_CUDA") == "1":
                raise
            self.warn(f"the kernels for GPUs were not built: {error}")
            return None

    def copy_sources(self, folder: Path) -> None:
        for source in load_module("build").source_files(SOURCES):
            target = folder / source.relative_to(SOURCES)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            self.outputs.append(str(target))

    def get_outputs(self) -> list[str]:
        return getattr(self, "outputs", [])

    def get_output_mapping(self) -> dict[str, str]:
        return {}


def remove_outdated(libraries: list[Path], tensorflow_version: str) -> None:
    """Deletes libraries that earlier states of the sources left in a checkout."""
    for kind in ("ops", "gpu"):
        for old in libraries[0].parent.glob(f"_cascade_tf_{kind}-tf{tensorflow_version}-*.so"):
            if old not in libraries:
                old.unlink()


sources = sorted(str(path.relative_to(ROOT)) for path in SOURCES.rglob("*.cc"))
headers = sorted(str(path.relative_to(ROOT)) for path in SOURCES.rglob("*.h"))
setup(
    ext_modules=[Extension("cascade_tf.ops._cascade_tf_ops", sources, depends=headers, optional=True)],
    cmdclass={"build_ext": BuildOps, "build_py": BuildPackage},
)
