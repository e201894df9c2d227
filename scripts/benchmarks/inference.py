"""Times inference of a full-size detector, whole and in parts, beside the machine's own arithmetic.

A family's cascade and its baseline, by default Cascade R-CNN R50-FPN of 80 classes on one image of 800 x 1333
pixels with 1000 proposals. The floor of a part is its multiply-adds, counted in its graph, over the rate of a
3x3 convolution measured in the same rounds. Folded weights are prepared before, as for a series of
predictions and in an export.

    python scripts/benchmarks/inference.py
    python scripts/benchmarks/inference.py --precision mixed_bfloat16 --json inference.json
    python scripts/benchmarks/inference.py --ensemble own_boxes
    python scripts/benchmarks/inference.py --family rfcn
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
# Ratios to the floor that the default family has to reach; other families have none.
GOALS = {"cascade": 1.2, "backbone and neck": 1.15, "proposals": 1.15}
BFLOAT16_GOALS = GOALS | {"cascade": 1.35}
QUOTIENT = {workload.DEFAULT: "< 1.21"}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit status."""
    return program.run(measure, OPTIONS, __doc__, argv)


def measure(arguments: Sequence[str]) -> None:
    """Times the detector, its parts and its one-stage baseline."""
    values = OPTIONS.values
    family, precision = values.family, values.precision
    calibrator = workload.calibrator(precision)
    height, width = workload.image_size(values, family)
    batch = make_batch(1, height, width)
    cascade = make_detector("cascade", precision, family=family, **{"heads.ensemble": values.ensemble})
    baseline = make_detector("baseline", precision, family=family)
    with _prepared(cascade):
        case = _case("cascade", calibrator, cascade, batch)
        parts = _parts(cascade, batch, calibrator)
    with _prepared(baseline):
        cases = [case, _case("one-stage baseline", calibrator, baseline, batch), *parts]
    if family == workload.DEFAULT:
        goals = GOALS if precision == "float32" else BFLOAT16_GOALS
        for case in cases:
            case.goal = goals.get(case.name)
    cases += torchvision_cases.convolution(calibrator)
    measuring.run_rounds([calibrator, *cases], values.rounds)
    lines = measuring.rows(cases, [calibrator])
    lines.append(
        measuring.quotient("cascade over baseline", cases[0], cases[1], goal=QUOTIENT.get(family, ""))
    )
    settings = {name: values[name].value for name in ("family", "precision", "ensemble", "rounds")}
    measuring.report("inference", lines, settings | {"height": height, "width": width}, values.json)


def _prepared(detector: Any) -> AbstractContextManager[None]:
    """While it lasts, graphs are traced as ``predict`` and ``export`` trace theirs."""
    from cascade_tf.layers.folding import PreparedWeights

    return PreparedWeights.of(detector).in_use()


def _parts(detector: Any, batch: Any, calibrator: Case) -> list[Case]:
    """Backbone and neck, proposals, maps and pooling and the rest of one head, and the final selection."""
    features, _, proposals = detector.propose(batch)
    heads, size, given = detector.heads, batch.image_size, proposals.boxes
    head = heads.stages[0].head
    maps = head.prepare(features)
    outputs = heads(features, proposals, size)
    probabilities = heads.class_probabilities(outputs)
    boxes, valid = heads.detection_boxes(outputs), outputs[-1].samples.valid

    def pool(maps: Any, boxes: Any) -> Any:
        return head.pool(heads.pooling, maps, boxes)

    def select(boxes: Any, probabilities: Any) -> Any:
        return detector.detection_output(boxes, probabilities, valid, size)

    rois = f"{given.shape[1]} RoIs"
    cases = [
        _case("backbone and neck", calibrator, detector.features, batch),
        _case("proposals", calibrator, detector.proposals, features, size),
        _case(f"pooling for one head, {rois}", calibrator, pool, maps, given),
        _case(f"one head, {rois}", calibrator, head, pool(maps, given)),
        _case("final selection", calibrator, select, boxes, probabilities),
    ]
    if head.makes_maps:
        cases.insert(2, _case("maps of one head", calibrator, head.prepare, features))
    return cases


def _case(name: str, calibrator: Case, function: Any, *args: Any) -> Case:
    import tensorflow as tf

    traced = tf.function(lambda *given: function(*given), autograph=False)
    operations = count_operations(traced, *args)
    call = traced.get_concrete_function(*args)
    flat = tf.nest.flatten(args)
    return Case(name, lambda: measuring.wait(call(*flat)), operations or None, dtype=calibrator.dtype)


if __name__ == "__main__":
    sys.exit(main())
