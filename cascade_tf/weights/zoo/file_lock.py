"""A lock between processes, and between threads, on one file."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from absl import logging

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_POLL_SECONDS = 0.1


@contextlib.contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Holds the lock ``path``, waiting as long as another holds it; the file stays.

    The operating system releases the lock of a process that ends, however it ends.

    Args:
        path: file of the lock; its folder exists.

    Yields:
        Whether the lock could be taken: False where the file system or the platform has none.

    Raises:
        OSError: the file cannot be made.
    """
    with path.open("ab") as file:
        yield _acquire(file.fileno(), path)


def _acquire(descriptor: int, path: Path) -> bool:
    if fcntl is None:
        return False
    waited = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if not waited:
                logging.info("Waiting for another process that holds %s", path)
            waited = True
            time.sleep(_POLL_SECONDS)
        except OSError:
            return False
