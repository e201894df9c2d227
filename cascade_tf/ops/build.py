"""Compiles the C++ ops into one shared library; used by ``setup.py`` and at the first use of an op.

Standard library only: ``setup.py`` loads this file by path, before the package or TensorFlow can be imported.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

# No contraction to fused multiply-add: results are the same on every CPU, and NMS decides exactly as its twin
# does.
_COMPILE_FLAGS = ("-shared", "-fPIC", "-O3", "-DNDEBUG", "-ffp-contract=off")
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
    """

    version: str
    compile_flags: tuple[str, ...]
    link_flags: tuple[str, ...]


def source_folder() -> Path:
    """Folder of the C++ sources: inside an installed package, or at the top of a checkout."""
    installed = Path(__file__).parent / "custom_ops"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "custom_ops"


def source_files(folder: Path) -> list[Path]:
    """All C++ sources and headers below ``folder``, sorted."""
    return sorted(path for path in folder.rglob("*") if path.suffix in (".cc", ".h"))


def library_name(tensorflow_version: str, folder: Path) -> str:
    """File name of the library for one TensorFlow version, processor and state of the sources."""
    digest = hashlib.sha256(" ".join(_COMPILE_FLAGS).encode())
    for path in source_files(folder):
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(path.read_bytes())
    return f"{_NAME}-tf{tensorflow_version}-{platform.machine()}-{digest.hexdigest()[:12]}.so"


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
        "print(json.dumps([tf.__version__, tf.sysconfig.get_compile_flags(), tf.sysconfig.get_link_flags()]))"
    )
    child = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    if child.returncode:
        return None
    version, compile_flags, link_flags = json.loads(child.stdout.splitlines()[-1])
    return TensorFlowInfo(version, tuple(compile_flags), tuple(link_flags))


def compile_library(folder: Path, output_folder: Path, tensorflow: TensorFlowInfo) -> Path:
    """Compiles the sources into ``output_folder``; returns the path of the library.

    The file appears under its name only when it is complete, so several processes may do this at once.

    Raises:
        BuildError: no sources, no compiler, an unwritable folder, or an error of the compiler.
    """
    sources = [path.resolve() for path in source_files(folder) if path.suffix == ".cc"]
    if not sources:
        raise BuildError(f"no C++ sources in {folder}")
    compiler = find_compiler()
    if compiler is None:
        raise BuildError("no C++ compiler found: install g++ 9 or newer, or set CXX")
    library = output_folder / library_name(tensorflow.version, folder)
    try:
        output_folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=output_folder, prefix=".build-") as scratch:
            partial = os.path.join(scratch, library.name)
            command = [compiler, *_COMPILE_FLAGS, *tensorflow.compile_flags, "-x", "c++", "-", "-o", partial]
            _run_compiler([*command, "-Wl,--exclude-libs,ALL", *tensorflow.link_flags], sources)
            os.replace(partial, library)
    except OSError as error:
        raise BuildError(f"cannot write the compiled ops to {output_folder}: {error}") from error
    return library


def _run_compiler(command: Sequence[str], sources: Sequence[Path]) -> None:
    # One translation unit: TensorFlow's headers, which take nearly all of the time, are read once.
    unit = "".join(f'#include "{path}"\n' for path in sources)
    result = subprocess.run(command, input=unit, capture_output=True, text=True)
    if result.returncode:
        raise BuildError(f"{' '.join(command)}\n{result.stderr.strip()[-2000:]}")
