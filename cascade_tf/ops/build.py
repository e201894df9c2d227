"""Compiles the C++ ops into one shared library; used by ``setup.py`` and at the first use of an op.

The kernels for GPUs, which need nvcc, are a second library that is opened beside the first (`cuda_build.py`).
Standard library only: ``setup.py`` loads this file by path, before the package or TensorFlow can be imported.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

# No contraction to fused multiply-add: results are the same on every CPU, and NMS decides exactly as its twin
# does.
COMPILE_FLAGS = ("-fPIC", "-O3", "-DNDEBUG", "-ffp-contract=off")
# A library works only with the TensorFlow version that it was built for, so the version is part of its name,
# and so is a digest of what it was built from.
_NAME = "_cascade_tf_ops"


class BuildError(RuntimeError):
    """The ops could not be compiled; the message says what is missing or what the compiler said."""


@dataclasses.dataclass(frozen=True)
class TensorFlowInfo:
    """What a build needs to know about the installed TensorFlow.

    Attributes:
        version: such as "2.21.0".
        compile_flags: include folders and macros.
        link_flags: library folder and name.
        cuda: whether it can use a GPU of NVIDIA's.
    """

    version: str
    compile_flags: tuple[str, ...]
    link_flags: tuple[str, ...]
    cuda: bool = False


def source_folder() -> Path:
    """Folder of the C++ sources: inside an installed package, or at the top of a checkout."""
    installed = Path(__file__).parent / "custom_ops"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "custom_ops"


def source_files(folder: Path) -> list[Path]:
    """All C++ and CUDA sources and headers below ``folder``, sorted."""
    return sorted(path for path in folder.rglob("*") if path.suffix in (".cc", ".cu", ".h"))


def cpu_files(folder: Path) -> list[Path]:
    """Those that no kernel for GPUs is in, sorted."""
    return [path for path in source_files(folder) if "_gpu" not in path.stem and path.suffix != ".cu"]


def library_name(tensorflow_version: str, folder: Path) -> str:
    """File name of the library for one TensorFlow version, processor and state of the sources."""
    digest = digest_of(folder, cpu_files(folder), COMPILE_FLAGS)
    return f"{_NAME}-tf{tensorflow_version}-{platform.machine()}-{digest}.so"


def digest_of(folder: Path, files: Sequence[Path], flags: Sequence[str]) -> str:
    """Twelve digits of what is compiled and how."""
    digest = hashlib.sha256(" ".join(flags).encode())
    for path in files:
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def cache_folder() -> Path:
    """Where builds at first use are kept: ``$XDG_CACHE_HOME/cascade_tf``, else ``~/.cache/cascade_tf``."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "cascade_tf"


def find_compiler() -> str | None:
    """Path of the C++ compiler (``$CXX``, g++, c++ or clang++), None without one."""
    names = [os.environ.get("CXX"), "g++", "c++", "clang++"]
    return next((path for name in names if name and (path := shutil.which(name))), None)


def probe_tensorflow() -> TensorFlowInfo | None:
    """Asks this interpreter's environment for its TensorFlow in a child process; None if it has none.

    Inside pip's build isolation the child leaves the isolated path and sees the environment that pip installs
    to.
    """
    hidden = ("PYTHONPATH", "PYTHONNOUSERSITE")
    environment = {key: value for key, value in os.environ.items() if key not in hidden}
    environment["TF_CPP_MIN_LOG_LEVEL"] = "3"
    program = (
        "import json, tensorflow as tf; "
        "print(json.dumps([tf.__version__, tf.sysconfig.get_compile_flags(), tf.sysconfig.get_link_flags(), "
        "tf.sysconfig.get_build_info().get('is_cuda_build', False)]))"
    )
    child = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    if child.returncode:
        return None
    version, compile_flags, link_flags, cuda = json.loads(child.stdout.splitlines()[-1])
    return TensorFlowInfo(version, tuple(compile_flags), tuple(link_flags), cuda)


def compile_library(folder: Path, output_folder: Path, tensorflow: TensorFlowInfo) -> Path:
    """Compiles the sources into ``output_folder``; returns the path of the library.

    The file appears under its name only when it is complete, so several processes may do this at once.

    Raises:
        BuildError: no sources, no compiler, an unwritable folder, or an error of the compiler.
    """
    sources = [path for path in cpu_files(folder) if path.suffix == ".cc"]
    compiler = required_compiler(sources, folder)
    library = output_folder / library_name(tensorflow.version, folder)
    with file_to_be(library) as partial:
        command = [
            compiler,
            "-shared",
            *COMPILE_FLAGS,
            *tensorflow.compile_flags,
            "-x",
            "c++",
            "-",
            "-o",
            str(partial),
        ]
        run_compiler([*command, "-Wl,--exclude-libs,ALL", *tensorflow.link_flags], sources)
    return library


def required_compiler(sources: Sequence[Path], folder: Path) -> str:
    """Path of the C++ compiler; raises BuildError without one, or without sources."""
    if not sources:
        raise BuildError(f"no C++ sources in {folder}")
    compiler = find_compiler()
    if compiler is None:
        raise BuildError("no C++ compiler found: install g++ 9 or newer, or set CXX")
    return compiler


@contextlib.contextmanager
def file_to_be(path: Path) -> Iterator[Path]:
    """A file that appears as ``path`` when it is complete, in a folder of its own until then.

    Raises:
        BuildError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".build-") as scratch:
            partial = Path(scratch) / path.name
            yield partial
            os.replace(partial, path)
    except OSError as error:
        raise BuildError(f"cannot write the compiled ops to {path.parent}: {error}") from error


def run_compiler(command: Sequence[str], sources: Sequence[Path] = ()) -> None:
    """Runs a compiler; ``sources`` go to its input as one unit.

    TensorFlow's headers, which take nearly all of the time, are so read once.

    Raises:
        BuildError: it failed; the message ends with what it said.
    """
    unit = "".join(f'#include "{path.resolve()}"\n' for path in sources)
    result = subprocess.run(command, input=unit, capture_output=True, text=True)
    if result.returncode:
        raise BuildError(f"{' '.join(command)}\n{result.stderr.strip()[-2000:]}")
