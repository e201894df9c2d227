"""What an evaluation measured: the numbers of the data set's own benchmark, and COCO's.

Numbers of benchmarks are in percent everywhere, as their own programs give them; COCO's are fractions, as
pycocotools gives them. So both equal what the official programs print, and their names tell them apart:
``voc2007/mAP`` beside ``AP50``.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cascade_tf.files import write_atomically
from cascade_tf.metrics.results import CocoResult, compare_csv, compare_table
from cascade_tf.metrics.tables import align, without_nan


class Grid(NamedTuple):
    """How the numbers of a benchmark lie in a table.

    Attributes:
        columns: their titles.
        rows: title of each row, and the name of the number in each column.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


@dataclasses.dataclass(frozen=True)
class BenchmarkResult:
    """The numbers of one set of detections by a benchmark's own protocol.

    Attributes:
        protocol: its name, as ``evaluation.protocol`` has it.
        title: what a table is headed with.
        numbers: name -> percent, NaN where there is nothing to measure; see docs/protocols.md.
        judge: the name of the number by which weights are judged.
        lower_is_better: whether a lower one is better.
        main: names of the few numbers that stages are compared by, the judge among them.
        grid: where each number stands in the table.
    """

    protocol: str
    title: str
    numbers: dict[str, float]
    judge: str
    lower_is_better: bool
    main: tuple[str, ...]
    grid: Grid

    def to_table(self) -> str:
        """Returns aligned text: the title, and a row for each class or overlap."""
        rows = [["", *self.grid.columns]]
        rows += [[title, *(show(self.numbers[name]) for name in names)] for title, names in self.grid.rows]
        return f"{self.title}\n{align(rows)}"

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for ``json``: NaN becomes None."""
        return {
            "protocol": self.protocol,
            "judge": self.judge,
            "lower_is_better": self.lower_is_better,
            "numbers": without_nan(self.numbers),
        }

    def named_numbers(self) -> dict[str, float]:
        """The numbers under names that are no other protocol's, such as ``voc2007/mAP``."""
        return {f"{self.protocol}/{name}": value for name, value in self.numbers.items()}


@dataclasses.dataclass(frozen=True)
class Measurement:
    """One set of detections, measured.

    Attributes:
        coco: its numbers by the COCO protocol.
        benchmark: those of the data set's own protocol; None where that is COCO's.
    """

    coco: CocoResult
    benchmark: BenchmarkResult | None = None

    def numbers(self) -> dict[str, float]:
        """All numbers that are not of single classes by COCO: fractions, then the benchmark's percents."""
        return {**self.coco.numbers(), **self._further()}

    def to_table(self, csv_file: str | os.PathLike[str] | None = None) -> str:
        """Returns aligned text in percent: the benchmark's table, then COCO's.

        Args:
            csv_file: where ``to_csv`` has written all classes, to point to.
        """
        table = self.coco.to_table(csv_file)
        return f"{self.benchmark.to_table()}\n\nCOCO\n{table}" if self.benchmark else table

    def to_dict(self) -> dict[str, Any]:
        """COCO's numbers as `CocoResult.to_dict` has them, and the benchmark's in ``benchmark``."""
        own = {"benchmark": self.benchmark.to_dict()} if self.benchmark else {}
        return {**self.coco.to_dict(), **own}

    def to_json(self, path: str | os.PathLike[str]) -> Path:
        """Writes ``to_dict`` as JSON (the whole file or none) and returns the path."""
        return write_atomically(path, json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n")

    def to_csv(self, path: str | os.PathLike[str]) -> Path:
        """Writes COCO's table; the benchmark's numbers are further columns of the row of all classes."""
        return self.coco.to_csv(path, self._further())

    def _further(self) -> dict[str, float]:
        return self.benchmark.named_numbers() if self.benchmark else {}


def compare_measurements(measurements: Mapping[str, Measurement]) -> str:
    """Returns aligned text in percent, one row per measurement: the benchmark's main numbers, then COCO's."""
    coco = compare_table({name: one.coco for name, one in measurements.items()})
    own = {name: one.benchmark for name, one in measurements.items() if one.benchmark}
    if not own:
        return coco
    first = next(iter(own.values()))
    rows = [["", *first.main]]
    rows += [[name, *(show(result.numbers[number]) for number in first.main)] for name, result in own.items()]
    return f"{first.title}\n{align(rows)}\n\nCOCO\n{coco}"


def write_comparison(path: str | os.PathLike[str], measurements: Mapping[str, Measurement]) -> Path:
    """Writes one CSV row per measurement, with all numbers (the whole file or none), and returns the path."""
    further = {name: one._further() for name, one in measurements.items()}
    return compare_csv(path, {name: one.coco for name, one in measurements.items()}, further)


def show(percent: float) -> str:
    """A percent with two decimals, as benchmarks print it; a dash for NaN."""
    return "-" if math.isnan(percent) else f"{percent:.2f}"
