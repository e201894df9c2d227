"""The library of kernels for GPUs, which is opened beside that of the ops.

It works with the driver of its own generation of CUDA and with newer ones. Without it, or with an older
driver, the ops have no kernels for GPUs: TensorFlow runs them on the host.
"""

from __future__ import annotations

import ctypes
import functools
import os
import re
from pathlib import Path

import tensorflow as tf
from absl import logging

from cascade_tf.ops import build, cuda_build


@functools.cache
def register() -> None:
    """Opens the library where there is one and a driver for it, so that TensorFlow knows its kernels."""
    if os.environ.get("CASCADE_TF_CUDA") == "0":
        return
    driver = driver_version()
    path = None if driver is None else find()
    if driver is None or path is None:
        return
    if problem := too_old(driver, path):
        logging.warning(problem)
        return
    try:
        tf.load_library(str(path))
    except (tf.errors.NotFoundError, tf.errors.InvalidArgumentError) as error:
        logging.warning("No kernels for GPUs: %s does not open: %s", path, str(error).splitlines()[0])


@functools.cache
def warn_if_missing() -> None:
    """Says in one line, once, that there is a GPU and no library for it: `pip install` alone builds one."""
    if os.environ.get("CASCADE_TF_CUDA") == "0" or not tf.config.list_physical_devices("GPU") or find():
        return
    logging.warning(
        "No kernels for GPUs: none were built for TensorFlow %s and these sources. Install the package again "
        "where nvcc is found ($CUDA_HOME, the search path or /usr/local/cuda); until then "
        "implementation='custom' runs the ops on the host.",
        tf.__version__,
    )


def find() -> Path | None:
    """Path of an already built library for this TensorFlow: in the package, else in the user's cache."""
    folder = build.source_folder()
    if not folder.is_dir():
        return None
    name = cuda_build.CudaBuilder(build, folder).library_name(tf.__version__, "*")
    places = (Path(__file__).parent, build.cache_folder())
    return next((path for place in places for path in place.glob(name)), None)


def driver_version() -> tuple[int, int] | None:
    """The newest CUDA that this machine's driver knows, such as (13, 0); None without a driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    version = ctypes.c_int()
    if driver.cuDriverGetVersion(ctypes.byref(version)):
        return None
    return version.value // 1000, version.value % 1000 // 10


def too_old(driver: tuple[int, int], library: Path) -> str | None:
    """Why a driver cannot run a library's kernels, in one line; None if it can.

    A driver runs all versions of its generation: code for the processor is the same.
    """
    built = re.search(r"-cuda(\d+)\.(\d+)-", library.name)
    if built is None or driver[0] >= int(built[1]):
        return None
    return (
        f"No kernels for GPUs: the driver knows CUDA {driver[0]}.{driver[1]}, they were built with "
        f"{built[1]}.{built[2]}. Update the driver, or build with an older CUDA; until then "
        "implementation='auto' runs the TensorFlow implementation of the ops."
    )
