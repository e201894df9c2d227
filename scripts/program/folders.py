"""Folders that results go to."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
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


def short_names(folders: Sequence[str]) -> list[str]:
    """Returns the shortest ends of paths, all of as many folders, that tell them apart.

    Raises:
        ValueError: a folder comes twice.
    """
    parts = [Path(folder).absolute().parts for folder in folders]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len({*names}) == len(names):
            return names
    twice = next(folder for folder, part in zip(folders, parts, strict=True) if parts.count(part) > 1)
    raise ValueError(f"got the run {twice!r} twice, expected others beside it")
