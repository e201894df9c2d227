"""The kernels for GPUs by their launchers, on the host and where there is one on a GPU.

Needs neither TensorFlow nor the package. On a machine with a GPU, nvcc, NumPy and PyTorch or CuPy:

    scripts/benchmarks/gpu_session.sh FOLDER compile tests
"""

from __future__ import annotations

import functools
import os

import numpy as np
import pytest

from scripts.benchmarks import launchers as library


@functools.cache
def _launchers(where):
    """`Launchers`, why there are none, or a compiler's error: it is not called again for each test."""
    if where == "host":
        return _compiled(library.HostMemory(), host=True)
    try:
        memory = library.gpu_memory()
    except ImportError as error:
        return str(error)
    if not library.has_nvcc():
        return "no nvcc to compile the kernels with"
    return _compiled(memory, host=False)


def _compiled(memory, *, host):
    try:
        return library.Launchers(library.compile_launchers(host=host), memory)
    except RuntimeError as error:
        return error


def _found(where):
    found = _launchers(where)
    if isinstance(found, RuntimeError):
        pytest.fail(str(found))
    if isinstance(found, str):
        if os.environ.get("CASCADE_TF_GPU") == "1":
            pytest.fail(found)
        pytest.skip(found)
    return found


@pytest.fixture(params=["host", "gpu"])
def launchers(request):
    """`Launchers` on the host, and once more on a GPU."""
    return _found(request.param)


@pytest.fixture
def gpu_launchers():
    """`Launchers` on a GPU; a test that asks for them has "gpu" in its name, by which a session chooses."""
    return _found("gpu")


@pytest.fixture(scope="session")
def host_launchers():
    """`Launchers` on the host."""
    return _found("host")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def both_orders(host_launchers):
    """Calls a function with threads and blocks in one order and in the other; the results must be equal."""

    def run(compute):
        forwards = compute()
        host_launchers.run_backwards(True)
        try:
            backwards = compute()
        finally:
            host_launchers.run_backwards(False)
        for one, other in zip(forwards, backwards, strict=True):
            np.testing.assert_array_equal(one, other)

    return run
