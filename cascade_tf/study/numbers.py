"""The numbers of a row, from what its run or its measurement has left in a folder."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cascade_tf.protocols.names import PROTOCOLS
from cascade_tf.study.plan import Again, Row
from cascade_tf.training.run_log import read_metrics

PROPOSALS = "boxes.npz"
"""Name of the file that ``propose`` writes."""
RESULTS = {"evaluate": "val.json", "analyze": "analysis.html", "propose": "boxes.json"}
"""The file that each program writes when all its numbers are there."""


def numbers_of(row: Row, workdir: Path) -> dict[str, float]:
    """The numbers of a row from a run that has been measured, as fractions.

    They are those of the last evaluation; of a single stage, those that ``evaluation.per_stage`` wrote. The
    means of the last line of the training log are there as ``training/NAME``.

    Raises:
        ValueError: the stage was not measured by itself, or a file is broken.
    """
    lines = read_metrics(workdir)
    training: Mapping[str, float | None] = next(
        (line["metrics"] for line in reversed(lines) if "metrics" in line), {}
    )
    shared = {f"training/{name}": value for name, value in training.items() if value is not None}
    if row.stage is None:
        evaluation = next(line["evaluation"] for line in reversed(lines) if "evaluation" in line)
        return {**_fractions(evaluation), **shared}
    file = workdir / "evaluation" / f"val_stage{row.stage}.json"
    if not file.is_file():
        raise ValueError(
            f"row {row.name!r}: {workdir} has no {file.name}, expected a cascade measured with "
            "evaluation.per_stage=true"
        )
    return {**_summary(file), **shared}


def numbers_again(again: Again, folder: Path, stage: int | None = None) -> dict[str, float]:
    """The numbers of a row that was measured on another one's run.

    ``evaluate`` has COCO's, of a stage where one is named, ``propose`` has ``"AR1000"`` and so on. Of
    ``analyze`` a figure of AP has the numbers of ``again.line``, such as ``"stages_3/head 2"``: ``"AP50"`` to
    ``"AP95"`` and their mean ``"AP"``; ``samples`` has the shares of boxes above a threshold,
    ``"samples_2/0.6"`` of the second stage in training, ``"proposals_2/0.6"`` at test; and a curve has its
    values, ``"localization/regressor 1/0.8875"`` at the middle of a bin.

    Raises:
        ValueError: a file is missing or broken, or there is no such line.
    """
    if again.program == "evaluate":
        return _summary(folder / ("val.json" if stage is None else f"val_stage{stage}.json"))
    if again.program == "propose":
        return _summary((folder / PROPOSALS).with_suffix(".json"))
    found: dict[str, float] = {}
    for file in sorted(folder.glob("*.csv")):
        with file.open(encoding="utf-8") as text:
            rows = list(csv.DictReader(text))
        found |= _of_figure(file.stem, rows, again.line)
    if again.line and "AP" not in found:
        raise ValueError(f"{folder}: got no line {again.line!r}, expected one in the figures of analyze")
    return found


def lower_is_better(number: str) -> bool:
    """Whether less of a number is better: of the miss rates, which are CityPersons'."""
    return number.partition("/")[0] == "citypersons"


def heading(number: str) -> str:
    """A number as the head of a column: with an arrow down where less is better."""
    return f"{number} ↓" if lower_is_better(number) else number


def _of_figure(name: str, rows: Iterable[Mapping[str, str]], line: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for row in rows:
        if "ap" in row and f"{name}/{row['line']}" == line:
            found[f"AP{round(100 * float(row['iou'])):02d}"] = _number(row["ap"])
        elif "share" in row and float(row.get("to", 1.0)) == 1.0:
            # A bin up to 1 has the share above its lower edge.
            iou = float(row.get("iou") or row["from"])
            found[f"{name.removesuffix('_shares')}/{iou:g}"] = _number(row["share"])
        elif "line" in row and "mean" in row:
            # Earlier versions wrote from_iou.
            iou = float(row.get("iou") or row["from_iou"])
            found[f"{name}/{row['line']}/{iou:g}"] = _number(row["mean"])
    precisions = [value for key, value in found.items() if key.startswith("AP")]
    if precisions:
        found["AP"] = math.fsum(precisions) / len(precisions)
    return found


def _number(text: str) -> float:
    return float(text) if text else math.nan


def _summary(file: Path) -> dict[str, float]:
    """COCO's numbers in the JSON file of a measurement, and those of the data set's benchmark."""
    try:
        content: Any = json.loads(file.read_text(encoding="utf-8"))
        own = content.get("benchmark", {"protocol": "", "numbers": {}})
        further = {f"{own['protocol']}/{name}": value for name, value in own["numbers"].items()}
        return _fractions({**content["summary"], **further})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{file}: got {type(error).__name__}: {error}, expected a measurement") from None


def _fractions(numbers: Mapping[str, float | None]) -> dict[str, float]:
    return {name: float(value) / _unit(name) for name, value in numbers.items() if value is not None}


def _unit(number: str) -> float:
    """What a whole is: the numbers of benchmarks are percents, COCO's fractions."""
    return 100.0 if number.partition("/")[0] in PROTOCOLS else 1.0
