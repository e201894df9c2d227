"""How the benchmarks measure: rounds of interleaved calls, medians, a table and JSON.

Machines differ, and one machine differs from minute to minute. So every figure is compared with something
that runs in the same rounds: a round calls each case once, the calibrating convolution among them, and a
ratio is the median over the rounds of the ratios within a round.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

# The programs beside this folder are found where this module is imported first.
SCRIPTS = Path(__file__).resolve().parents[1]
if str(SCRIPTS) not in sys.path:
    sys.path.append(str(SCRIPTS))

import program  # noqa: E402

from cascade_tf.files import write_atomically  # noqa: E402


@dataclasses.dataclass
class Case:
    """Something to time.

    Attributes:
        name: as the table shows it.
        call: runs it once and returns when its result is there.
        operations: multiply-adds times two that no implementation can avoid; with them the case has a floor.
        dtype: the type whose convolution rate sets the floor.
        goal: largest ratio to the floor, or None.
        limit_ms: largest time in milliseconds, or None.
        seconds: of each round.
    """

    name: str
    call: Callable[[], Any]
    operations: float | None = None
    dtype: str = "float32"
    goal: float | None = None
    limit_ms: float | None = None
    seconds: list[float] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Row:
    """A line of the table, in plain numbers.

    Attributes:
        name: what was measured.
        value: median.
        unit: of the value and its range.
        low: smallest of the rounds.
        high: largest of the rounds.
        floor: the machine's own time for the operations, in the same unit.
        ratio: value to floor, the median of the rounds' ratios.
        goal: what the ratio, or without a floor the value, has to reach.
    """

    name: str
    value: float
    unit: str
    low: float | None = None
    high: float | None = None
    floor: float | None = None
    ratio: float | None = None
    goal: str = ""


def flags(
    rounds: int, text: str = "Counted rounds; two more come before them and do not count."
) -> program.Flags:
    """The flags that all benchmarks share.

    Args:
        rounds: default number of rounds.
        text: what a round is.
    """
    options = program.Flags(of_runs=False, settings=False)
    options.integer("rounds", rounds, text, lower=1)
    options.string("json", None, "Also writes the figures to this file.", "FILE")
    return options


# Rounds that do not count.
WARMUPS = 2


def run_rounds(cases: Sequence[Case], rounds: int) -> None:
    """Calls all cases in turn, ``WARMUPS + rounds`` times, and keeps the times of the last ``rounds``."""
    for number in range(WARMUPS + rounds):
        for case in cases:
            begin = time.perf_counter()
            case.call()
            elapsed = time.perf_counter() - begin
            if number >= WARMUPS:
                case.seconds.append(elapsed)


def convolution(dtype: str) -> Case:
    """The calibrator: a 3x3 convolution of 256 channels on 1x200x336, as a detector's P2 has them.

    Its operations over its time are the rate that floors are computed with. The rate depends on where in
    memory the values lie, by up to a quarter, and a network's many layers lie in many places; so the calls
    take copies of the values in turn.
    """
    import tensorflow as tf

    x = tf.cast(tf.random.stateless_normal([1, 200, 336, 256], (1, 2)), dtype)
    kernel = tf.cast(tf.random.stateless_normal([3, 3, 256, 256], (3, 4)) * 0.02, dtype)
    copies = itertools.cycle([(_copy(x), _copy(kernel)) for _ in range(CALIBRATOR_COPIES)])
    convolve = tf.function(lambda x, kernel: tf.nn.conv2d(x, kernel, 1, "SAME"), autograph=False)
    operations = 2.0 * 200 * 336 * 256 * 256 * 9
    return Case(f"3x3 convolution, {dtype}", lambda: wait(convolve(*next(copies))), operations, dtype)


# Few enough that all have their turn in the rounds of any benchmark.
CALIBRATOR_COPIES = 5


def _copy(x: Any) -> Any:
    """The same values elsewhere in memory."""
    import tensorflow as tf

    return tf.raw_ops.DeepCopy(x=x)


def wait(result: Any) -> None:
    """Returns when everything that was started is computed, such as ``result``, which is not copied."""
    import tensorflow as tf

    tf.test.experimental.sync_devices()


def rows(cases: Sequence[Case], calibrators: Sequence[Case]) -> list[Row]:
    """Lines for cases and calibrators of the same rounds."""
    by_dtype = {case.dtype: case for case in calibrators}
    lines = [_rate_row(case) for case in calibrators]
    return lines + [_row(case, by_dtype.get(case.dtype)) for case in cases]


def _rate_row(case: Case) -> Row:
    assert case.operations is not None
    rates = [case.operations / seconds / 1e9 for seconds in case.seconds]
    return Row(case.name, statistics.median(rates), "GFLOP/s", min(rates), max(rates))


def _row(case: Case, calibrator: Case | None) -> Row:
    scale = 1e3
    row = Row(
        case.name,
        statistics.median(case.seconds) * scale,
        "ms",
        min(case.seconds) * scale,
        max(case.seconds) * scale,
        goal="" if case.limit_ms is None else f"<= {case.limit_ms:g} ms",
    )
    if case.operations is None or calibrator is None or calibrator.operations is None:
        return row
    share = case.operations / calibrator.operations
    floors = [seconds * share for seconds in calibrator.seconds]
    row.floor = statistics.median(floors) * scale
    row.ratio = statistics.median(s / floor for s, floor in zip(case.seconds, floors, strict=True))
    if case.goal is not None:
        row.goal = f"<= {case.goal:g} x floor"
    return row


def quotient(name: str, case: Case, other: Case, goal: str = "") -> Row:
    """How many times as long as ``other`` a case takes: the median of the rounds' quotients."""
    ratios = [one / two for one, two in zip(case.seconds, other.seconds, strict=True)]
    return Row(name, statistics.median(ratios), "x", min(ratios), max(ratios), goal=goal)


def report(name: str, lines: Sequence[Row], settings: dict[str, Any], json_file: str | None) -> None:
    """Prints the table, and writes JSON with the machine and the settings if a file is named."""
    described: dict[str, Any] = {"benchmark": name, "machine": machine(), "settings": settings}
    print(f"{name}: {', '.join(f'{key} {value}' for key, value in settings.items())}")
    print(", ".join(f"{key} {value}" for key, value in described["machine"].items()))
    print(table(lines))
    if json_file:
        content = described | {"rows": [dataclasses.asdict(line) for line in lines]}
        path = program.writable_folder(Path(json_file).parent, "folder of --json") / Path(json_file).name
        write_atomically(path, json.dumps(content, indent=1).encode())


def table(lines: Sequence[Row]) -> str:
    """The lines as Markdown."""
    return markdown(
        [("what", "median", "range", "floor", "ratio", "goal"), *(_cells(line) for line in lines)]
    )


def markdown(cells: Sequence[Sequence[str]]) -> str:
    """A table with aligned columns; the first row is its head."""
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    text = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in cells]
    text.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(text)


def _cells(line: Row) -> tuple[str, ...]:
    spread = "" if line.low is None or line.high is None else f"{_short(line.low)} .. {_short(line.high)}"
    floor = "" if line.floor is None else f"{_short(line.floor)} {line.unit}"
    ratio = "" if line.ratio is None else f"{line.ratio:.2f}"
    return line.name, f"{_short(line.value)} {line.unit}", spread, floor, ratio, line.goal


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def machine() -> dict[str, Any]:
    """What the figures depend on: processor, cores and versions."""
    import keras
    import tensorflow as tf

    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "TensorFlow": tf.__version__,
        "Keras": keras.__version__,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    widest = "AVX-512" if any("avx512f" in line for line in lines) else "no AVX-512"
    return f"{names[0] if names else platform.machine()} ({widest})"
