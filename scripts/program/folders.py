"""Folders that results go to."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from .flags import Flags


def output_folder(options: Flags, inside: str) -> Path:
    """Returns ``--output``, or a folder of that name in ``--workdir``.

    Raises:
        ValueError: there is neither.
    """
    if options.values.output:
        return Path(options.values.output)
    if not options.values.workdir:
        raise ValueError(
            "flag --output is missing, expected a folder: there is no run to put the results into"
        )
    return Path(options.values.workdir) / inside


def writable_folder(path: str | os.PathLike, name: str) -> Path:
    """Makes a folder if need be and returns it.

    Args:
        path: the folder.
        name: what the user calls it, for the error.

    Raises:
        ValueError: it cannot be made or written.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise ValueError(
            f"{name} {str(path)!r}: got {error.strerror}, expected a folder that can be written"
        ) from None
    return folder
