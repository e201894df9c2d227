"""Times inference of a full-size detector, whole and in parts, beside the machine's own arithmetic.

Cascade R-CNN R50-FPN of 80 classes on one image of 800 x 1344 pixels with 1000 proposals. The floor of a part
is its multiply-adds, counted in its graph, over the rate of a 3x3 convolution measured in the same rounds.
Folded weights are prepared before, as for a series of predictions and in an export.

    python scripts/benchmarks/inference.py
    python scripts/benchmarks/inference.py --precision mixed_bfloat16 --json inference.json
    python scripts/benchmarks/inference.py --ensemble own_boxes
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import measuring
import program
import torchvision_cases
import workload
from floor import count_operations
from measuring import Case
from workload import make_batch, make_detector

OPTIONS = workload.flags(rounds=9)
OPTIONS.choice(
    "ensemble",
    "last_boxes",
    ("last_boxes", "own_boxes"),
    "Of the classifiers; last_boxes runs two heads twice.",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit status."""
    return program.run(measure, OPTIONS, __doc__, argv)


def measure(arguments: Sequence[str]) -> None:
    """Times the detector, its parts and its one-stage baseline."""
    values = OPTIONS.values
    calibrator = workload.calibrator(values.precision)
    batch = make_batch(1, values.height, values.width)
    cascade = make_detector("cascade", values.precision, **{"heads.ensemble": values.ensemble})
    baseline = make_detector("baseline", values.precision)
    with _prepared(cascade):
        case = _case("cascade", 1.2 if values.precision == "float32" else 1.35, calibrator, cascade, batch)
        parts = _parts(cascade, batch, calibrator)
    with _prepared(baseline):
        cases = [case, _case("one-stage baseline", None, calibrator, baseline, batch), *parts]
    cases += torchvision_cases.convolution(calibrator)
    measuring.run_rounds([calibrator, *cases], values.rounds)
    lines = measuring.rows(cases, [calibrator])
    lines.append(measuring.quotient("cascade over baseline", cases[0], cases[1], goal="< 1.21"))
    settings = {name: values[name].value for name in ("precision", "ensemble", "height", "width", "rounds")}
    measuring.report("inference", lines, settings, values.json)


def _prepared(detector: Any) -> AbstractContextManager[None]:
    """While it lasts, graphs are traced as ``predict`` and ``export`` trace theirs."""
    from cascade_tf.layers.folding import PreparedWeights

    return PreparedWeights.of(detector).in_use()


def _parts(detector: Any, batch: Any, calibrator: Case) -> list[Case]:
    """Backbone and pyramid, proposals, pooling, one head, and the final selection."""
    features, _, proposals = detector.propose(batch)
    heads, size = detector.heads, batch.image_size
    pooled = heads.pooling(features, proposals.boxes)
    outputs = heads(features, proposals, size)
    probabilities = heads.class_probabilities(outputs)
    boxes, valid = heads.detection_boxes(outputs), outputs[-1].samples.valid

    def select(boxes: Any, probabilities: Any) -> Any:
        return detector.detection_output(boxes, probabilities, valid, size)

    return [
        _case("backbone and FPN", 1.15, calibrator, detector.features, batch),
        _case("RPN to proposals", 1.15, calibrator, detector.proposals, features, size),
        _case("RoIAlign, 1000 RoIs", None, calibrator, heads.pooling, features, proposals.boxes),
        _case("one box head, 1000 RoIs", None, calibrator, heads.stages[0], pooled),
        _case("final selection", None, calibrator, select, boxes, probabilities),
    ]


def _case(name: str, goal: float | None, calibrator: Case, function: Any, *args: Any) -> Case:
    import tensorflow as tf

    traced = tf.function(lambda *given: function(*given), autograph=False)
    operations = count_operations(traced, *args)
    call = traced.get_concrete_function(*args)
    flat = tf.nest.flatten(args)
    return Case(
        name, lambda: measuring.wait(call(*flat)), operations or None, dtype=calibrator.dtype, goal=goal
    )


if __name__ == "__main__":
    sys.exit(main())
