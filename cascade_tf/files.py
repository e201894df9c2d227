"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def shared_folder(name: str) -> Path:
    """The folder ``"configs"`` or ``"scripts"``: inside the installed package, else that of the clone."""
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


def write_atomically(path: str | os.PathLike[str], content: str | bytes) -> Path:
    r"""Writes a file under a temporary name beside it, then renames it.

    A reader never sees half a file, and a failure leaves an older file of that name as it was. Missing parent
    folders are created.

    Args:
        path: file to write.
        content: text (written as UTF-8, line ends as they are) or bytes.

    Returns:
        The path.

    Raises:
        OSError: the folder cannot be created or written to.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return target


@contextlib.contextmanager
def new_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives an empty folder to fill, which becomes the one of that name at the end, or not at all.

    Args:
        path: of the folder; it must not exist or be empty.

    Yields:
        The folder to fill, beside the one that it becomes.

    Raises:
        FileExistsError: the folder holds something, or is a file.
        OSError: its parent cannot be written to.
    """
    folder = Path(path)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder}: exists already, expected the name of a new or an empty folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield partial
        partial.chmod(0o755)  # mkdtemp makes it private
        partial.replace(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
