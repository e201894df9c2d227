"""Times a training step of a full-size detector, whole and in parts, beside the machine's own arithmetic.

A family's cascade and its baseline, by default Cascade R-CNN R50-FPN of 80 classes, on one image of 800 x
1333 pixels, 512 RoIs in the first stage; the update is that of ``UpdateStep``: losses, gradients, clipping,
momentum. The floor is both passes' multiply-adds, counted in the graph, over the rate of a 3x3 convolution in
the same rounds.

    python scripts/benchmarks/training.py
    python scripts/benchmarks/training.py --precision mixed_bfloat16 --json training.json
    python scripts/benchmarks/training.py --family vgg16
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import measuring
import program
import torchvision_cases
import workload
from floor import count_operations
from measuring import Case
from workload import make_data, make_detector, make_step

OPTIONS = workload.flags(rounds=5)
# What the default family has to reach; other families have no goals.
GOALS = {workload.DEFAULT: 1.35}
QUOTIENT = {workload.DEFAULT: "< 1.10"}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit status."""
    return program.run(measure, OPTIONS, __doc__, argv)


def measure(arguments: Sequence[str]) -> None:
    """Times the step of the cascade and of its one-stage baseline."""
    values = OPTIONS.values
    family = values.family
    calibrator = workload.calibrator(values.precision)
    height, width = workload.image_size(values, family)
    data = make_data(height, width, family)
    cascade, baseline = (
        make_detector(kind, values.precision, family=family) for kind in ("cascade", "baseline")
    )
    cases = [
        _step_case("cascade step", GOALS.get(family), calibrator, cascade, data),
        _step_case("one-stage baseline step", None, calibrator, baseline, data),
        _losses_case("losses of the cascade, no gradient", calibrator, cascade, data),
    ]
    cases += torchvision_cases.convolution(calibrator)
    measuring.run_rounds([calibrator, *cases], values.rounds)
    lines = measuring.rows(cases, [calibrator])
    lines.append(
        measuring.quotient("cascade over baseline", cases[0], cases[1], goal=QUOTIENT.get(family, ""))
    )
    settings = {name: values[name].value for name in ("family", "precision", "rounds")}
    measuring.report("training", lines, settings | {"height": height, "width": width}, values.json)


def _step_case(name: str, goal: float | None, calibrator: Case, detector: Any, data: Any) -> Case:
    step = make_step(detector, data)
    operations = count_operations(step.function, *data)
    return Case(name, lambda: measuring.wait(step(*data)), operations, dtype=calibrator.dtype, goal=goal)


def _losses_case(name: str, calibrator: Case, detector: Any, data: Any) -> Case:
    import tensorflow as tf

    losses = tf.function(lambda batch, targets: detector.compute_losses(batch, targets)[0], autograph=False)
    operations = count_operations(losses, *data)
    return Case(name, lambda: measuring.wait(losses(*data)), operations, dtype=calibrator.dtype)


if __name__ == "__main__":
    sys.exit(main())
