"""Measures what a cascade costs beside its baseline in each family of detectors, as the paper's Table 6 does.

Baseline and cascade take turns on one image of the family's size: a training step, then detection with
folded weights prepared. Ratios are medians over the rounds of cascade over baseline in a round. Parameters
count four bytes each, without the constants of frozen normalisations. All detectors have 80 classes, as in
the table, but those of MS-CNN, which are measured where --family names them. The paper's seconds are those of
a Titan Xp.

    python scripts/benchmarks/families.py
    python scripts/benchmarks/families.py --family rfcn,alexnet --rounds 3
    python scripts/benchmarks/families.py --family vgg16 --height 128 --width 192 --json families.json
"""

from __future__ import annotations

import json
import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import measuring
import program
import workload
from absl import logging
from measuring import Case, Row
from workload import FAMILIES

KINDS = ("baseline", "cascade")
OF_COCO = [name for name, family in FAMILIES.items() if not name.startswith("mscnn")]
ROWS = program.ROOT / "configs" / "paper" / "rows.json"

OPTIONS = measuring.flags(rounds=5)
OPTIONS.string("family", ",".join(OF_COCO), "Some of the families, with commas.", "NAMES")
workload.add_precision(OPTIONS)
workload.add_image_size(OPTIONS)


class Costs(NamedTuple):
    """Of a detector.

    Attributes:
        train: seconds of a training step of one image; of the paper, or the median of ours.
        test: seconds of detection in one image.
        size: of the parameters, MiB.
    """

    train: float
    test: float
    size: float


class Measured(NamedTuple):
    """A detector's cases and size.

    Attributes:
        train: the step.
        test: detection.
        size: of the parameters, MiB.
    """

    train: Case
    test: Case
    size: float

    @property
    def costs(self) -> Costs:
        """Medians over the rounds."""
        return Costs(statistics.median(self.train.seconds), statistics.median(self.test.seconds), self.size)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit status."""
    return program.run(measure, OPTIONS, __doc__, argv)


def measure(arguments: Sequence[str]) -> None:
    """Measures one family after the other and prints the table."""
    values = OPTIONS.values
    names = [name.strip() for name in values.family.split(",")]
    for name in names:
        if name not in FAMILIES:
            raise ValueError(f"flag --family: got {name!r}, expected some of {', '.join(FAMILIES)}")
    paper = paper_costs()
    lines, cells = [], []
    for number, name in enumerate(names, start=1):
        logging.info("measuring %s, %d of %d", name, number, len(names))
        baseline, cascade = _measured(name, values)
        lines += _rows(name, baseline, cascade)
        cells += table_rows(name, baseline, cascade, paper)
    settings = {name: values[name].value for name in ("precision", "height", "width", "rounds")}
    settings = {key: value for key, value in settings.items() if value is not None}
    measuring.report("families", lines, settings, values.json)
    print("\n" + measuring.markdown([HEADER, *cells]))


def _measured(family: str, values: Any) -> tuple[Measured, Measured]:
    """Baseline and cascade of a family, in the same rounds."""
    data = workload.make_data(*workload.image_size(values, family), family)
    found = []
    for kind in KINDS:
        detector = workload.make_detector(kind, values.precision, family=family)
        call = workload.make_call(detector, data[0])
        train = Case(f"{family}, {kind}, training step", _step_call(detector, data))
        found.append(Measured(train, Case(f"{family}, {kind}, detection", call), size_of(detector)))
    measuring.run_rounds([case for one in found for case in (one.train, one.test)], values.rounds)
    baseline, cascade = found
    return baseline, cascade


def _step_call(detector: Any, data: Any) -> Any:
    step = workload.make_step(detector, data)
    return lambda: measuring.wait(step(*data))


def size_of(detector: Any) -> float:
    """MiB of the parameters at four bytes each, without statistics of normalisations, as in Caffe."""
    from cascade_tf.weights.places import places

    counted = [
        math.prod(place.shape)
        for name, place in places(detector).items()
        if not name.endswith(("moving_mean", "moving_variance"))
    ]
    return 4 * sum(counted) / 2**20


def paper_costs() -> Mapping[str, Costs]:
    """Seconds and MiB of Table 6 by the names of its rows."""
    tables = json.loads(ROWS.read_text())["tables"]
    rows = next(table["rows"] for table in tables if table["table"] == 6)
    return {row["row"]: Costs(*row["values"][:3]) for row in rows}


def _rows(family: str, baseline: Measured, cascade: Measured) -> list[Row]:
    """Times of both, their quotients, and sizes."""
    lines = measuring.rows([baseline.train, cascade.train, baseline.test, cascade.test], [])
    for what, one, other in (
        ("training step", cascade.train, baseline.train),
        ("detection", cascade.test, baseline.test),
    ):
        lines.append(measuring.quotient(f"{family}, {what}, cascade over baseline", one, other))
    for kind, one in zip(KINDS, (baseline, cascade), strict=True):
        lines.append(Row(f"{family}, {kind}, parameters", one.size, "MiB"))
    return lines


HEADER = (
    "",
    "train, s",
    "over baseline",
    "paper",
    "test, s",
    "over baseline",
    "paper",
    "parameters, MiB",
    "paper",
)


def table_rows(
    family: str, baseline: Measured, cascade: Measured, paper: Mapping[str, Costs]
) -> list[tuple[str, ...]]:
    """Two lines under ``HEADER``: our figures, and the paper's ratios and sizes where it has the family.

    Args:
        family: one of ``FAMILIES``.
        baseline: measured in the same rounds as the cascade.
        cascade: likewise.
        paper: by the names of its rows.
    """
    row = FAMILIES[family].row
    printed = [paper[name] if row else None for name in (f"{row}", f"{row}, cascade")]
    lines = []
    for kind, one, in_print in zip(KINDS, (baseline, cascade), printed, strict=True):
        cells = [f"{family}, {kind}"]
        for what in ("train", "test"):
            case = getattr(one, what)
            ratio = paper_ratio = ""
            if kind == "cascade":
                ratio = f"{measuring.quotient('', case, getattr(baseline, what)).value:.2f}"
                paper_ratio = _ratio(printed, what)
            cells += [f"{getattr(one.costs, what):.3g}", ratio, paper_ratio]
        lines.append((*cells, f"{one.size:.0f}", f"{in_print.size:.0f}" if in_print else ""))
    return lines


def _ratio(printed: Sequence[Costs | None], what: str) -> str:
    baseline, cascade = printed
    if baseline is None or cascade is None:
        return ""
    return f"{getattr(cascade, what) / getattr(baseline, what):.2f}"


if __name__ == "__main__":
    sys.exit(main())
