"""Ends a process whose training stands still, because another one of the same run died or hangs."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

from absl import logging

STALLED = 75
"""Exit status of a process that another one has left alone; BSD's EX_TEMPFAIL: start it again."""


def leave(seconds: float) -> None:
    """Ends this process, which waits inside of a collective operation that no exception can leave."""
    logging.error(
        "no step was done for %.0f s, expected one within --stall_limit: another process of the run, or its "
        "service of data, died, hangs or was not started, or an evaluation takes longer; the same command on "
        "all hosts goes on from the last checkpoint",
        seconds,
    )
    logging.flush()
    os._exit(STALLED)


class Watchdog:
    """While it is entered, it wants to hear of something being done every so often.

    Args:
        limit: seconds without a sign, by a clock that never jumps; 0: it never acts.
        act: what it does then, once, in a thread of its own; takes the seconds.
    """

    def __init__(self, limit: float, act: Callable[[float], Any] = leave) -> None:
        self._limit = limit
        self._act = act
        self._last = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> Watchdog:
        self._last = time.monotonic()
        if self._limit > 0:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def sign(self) -> None:
        """Says that something has been done."""
        self._last = time.monotonic()

    def _watch(self) -> None:
        while not self._ended.wait(max(self._last + self._limit - time.monotonic(), 0.01)):
            silence = time.monotonic() - self._last
            if silence >= self._limit:
                self._act(silence)
                return
