"""Ctrl-C and SIGTERM end a run after the step at hand."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

from cascade_tf.training.cluster import Workers


class StopRequest:
    """While it is entered, the first SIGINT or SIGTERM is noted and the second one ends the process at once.

    Outside of the main thread Python allows no handlers, and nothing is noted.

    Args:
        workers: of which each may get the signal, and all have to end after the same step.

    Attributes:
        received: number of this process's signal, None while there was none.
        agreed: number of the signal that ends all workers, None while there was none.
    """

    def __init__(self, workers: Workers) -> None:
        self.received: int | None = None
        self.agreed: int | None = None
        self._workers = workers
        self._told: Any = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def is_agreed(self) -> bool:
        """Whether all workers end now; to be called by all of them after every step.

        Among several it tells of signals before the last step: what was said in this one is read in the next,
        so that no step waits for it.
        """
        if self._workers.count == 1:
            self.agreed = self.received
        else:
            if self._told is not None:
                self.agreed = max(self._told.numpy().tolist()) or None
            self._told = self._workers.exchange(self.received or 0)
        return self.agreed is not None

    def agree(self) -> None:
        """Tells the workers of each other's signals once more, after the last step; all of them wait here."""
        told = self._workers.exchange(self.received or 0)
        self.agreed = self.agreed or max(told.numpy().tolist()) or None

    def _note(self, number: int, _: FrameType | None) -> None:
        self.received = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
