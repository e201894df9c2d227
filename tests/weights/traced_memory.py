"""The memory that Python and NumPy take while something runs."""

from __future__ import annotations

import contextlib
import tracemalloc
from collections.abc import Iterator
from types import SimpleNamespace


@contextlib.contextmanager
def traced_memory() -> Iterator[SimpleNamespace]:
    """Gives an object whose ``peak`` is, after the block, the most bytes that were allocated in it."""
    memory = SimpleNamespace(peak=0)
    tracemalloc.start()
    try:
        yield memory
        memory.peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
