"""Random calls of kernels that were compiled to look after themselves: no read outside, nothing undefined."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from cascade_tf.ops import build, cuda_build
from tests.ops.test_library import HIDE, ROOT
from tests.ops.test_random_calls import CALLS

# "null" and its like do not compile in TensorFlow's headers; AddressSanitizer sees what they would.
CHECKS = (
    "-fsanitize=address,undefined,float-cast-overflow",
    "-fno-sanitize=vptr,null,nonnull-attribute,returns-nonnull-attribute",
    "-fno-sanitize-recover=all",
)
# A function that is compiled for several processors is chosen before the sanitizer has begun.
FLAGS = ("-w", "-O1", "-g1", "-DCASCADE_TF_VECTORIZED=")
PROGRAM = """
import sys
from cascade_tf.ops import library
assert str(library.find()).startswith(sys.argv[1]), library.find()
from tests.ops.fuzzing.calls import against_reference
from tests.ops.fuzzing.kernels import spoiled_kernel
from tests.ops.test_random_calls import make_calls, ops_of
for kind in (against_reference, spoiled_kernel):
    for op in ops_of(spoiled_kernel):
        make_calls(kind, op, int(sys.argv[2]))
print("done")
"""
# A fault that a kernel could have, a row behind the map's last one, and what is said of it.
FAULTS = {
    ("max(end, 0), num_cells)", "max(end, 0), num_cells + 1)"): "AddressSanitizer: heap-buffer-overflow",
}


def runtime_libraries():
    """Paths of the sanitizers' libraries, which are loaded before Python; skips where there are none."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no g++: nothing can be compiled")
    names = ("libasan.so", "libubsan.so")
    found = [
        subprocess.run([compiler, f"-print-file-name={name}"], capture_output=True, text=True).stdout.strip()
        for name in names
    ]
    if not all(Path(path).is_file() for path in found):
        pytest.skip("g++ has no sanitizers")
    return " ".join(found)


def run_sanitized(folder, calls, sources=None):
    """Compiles the kernels with checks, and makes so many random calls of each, of two kinds."""
    libraries = runtime_libraries()
    info = build.TensorFlowInfo(
        tf.__version__, tuple(tf.sysconfig.get_compile_flags()), tuple(tf.sysconfig.get_link_flags())
    )
    info = dataclasses.replace(info, compile_flags=(*info.compile_flags, *FLAGS, *CHECKS))
    compiled = build.compile_library(sources or build.source_folder(), folder / "cascade_tf", info)
    compiled.rename(compiled.with_name(build.library_name(tf.__version__, build.source_folder())))
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "XDG_CACHE_HOME": str(folder),
        "LD_PRELOAD": libraries,
        # Python and TensorFlow leave much to the end of the process.
        "ASAN_OPTIONS": "detect_leaks=0:detect_odr_violation=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }
    command = [sys.executable, "-c", HIDE + PROGRAM, str(folder), str(calls)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=3000)


@pytest.mark.slow
def test_random_calls_under_address_and_undefined_behaviour_sanitizers(tmp_path):
    result = run_sanitized(tmp_path, 40)
    assert result.stdout.endswith("done\n"), result.stderr[-6000:]


@pytest.mark.long
def test_many_random_calls_under_sanitizers(tmp_path):
    result = run_sanitized(tmp_path, CALLS // 10)
    assert result.stdout.endswith("done\n"), result.stderr[-6000:]


@pytest.mark.long
def test_kernels_for_gpus_on_the_host_under_sanitizers(tmp_path):
    libraries = runtime_libraries()
    builder = cuda_build.CudaBuilder(build, build.source_folder())
    builder.compile_launchers(tmp_path / "cascade_tf", host=True, checks=("-O1", "-g1", *CHECKS))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-c",
        os.devnull,
        "--rootdir",
        str(ROOT),
        "-p",
        "no:cacheprovider",
    ]
    command += ["--confcutdir", "tests/device", "--import-mode", "importlib", "-k", "host", "tests/device"]
    environment = {
        **os.environ,
        "XDG_CACHE_HOME": str(tmp_path),
        "LD_PRELOAD": libraries,
        "ASAN_OPTIONS": "detect_leaks=0",
    }
    child = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert child.returncode == 0, child.stdout[-3000:] + child.stderr[-3000:]


@pytest.mark.long
@pytest.mark.parametrize("fault", FAULTS)
def test_the_sanitizers_see_a_fault(fault, tmp_path):
    shutil.copytree(build.source_folder(), tmp_path / "sources")
    file = tmp_path / "sources" / "roi_pool" / "roi_pool.h"
    before, after = fault
    assert before in file.read_text()
    file.write_text(file.read_text().replace(before, after))
    result = run_sanitized(tmp_path, 400, tmp_path / "sources")
    assert result.returncode != 0
    assert FAULTS[fault] in result.stderr
