"""How far a job is: a bar with the time left on a terminal, elsewhere a line of the log every half minute."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, TextIO

from absl import logging
from tqdm import tqdm

LOG_SECONDS = 30.0
"""Between two lines where there is no terminal."""

FIRST_SECONDS = 1.5
"""Until the first such line; what is done sooner needs none."""

_TERMINAL_SECONDS = 1.0
_LEAST_SECONDS = 0.1  # between two paintings


class Bar:
    """Counts what is done, and shows the count, the rate and the time left.

    It speaks while the caller is busy, too: a thread of its own repaints the bar every second, or logs a line
    every half minute. `update` may be called from any thread, and is the callback ``progress(count)`` of
    functions that take one.

    Args:
        total: of what there is to do; None: unknown, so that only the seconds are shown.
        text: what is being done, for example ``"detecting"``.
        unit: of the count in the singular, or ``"%"``.
        first: what is going on until the first count, if that takes longer, for example ``"tracing the
            network"``; its time does not count in the rate.
        start: count that is done already.
        leave: whether the bar stays on the terminal when it is closed.
        at_once: whether the first line comes before anything else, where there is no terminal.
        terminal: True or False force or forbid the bar; None: a bar where ``file`` is a terminal.
        file: of the bar; None: the standard error.
        every: seconds between two lines of the log.
        clock: seconds, rising.
    """

    def __init__(
        self,
        total: float | None,
        text: str,
        unit: str = "",
        *,
        first: str = "",
        start: float = 0,
        leave: bool = False,
        at_once: bool = False,
        terminal: bool | None = None,
        file: TextIO | None = None,
        every: float = LOG_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total, self.text, self.unit, self.first = total, text, unit, first
        self.count = self._base = start
        self._clock, self._every = clock, every
        self._begin = self._since = self._counted_at = clock()
        self._painted = -_LEAST_SECONDS
        self._paused: float | None = None
        self._note = ""
        self._lines = 0
        self._lock = threading.RLock()
        self._closed = threading.Event()
        stream = file or sys.stderr
        shown = is_terminal(stream) if terminal is None else terminal
        self._painter = _Painter(stream, leave=leave, total=total) if shown else None
        if self._painter is not None:
            self._paint()
        elif at_once:
            self._log()
        self._thread = threading.Thread(target=self._tick, name="progress", daemon=True)
        self._thread.start()

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, kind: Any, *_: object) -> None:
        self.close(finished=kind is None)

    @property
    def on_terminal(self) -> bool:
        """Whether there is a bar, not lines."""
        return self._painter is not None

    def update(self, count: float = 1) -> None:
        """Counts what was done since the last call."""
        with self._lock:
            self.reach(self.count + count)

    def reach(self, count: float) -> None:
        """Counts to ``count`` altogether."""
        with self._lock:
            if self.first and self.count == self._base and count > self._base:
                # Tracing and the like say nothing about the speed of the rest.
                self.first, self._base, self._since = "", count, self._clock()
            self.count, self._counted_at = count, self._now()
            self._paint_if_due()

    def note(self, text: str) -> None:
        """Shows a text behind the rest, in place of the one before."""
        with self._lock:
            self._note = text
            self._paint_if_due()

    def rename(self, text: str) -> None:
        """Says what is being done from now on."""
        with self._lock:
            self.text = text
            self._paint_if_due()

    def log_now(self) -> None:
        """Logs a line out of turn, where there is no terminal."""
        with self._lock:
            if self._painter is None:
                self._log()

    def pause(self) -> None:
        """Stops the clock and the lines while something else is being done."""
        with self._lock:
            self._paused = self._clock() if self._paused is None else self._paused

    def resume(self) -> None:
        """Lets both go on."""
        with self._lock:
            if self._paused is not None:
                gap, self._paused = self._clock() - self._paused, None
                self._begin += gap
                self._since += gap
                self._counted_at += gap

    def close(self, *, finished: bool = True) -> None:
        """Removes the bar; a job that was long enough for lines gets a last one that says how long it took.

        Args:
            finished: whether the job came to its end, and not to an error.
        """
        if self._closed.is_set():
            return
        self._closed.set()
        self._thread.join()
        with self._lock:
            if self._painter is not None:
                self._paint()
                self._painter.close()
            elif finished and self._lines > (self.total is None):
                logging.info("%s", self._last_line())

    def line(self) -> str:
        """What there is to say now, e.g. ``detecting: 20 of 500 images, 4.1 images/s, 1:57 min left``."""
        with self._lock:
            if self._is_waiting():
                return self._waiting_line()
            return ", ".join([f"{self.text}: {self._counted()}", *self._parts()])

    def _is_waiting(self) -> bool:
        return self.total is None or (bool(self.first) and self.count == self._base)

    def _waiting_line(self) -> str:
        seconds = self._elapsed()
        text = self.text if self.total is None else self.first
        return f"{text} ... {span(seconds)}" if seconds >= 1 else f"{text} ..."

    def _last_line(self) -> str:
        took = span(self._elapsed())
        if self.total is None or self.unit == "%":
            return f"{self.text} took {took}"
        return f"{self.text}: {_plural(self.count, self.unit)} in {took}"

    def _counted(self) -> str:
        if self.unit == "%":
            return f"{self.count:.0f} % done"
        return f"{self.count:.0f} of {_plural(self.total or 0, self.unit)}"

    def _parts(self) -> list[str]:
        # Of the time up to the last count: with the clock alone every slow item would look like a slow job.
        done, seconds = self.count - self._base, self._counted_at - self._since
        parts = []
        if done > 0 and seconds > 0:
            if self.unit != "%":
                fast = done >= seconds
                parts.append(
                    f"{done / seconds:.1f} {self.unit}s/s" if fast else f"{seconds / done:.1f} s/{self.unit}"
                )
            left = ((self.total or 0) - self.count) * seconds / done - (self._now() - self._counted_at)
            # It takes longer than it looked like, nobody knows by how much.
            overdue = left < 0 and self.count < (self.total or 0)
            parts += [] if overdue else [f"{span(left)} left"]
        return [*parts, *([self._note] if self._note else [])]

    def _now(self) -> float:
        return self._clock() if self._paused is None else self._paused

    def _elapsed(self) -> float:
        return self._now() - self._begin

    def _tick(self) -> None:
        wait = _TERMINAL_SECONDS if self._painter is not None else min(FIRST_SECONDS, self._every)
        if self._lines:
            wait = self._every
        while not self._closed.wait(wait):
            with self._lock:
                if self._painter is not None:
                    self._paint()
                elif self._paused is None:
                    self._log()
                    wait = self._every

    def _log(self) -> None:
        self._lines += 1
        logging.info("%s", self.line())

    def _paint_if_due(self) -> None:
        if self._painter is not None and self._clock() - self._painted >= _LEAST_SECONDS:
            self._paint()

    def _paint(self) -> None:
        assert self._painter is not None
        self._painted = self._clock()
        if self._is_waiting():
            self._painter.paint(self._waiting_line())
        else:
            counted = "" if self.unit == "%" else self._counted()
            state = ", ".join([counted, *self._parts()] if counted else self._parts())
            self._painter.paint(state, text=self.text, count=self.count)


class _Painter(tqdm):
    """A bar that shows what it is told; tqdm knows the terminal and the other bars."""

    nrows: int | None  # tqdm declares no types

    def __init__(self, file: TextIO, *, leave: bool, total: float | None) -> None:
        self.state = ""
        super().__init__(total=total, file=file, leave=leave, dynamic_ncols=True, bar_format="{state}")

    @property
    def format_dict(self) -> dict[str, Any]:
        values = super().format_dict
        return {
            **values,
            "ncols": values["ncols"] if _is_size(values["ncols"]) else None,
            "state": self.state,
        }

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        """Paints also on a terminal that nobody has told its size, which tqdm would leave alone."""
        self.nrows = self.nrows if _is_size(self.nrows) else None
        return super().display(msg, pos)

    def paint(self, state: str, text: str | None = None, count: float = 0) -> None:
        """Shows a line; with ``text`` a bar between the text and the line."""
        self.state, self.n = state, min(count, self.total or 0)
        self.bar_format = "{state}" if text is None else f"{text} {{percentage:3.0f}} % |{{bar}}| {{state}}"
        self.refresh()


def _is_size(cells: int | None) -> bool:
    return cells is not None and cells > 0


def is_terminal(file: TextIO) -> bool:
    """Whether lines in a file can be painted over."""
    return file.isatty() and os.environ.get("TERM") != "dumb"


def span(seconds: float) -> str:
    """Returns a time as people write it: ``12 s``, ``3:05 min``, ``2:03 h``."""
    whole = max(round(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}:{rest:02d} min"
    return f"{minutes // 60}:{minutes % 60:02d} h"


def _plural(count: float, unit: str) -> str:
    return f"{count:.0f} {unit}" if count == 1 else f"{count:.0f} {unit}s"
