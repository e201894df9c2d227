"""Which implementation of an op runs: the C++ library or the pure-TensorFlow twin.

The library is opened when the package's ops are imported, so that graphs that name them can be loaded. If
there is none for this TensorFlow, the first use compiles it into the user's cache, which takes some seconds
and happens once per version.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf
from absl import logging
from tensorflow.python.ops import control_flow_util  # what XLA compiles has no public name

from cascade_tf.ops import build, gpu_library

IMPLEMENTATIONS = ("auto", "custom", "tensorflow")

_twins_alone: contextvars.ContextVar[bool] = contextvars.ContextVar("twins_alone", default=False)
_sizes_fit: contextvars.ContextVar[bool] = contextvars.ContextVar("sizes_fit", default=False)


class LibraryError(RuntimeError):
    """The C++ ops cannot be used; the message says what was tried and what to do."""


def check_implementation(implementation: str) -> None:
    """Raises ValueError unless ``implementation`` is one of ``IMPLEMENTATIONS``."""
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(f"implementation must be one of {IMPLEMENTATIONS}, got {implementation!r}")


def custom_ops(implementation: str, *, on_host: bool = False) -> Any | None:
    """The module of generated C++ op functions, or None if the twin is to run.

    "auto" takes the C++ ops where they can be had. With a GPU it means the twin: most kernels for GPUs have
    yet to run on one, and without them copying feature maps to the host would cost more than the op gains.
    "custom" takes the kernels for GPUs where they were built, and says so where a GPU has none.
    XLA compiles the twin. Inside of `twins_alone` it is the twin whatever is asked for.

    Args:
        implementation: "auto", "custom" or "tensorflow".
        on_host: whether the inputs are arrays of the host, and the op will run there: then a GPU is no reason
            for the twin.

    Raises:
        ValueError: unknown implementation.
        LibraryError: "custom" without a usable library, or under XLA.
    """
    check_implementation(implementation)
    if implementation == "tensorflow" or _twins_alone.get():
        return None
    if under_xla():
        if implementation == "custom":
            raise LibraryError(
                "XLA cannot compile the C++ ops: use implementation='auto' or 'tensorflow' with jit_compile"
            )
        return None
    if implementation == "auto" and not on_host and tf.config.list_physical_devices("GPU"):
        return None
    if implementation == "custom" and not on_host:
        gpu_library.warn_if_missing()
    try:
        return load()
    except LibraryError as error:
        if implementation == "custom":
            raise
        _log_fallback(str(error))
        return None


@contextlib.contextmanager
def twins_alone() -> Iterator[None]:
    """While it lasts, every op that this thread calls or traces runs as its twin, of core TensorFlow ops."""
    token = _twins_alone.set(True)
    try:
        yield
    finally:
        _twins_alone.reset(token)


@contextlib.contextmanager
def sizes_fit() -> Iterator[None]:
    """While it lasts, graphs that this thread traces do not look at sizes: a detector's own always fit."""
    token = _sizes_fit.set(True)
    try:
        yield
    finally:
        _sizes_fit.reset(token)


def checks_sizes() -> bool:
    """Whether a twin is to compare sizes where it runs: in graphs, neither under XLA nor in `sizes_fit`."""
    return not (tf.executing_eagerly() or _sizes_fit.get() or under_xla())


def under_xla() -> bool:
    """Whether what is being traced will be compiled by XLA, as in ``tf.function(jit_compile=True)``.

    A function that was traced before, and is called in such a one, cannot know.
    """
    if tf.executing_eagerly():
        return False
    return control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())


def refuse_xla(op: str) -> None:
    """Raises ValueError where XLA would have to compile an op whose shapes depend on its values."""
    if under_xla():
        raise ValueError(f"{op}: XLA cannot compile it, call it outside of jit_compile=True")


def register() -> None:
    """Opens the library if it has been built, so that TensorFlow knows its ops; compiles nothing."""
    try:
        built = find() is not None
    except (OSError, RuntimeError):  # nothing to read, or no home folder: the first use says so
        return
    if built:
        _load()


def load() -> Any:
    """Opens the library, compiling it first if need be; later calls return the same module.

    Raises:
        LibraryError: it cannot be compiled or opened.
    """
    result = _load()
    if isinstance(result, str):
        raise LibraryError(result)
    return result


@functools.cache
def _load() -> Any:
    """The module, or the reason why there is none: a failed build is not tried again in this process."""
    try:
        path = find() or _compile()
    except build.BuildError as error:
        return (
            f"no C++ ops for TensorFlow {tf.__version__}: {error}. Remedy: install a C++ compiler, or use "
            "implementation='tensorflow'."
        )
    try:
        module = tf.load_op_library(str(path))
    except (tf.errors.NotFoundError, tf.errors.InvalidArgumentError) as error:
        remedy = "Remedy: delete the file to rebuild it."
        return f"{path} does not open in TensorFlow {tf.__version__}: {error}. {remedy}"
    gpu_library.register()
    return module


def find() -> Path | None:
    """Path of an already built library for this TensorFlow: in the package, else in the user's cache."""
    folder = build.source_folder()
    if not folder.is_dir():
        return None
    name = build.library_name(tf.__version__, folder)
    candidates = (Path(__file__).parent / name, build.cache_folder() / name)
    return next((path for path in candidates if path.is_file()), None)


def _compile() -> Path:
    logging.info("Compiling the C++ ops for TensorFlow %s (once)", tf.__version__)
    info = build.TensorFlowInfo(
        tf.__version__, tuple(tf.sysconfig.get_compile_flags()), tuple(tf.sysconfig.get_link_flags())
    )
    return build.compile_library(build.source_folder(), build.cache_folder(), info)


@functools.cache
def _log_fallback(reason: str) -> None:
    logging.warning("Using the TensorFlow implementation of the ops: %s", reason)
