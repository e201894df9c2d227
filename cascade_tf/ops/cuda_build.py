"""Compiles the kernels for GPUs with nvcc, and those kernels for the host, where tests run their arithmetic.

Standard library only, as `build.py`, which ``setup.py`` loads by path before this file.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cascade_tf.ops import build

# As on the CPU, no contraction to fused multiply-add: results are those of the CPU's kernels. Functions of
# the standard library, such as std::min, may run on a GPU.
NVCC_FLAGS = ("-std=c++17", "-O3", "-fmad=false", "--expt-relaxed-constexpr", "-Xcompiler=-fPIC", "-DNDEBUG")
_COMPILE_FLAGS = ("-fPIC", "-O2", "-DNDEBUG")
_HOST_FLAGS = ("-std=c++17", "-shared", "-fPIC", "-O2", "-ffp-contract=off")
_NAME = "_cascade_tf_gpu"
# The oldest that the kernels are compiled for: Turing.
_OLDEST = 75


class CudaBuilder:
    """Builds from one folder of sources.

    Args:
        build: the module `cascade_tf.ops.build`, however it was loaded.
        folder: of the sources.
    """

    def __init__(self, build: Any, folder: Path) -> None:
        self._build = build
        self._folder = folder
        files = build.source_files(folder)
        self.cuda_files = [path for path in files if path.suffix == ".cu"]
        self._kernel_files = [path for path in files if path.name.endswith("_gpu.cc")]
        self._digest = build.digest_of(folder, files, (*NVCC_FLAGS, *_COMPILE_FLAGS, *_HOST_FLAGS))

    def library_name(self, tensorflow_version: str, cuda_version: str) -> str:
        """File name of the library for one version of TensorFlow and of CUDA; "*" for any."""
        machine = platform.machine()
        return f"{_NAME}-tf{tensorflow_version}-cuda{cuda_version}-{machine}-{self._digest}.so"

    def compile_library(
        self,
        output_folder: Path,
        tensorflow: build.TensorFlowInfo,
        architectures: Sequence[int] | None = None,
    ) -> Path:
        """Compiles the kernels for GPUs as TensorFlow's, into ``output_folder``; returns the path.

        Args:
            output_folder: where the library appears when it is complete.
            tensorflow: what it is compiled for.
            architectures: 90 for sm_90; None: `chosen_architectures`.

        Raises:
            BuildError: no nvcc, no C++ compiler, or an error of either.
        """
        nvcc = self._required_nvcc()
        compiler = self._build.required_compiler(self._kernel_files, self._folder)
        library = output_folder / self.library_name(tensorflow.version, cuda_version(nvcc))
        runtime = self._static_runtime(nvcc)
        with self._build.file_to_be(library) as partial, tempfile.TemporaryDirectory() as scratch:
            kernels = Path(scratch) / "kernels.o"
            flags = [*_COMPILE_FLAGS, *tensorflow.compile_flags]
            command = [compiler, "-c", *flags, "-x", "c++", "-", "-o", str(kernels)]
            with ThreadPoolExecutor(1) as beside:
                registration = beside.submit(self._build.run_compiler, command, self._kernel_files)
                objects = self.compile_objects(Path(scratch), architectures)
                registration.result()
            # CUDA's runtime comes before TensorFlow, which exports functions of the same names.
            link = [compiler, "-shared", str(kernels), *map(str, objects), str(runtime), "-o", str(partial)]
            tail = ["-Wl,--exclude-libs,ALL", *tensorflow.link_flags, "-lpthread", "-ldl", "-lrt"]
            self._build.run_compiler([*link, *tail])
        return library

    def compile_objects(self, folder: Path, architectures: Sequence[int] | None = None) -> list[Path]:
        """Compiles each CUDA source to an object file in ``folder``, several at once."""
        nvcc = self._required_nvcc()
        targets = _target_flags(architectures or chosen_architectures(nvcc))

        def compile_one(source: Path) -> Path:
            target = folder / f"{source.stem}.o"
            command = [nvcc, *NVCC_FLAGS, *targets, "-c", str(source.resolve()), "-o", str(target)]
            self._build.run_compiler(command)
            return target

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(compile_one, self.cuda_files))

    def compile_launchers(self, output_folder: Path, *, host: bool, checks: Sequence[str] = ()) -> Path:
        """The launchers without TensorFlow, for the tests: on this machine's GPU, or in loops on its CPU.

        A library of this state of the sources that is there already is taken.

        Args:
            output_folder: where the library is, or appears when it is complete.
            host: for the CPU.
            checks: more flags for the C++ compiler, such as those of sanitizers; the name does not tell them.
        """
        library = output_folder / f"_cascade_tf_launchers-{'host' if host else 'cuda'}-{self._digest}.so"
        if library.is_file():
            return library
        if not host:
            with self._build.file_to_be(library) as partial:
                sources = [str(path.resolve()) for path in self.cuda_files]
                flags = ["-arch=native", "-lineinfo", "-shared", "-cudart=static", "--threads=0"]
                command = [self._required_nvcc(), *NVCC_FLAGS, *flags, *sources]
                self._build.run_compiler([*command, "-o", str(partial)])
            return library
        compiler = self._build.required_compiler(self.cuda_files, self._folder)
        with self._build.file_to_be(library) as partial:
            command = [compiler, *_HOST_FLAGS, *checks, "-x", "c++", "-", "-o", str(partial)]
            self._build.run_compiler(command, self.cuda_files)
        return library

    def _required_nvcc(self) -> str:
        nvcc = find_nvcc()
        if nvcc is None:
            raise self._build.BuildError("no nvcc found: install NVIDIA's CUDA toolkit")
        return nvcc

    def _static_runtime(self, nvcc: str) -> Path:
        """CUDA's runtime library, where this nvcc would look for it."""
        source = str(self.cuda_files[0].resolve())
        said = subprocess.run([nvcc, "--dryrun", "-c", source, "-o", "x.o"], capture_output=True, text=True)
        for folder in re.findall(r'"-L([^"]+)"', said.stderr):
            if (path := Path(folder, "libcudart_static.a")).is_file():
                return path
        raise self._build.BuildError(f"{nvcc} has no libcudart_static.a beside it")


def wanted(tensorflow_has_cuda: bool) -> bool:
    """Whether to compile for GPUs: as ``CASCADE_TF_CUDA`` says (1 or 0), else where that can be of use."""
    choice = os.environ.get("CASCADE_TF_CUDA", "")
    return choice != "0" and (choice == "1" or (tensorflow_has_cuda and find_nvcc() is not None))


def find_nvcc() -> str | None:
    """Path of nvcc: in ``$CUDA_HOME``, else on the search path, else where NVIDIA puts it; None without."""
    home = os.environ.get("CUDA_HOME")
    paths = [*([f"{home}/bin"] if home else []), None, "/usr/local/cuda/bin"]  # None: the search path
    return next((found for path in paths if (found := shutil.which("nvcc", path=path))), None)


def cuda_version(nvcc: str) -> str:
    """Such as "13.0"."""
    said = subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"release (\d+\.\d+)", said)
    return found[1] if found else "0.0"


def chosen_architectures(nvcc: str) -> list[int]:
    """Those of ``CASCADE_TF_CUDA_ARCHITECTURES`` ("80,90"), else the first of each generation.

    Code of the first runs on the later ones of its generation; for what comes after the last one there is an
    intermediate form of that (PTX), which drivers compile.
    """
    named = os.environ.get("CASCADE_TF_CUDA_ARCHITECTURES")
    if named:
        return [int(one) for one in named.split(",")]
    said = subprocess.run([nvcc, "--list-gpu-arch"], capture_output=True, text=True, check=True).stdout
    first: dict[int, int] = {}
    for number in sorted(map(int, re.findall(r"compute_(\d+)", said))):
        if number >= _OLDEST:
            first.setdefault(number // 10, number)
    return sorted(first.values())


def _target_flags(architectures: Sequence[int]) -> list[str]:
    last = max(architectures)
    flags = [f"-gencode=arch=compute_{one},code=sm_{one}" for one in architectures]
    return [*flags, f"-gencode=arch=compute_{last},code=compute_{last}"]
