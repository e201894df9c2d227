"""Errors that a user can act on, told from defects."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

from .root import ROOT, SCRIPTS

_LIST_ITEM = "\n  "


def is_users(error: Exception) -> bool:
    """Whether the error was raised on purpose: by the operating system, or by a check of this project."""
    if isinstance(error, OSError):
        return True
    frames = traceback.extract_tb(error.__traceback__)
    ours = bool(frames) and Path(frames[-1].filename).resolve().is_relative_to(ROOT / "cascade_tf")
    ours = ours or (bool(frames) and Path(frames[-1].filename).resolve().is_relative_to(SCRIPTS))
    return ours and isinstance(error, (ValueError, TypeError, ArithmeticError, RuntimeError))


def broken_image(error: Exception) -> str | None:
    """The line about an image that a tf.data graph could not read; None where the error is another."""
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None or not isinstance(error, tensorflow.errors.OpError):
        return None
    from cascade_tf.data.images import broken_image_line

    return broken_image_line(error)


def show_defect(error: Exception, *, debug: bool) -> None:
    """Prints the traceback of an error that is a defect, or with ``debug`` of any."""
    if debug or not (broken_image(error) or is_users(error)):
        traceback.print_exception(error)


def one_line(error: Exception) -> str:
    """The error's text without line ends, or its type where it has none.

    The records that an annotation file's error lists keep their lines, which begin with two spaces.
    """
    parts = [" ".join(part.split()) for part in str(error).split(_LIST_ITEM)]
    return _LIST_ITEM.join(parts) or type(error).__name__


def fail(name: str, message: str, status: int = 1) -> int:
    """Writes the line of an error on the standard error and returns the exit status."""
    print(f"{name}: error: {message}", file=sys.stderr)
    return status
