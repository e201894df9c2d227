"""The import of TensorFlow: with a sign of life, and without the lines that say nothing to a user.

TensorFlow writes those before its own setting for them is in force, from C++ to the file descriptor. So for
the time of the import the descriptor leads to a filter. It is a process of its own: a crash in the middle of
the import is then still told.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

LEVEL = "TF_CPP_MIN_LOG_LEVEL"
_ERRORS = "2"
_STDERR = 2
_FILTER = Path(__file__).with_name("start_lines.py")


def set_log_level() -> None:
    """Hides what TensorFlow says below an error, unless the user has chosen; it reads this when imported."""
    os.environ.setdefault(LEVEL, _ERRORS)


class _Finder:
    """Finds TensorFlow where Python does, and wraps the import."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Returns the module's own specification; None for all other modules."""
        if name != "tensorflow":
            return None
        forget_tensorflow()
        try:
            spec = importlib.util.find_spec(name)
        finally:
            await_tensorflow()
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module
            spec.loader.exec_module = functools.partial(_import, execute)  # type: ignore[method-assign]
        return spec


_FINDER = _Finder()


def await_tensorflow() -> None:
    """Makes the first import of TensorFlow, wherever it is, say so and be quiet otherwise."""
    if "tensorflow" not in sys.modules and _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)


def forget_tensorflow() -> None:
    """Undoes `await_tensorflow`."""
    if _FINDER in sys.meta_path:
        sys.meta_path.remove(_FINDER)


def _import(execute: Callable[[Any], None], module: Any) -> None:
    from cascade_tf.progress import Bar, is_terminal

    forget_tensorflow()
    # Whoever chooses a lower level wants to see what it lets through.
    wants_all = os.environ.get(LEVEL, _ERRORS) < _ERRORS
    with contextlib.ExitStack() as stack:
        # The bar goes past the filter, which waits for whole lines.
        file = stack.enter_context(_stderr_of_bars()) if is_terminal(sys.stderr) else None
        stack.enter_context(Bar(None, "loading TensorFlow", at_once=True, file=file))
        stack.enter_context(contextlib.nullcontext() if wants_all else filtered())
        execute(module)


@contextlib.contextmanager
def _stderr_of_bars() -> Iterator[Any]:
    with os.fdopen(os.dup(sys.stderr.fileno()), "w", encoding=sys.stderr.encoding) as file:
        yield file


@contextlib.contextmanager
def filtered() -> Iterator[None]:
    """Sends what is written to the standard error's descriptor through ``start_lines.py``."""
    sys.stderr.flush()
    before = os.dup(_STDERR)
    try:
        # In a session of its own, so that Ctrl-C leaves it alone: it ends when nobody can write to it.
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_FILTER)],
            stdin=subprocess.PIPE,
            stdout=before,
            start_new_session=True,
        )
    except OSError:
        os.close(before)
        yield
        return
    assert process.stdin is not None
    os.dup2(process.stdin.fileno(), _STDERR)
    process.stdin.close()
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(before, _STDERR)
        os.close(before)
        process.wait()
