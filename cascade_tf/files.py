"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path


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
