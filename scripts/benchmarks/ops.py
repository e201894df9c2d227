"""Times the package's ops beside their TensorFlow twins and other ops that do the same or nearly the same.

The sizes are those of a detector with 1000 boxes and 80 classes on an image of 800 x 1344 pixels. Where
torchvision is installed with ops for the CPU, they have rows of their own.

    python scripts/benchmarks/ops.py
    python scripts/benchmarks/ops.py --nopeers --only NMS --json ops.json
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import measuring
import op_cases
import program
import torchvision_cases
from measuring import Case

OPTIONS = measuring.flags(rounds=15)
OPTIONS.string("only", "", "Only the rows with this text in their names.", "TEXT")
OPTIONS.boolean("peers", True, "Times the twins and the other ops, too.")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit status."""
    return program.run(measure, OPTIONS, __doc__, argv)


def measure(arguments: Sequence[str]) -> None:
    """Times pooling, suppression, masks and deformable convolution."""
    cases = [*op_cases.all_cases(), *torchvision_cases.all_cases()]
    cases = selected(cases, OPTIONS.values.only, peers=OPTIONS.values.peers)
    measuring.run_rounds(cases, OPTIONS.values.rounds)
    settings = {"rounds": OPTIONS.values.rounds}
    measuring.report("ops", measuring.rows(cases, []), settings, OPTIONS.values.json)


def selected(cases: Sequence[Case], only: str, *, peers: bool) -> list[Case]:
    """The cases with ``only`` in their names, with peers or without.

    Raises:
        ValueError: no case is left.
    """
    chosen = [case for case in cases if only in case.name and (peers or op_cases.PEER not in case.name)]
    if not chosen:
        raise ValueError(f"no row has {only!r} in its name, expected a part of one such as {cases[0].name!r}")
    return chosen


if __name__ == "__main__":
    sys.exit(main())
