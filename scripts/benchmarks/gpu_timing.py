"""Measures cases side by side and keeps their figures; what fails is written down beside what does not."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

GOAL = 0.7  # of the peer's time


@dataclass
class Case:
    """Something to time.

    Attributes:
        name: as the table shows it.
        call: launches it.
        least_bytes: what any implementation reads and writes; 0 where that says nothing.
        peer: name of the case that it is compared with, or None.
        milliseconds: of a call among many, for each round.
        alone: milliseconds of single calls on an idle GPU, for each round.
        error: why it has no figures.
    """

    name: str
    call: Callable[[], Any]
    least_bytes: float = 0.0
    peer: str | None = None
    milliseconds: list[float] = field(default_factory=list)
    alone: list[float] = field(default_factory=list)
    error: str | None = None

    @property
    def median(self) -> float:
        """Of the calls among many; NaN for a case that failed."""
        return float("nan") if self.error else statistics.median(self.milliseconds)


def prepared(makers: Iterable[tuple[str, Callable[[], Sequence[Case]]]]) -> list[Case]:
    """The cases of each maker; for a maker that fails, a case of its name that says why."""
    cases: list[Case] = []
    for name, make in makers:
        try:
            cases += make()
        except Exception as error:  # whatever a library raises, the other cases are worth their time
            cases.append(Case(name, lambda: None, error=_one_line(error)))
    return cases


def measure(
    cases: Sequence[Case],
    among_many: Callable[[Callable[[], Any]], float],
    alone: Callable[[Callable[[], Any]], float],
    rounds: int,
    warmup: int = 3,
) -> None:
    """Times the cases in turns, so that a change of the machine's speed meets all of them.

    Args:
        cases: get their figures, or an error.
        among_many: milliseconds of a call that others precede and follow.
        alone: milliseconds of a single call.
        rounds: with figures.
        warmup: rounds before those.
    """
    for turn in range(-warmup, rounds):
        for case in cases:
            if case.error:
                continue
            try:
                figures = among_many(case.call), alone(case.call)
            except Exception as error:  # as above
                case.error = _one_line(error)
                continue
            if turn >= 0:
                case.milliseconds.append(figures[0])
                case.alone.append(figures[1])


def rows_of(cases: Sequence[Case]) -> list[dict[str, Any]]:
    """The figures of cases that were measured together, the first of which is a copy of memory."""
    by_name = {case.name: case for case in cases}
    bandwidth = cases[0].least_bytes / cases[0].median  # bytes in a millisecond
    rows: list[dict[str, Any]] = []
    for case in cases:
        if case.error:
            rows.append({"name": case.name, "error": case.error})
            continue
        peer = by_name.get(case.peer) if case.peer else None
        ratio = case.median / peer.median if peer and not peer.error else None
        share = case.least_bytes / case.median / bandwidth if case.least_bytes else None
        figures = {"milliseconds": case.milliseconds, "alone": case.alone, "median": case.median}
        figures["share_of_bandwidth"], figures["peer"], figures["of_peer"] = share, case.peer, ratio
        rows.append({"name": case.name, **figures})
    return rows


def table_line(row: dict[str, Any]) -> str:
    """A row of `rows_of` as one of a table in Markdown."""
    if "error" in row:
        return f"| {row['name']} | failed: {row['error']} | | | | |"
    times, ratio, share = row["milliseconds"], row["of_peer"], row["share_of_bandwidth"]
    spread = f"{min(times):.3f} to {max(times):.3f}"
    of_peer = "" if ratio is None else f"{ratio:.2f} ({'reached' if ratio <= GOAL else 'missed'} {GOAL})"
    of_bandwidth = "" if share is None else f"{share:.0%}"
    alone = statistics.median(row["alone"])
    return f"| {row['name']} | {row['median']:.3f} | {spread} | {alone:.3f} | {of_bandwidth} | {of_peer} |"


class Report:
    """Prints rows, and keeps all of them in a file that is complete after each group.

    Args:
        file: JSON; "" for none.
        about: what the file says beside the rows.
    """

    COLUMNS = ("", "ms", "range", "one call alone", "share of bandwidth", "of the peer's time")
    HEADING = f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|"

    def __init__(self, file: str, about: dict[str, Any]) -> None:
        self._file, self._about = file, about
        self._rows: list[dict[str, Any]] = []

    def add(self, cases: Sequence[Case]) -> None:
        """Prints the figures of a group and writes the file anew."""
        rows = rows_of(cases)
        self._rows += rows
        for row in rows:
            print(table_line(row), flush=True)
        if self._file:
            Path(self._file).write_text(json.dumps({**self._about, "rows": self._rows}, indent=1))

    @property
    def failed(self) -> bool:
        """Whether a case has no figures."""
        return any("error" in row for row in self._rows)


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
