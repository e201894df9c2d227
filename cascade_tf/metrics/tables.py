"""Numbers as text: aligned tables for people, CSV, and values that JSON knows."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from cascade_tf.files import write_atomically


def align(rows: Sequence[Sequence[str]]) -> str:
    """Returns a table: the first column to the left, the others to the right, a rule under the first row."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells]))
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def write_csv(
    path: str | os.PathLike[str],
    first: str,
    keys: Sequence[str],
    rows: Iterable[tuple[str, str, Mapping[str, float]]],
) -> Path:
    """Writes rows of numbers (the whole file or none) and returns the path.

    Args:
        path: file to write.
        first: name of the first column; the second is ``shape``.
        keys: names of the columns of numbers.
        rows: name, shape and numbers of each row; a number that is missing or NaN is an empty cell.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([first, "shape", *keys])
    for name, shape, numbers in rows:
        values = [numbers.get(key, math.nan) for key in keys]
        writer.writerow([name, shape, *("" if math.isnan(value) else value for value in values)])
    return write_atomically(path, text.getvalue())


def without_nan(numbers: Mapping[str, float]) -> dict[str, float | None]:
    """Numbers for JSON, which has no NaN: None."""
    return {key: None if math.isnan(value) else value for key, value in numbers.items()}


def with_nan(numbers: Mapping[str, float | None]) -> dict[str, float]:
    """Inverse of ``without_nan``."""
    return {key: math.nan if value is None else value for key, value in numbers.items()}
