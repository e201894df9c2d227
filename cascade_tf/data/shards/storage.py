"""Files on a disk, and on what else TensorFlow reads: ``gs://``, ``s3://``, ``hdfs://``, ``ram://``.

TensorFlow is fetched for paths with a scheme alone, so that those of a disk are read without it.
"""

from __future__ import annotations

import fnmatch
import os
import re
from pathlib import Path
from typing import Any

from cascade_tf.files import write_atomically

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+):/{1,2}")


def storage_path(path: str | os.PathLike[str]) -> str:
    """A path as TensorFlow takes it.

    >>> storage_path("gs:/bucket/shards")  # pathlib drops one of two slashes
    'gs://bucket/shards'
    """
    return _SCHEME.sub(r"\1://", os.fspath(path)).rstrip("/")


def is_remote(path: str) -> bool:
    """Whether a path has a scheme, and is TensorFlow's to read."""
    return bool(_SCHEME.match(path))


def names_in(folder: str, pattern: str) -> list[str]:
    """The names in a folder that a pattern fits, sorted; none where there is no such folder.

    Args:
        folder: its path.
        pattern: such as ``"*.json"``.
    """
    try:
        names = _gfile().listdir(folder) if is_remote(folder) else os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except Exception as error:
        if is_remote(folder) and _is_not_found(error):
            return []
        raise
    return sorted(fnmatch.filter((name.rstrip("/") for name in names), pattern))


def read_file(path: str, offset: int = 0, length: int | None = None) -> bytes:
    """The bytes of a file, or of a part of it.

    Args:
        path: of the file.
        offset: where the part begins.
        length: of the part; None: to the end. A file that ends before gives fewer.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: it cannot be read.
    """
    if not is_remote(path):
        with open(path, "rb") as file:
            file.seek(offset)
            return file.read(-1 if length is None else length)
    try:
        with _gfile().GFile(path, "rb") as file:
            file.seek(offset)
            return file.read(-1 if length is None else length)
    except Exception as error:
        raise _as_os_error(path, error) from None


def file_size(path: str) -> int:
    """The bytes of a file.

    Raises:
        FileNotFoundError: there is no such file.
    """
    if not is_remote(path):
        return os.path.getsize(path)
    try:
        return int(_gfile().stat(path).length)
    except Exception as error:
        raise _as_os_error(path, error) from None


def write_file(path: str, content: str) -> None:
    """Writes a text that appears whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    if not is_remote(path):
        write_atomically(path, content)
        return
    temporary = f"{path}.tmp"
    try:
        with _gfile().GFile(temporary, "w") as file:
            file.write(content)
        _gfile().rename(temporary, path, overwrite=True)
    except Exception as error:
        raise _as_os_error(path, error) from None


def remove_file(path: str) -> None:
    """Removes a file if it is there."""
    if not is_remote(path):
        Path(path).unlink(missing_ok=True)
    elif _gfile().exists(path):
        _gfile().remove(path)


def _gfile() -> Any:
    import tensorflow as tf

    return tf.io.gfile


def _is_not_found(error: Exception) -> bool:
    import tensorflow as tf

    return isinstance(error, tf.errors.NotFoundError)


def _as_os_error(path: str, error: Exception) -> Exception:
    import tensorflow as tf

    if isinstance(error, tf.errors.NotFoundError):
        return FileNotFoundError(f"{path}: no such file")
    return OSError(f"{path}: {error.message}") if isinstance(error, tf.errors.OpError) else error
