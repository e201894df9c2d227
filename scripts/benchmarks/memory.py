"""Measures what inference and training keep resident, and whether it grows from step to step.

Cascade R-CNN R50-FPN of 80 classes. Every figure comes from a process of its own and includes TensorFlow
itself; the peaks are the kernel's (VmHWM). What is resident after each quarter of the training steps (VmRSS)
is measured twice, on images of many sizes and of one size: a leak grows with both, the pieces that an
allocator cannot reuse grow with the first alone. Linux only.

    python scripts/benchmarks/memory.py
    python scripts/benchmarks/memory.py --steps 40 --json memory.json
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import measuring
import program
from measuring import Row

OPTIONS = measuring.flags(rounds=3, text="Calls or steps before a peak is read.")
OPTIONS.integer("steps", 200, "Training steps on images of varying sizes.", lower=4)
OPTIONS.string("part", None, "Runs one part in this process; the program calls itself with it.", "NAME")

PEAKS = {
    "tensorflow": Row("TensorFlow alone, peak", 0.0, "GB"),
    "inference": Row("inference, 800 x 1344, peak", 0.0, "GB", goal="<= 1.6 GB"),
    "training": Row("training, 800 x 1344, batch 1, peak", 0.0, "GB", goal="<= 4.5 GB"),
    "recomputing": Row("training, recompute=True, peak", 0.0, "GB"),
    "group": Row("training with GroupNorm, peak", 0.0, "GB"),
    "group recomputing": Row("training with GroupNorm, recompute=True, peak", 0.0, "GB"),
}
GROUP_NORM = {
    "backbone.norm": "group",
    "neck.norm": "group",
    "heads.head.norm": "group",
    "heads.head.num_convs": 4,
    "backbone.freeze_at": 0,
}
SERIES = {"varying": "training, many sizes", "constant": "training, one size"}
# Of the detectors that train; the GroupNorm models have convolutions in their heads.
SETTINGS: dict[str, dict[str, Any]] = {
    "training": {},
    "recomputing": {"*.recompute": True},
    "group": GROUP_NORM,
    "group recomputing": {**GROUP_NORM, "*.recompute": True},
}
QUARTERS = 4


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit status."""
    return program.run(measure, OPTIONS, __doc__, argv)


def measure(arguments: Sequence[str]) -> None:
    """Starts a process for every part, or is one."""
    values = OPTIONS.values
    if not Path("/proc/self/status").exists():
        raise ValueError("got a system without /proc/self/status, expected Linux")
    if values.part:
        print("bytes", *_run_part(values.part, values.steps, values.rounds))
        return
    lines = []
    for name, row in PEAKS.items():
        row.value = _measured(name)[0]
        lines.append(row)
    for name, text in SERIES.items():
        for quarter, resident in enumerate(_measured(name), start=1):
            steps = quarter * values.steps // QUARTERS
            lines.append(Row(f"{text}, resident after {steps} steps", resident, "GB"))
    measuring.report("memory", lines, {"steps": values.steps, "rounds": values.rounds}, values.json)


def _measured(part: str) -> list[float]:
    """What a part says in a process of its own, in GB of 10**9 bytes."""
    values = OPTIONS.values
    command = [sys.executable, __file__, f"--part={part}", f"--steps={values.steps}"]
    done = subprocess.run([*command, f"--rounds={values.rounds}"], capture_output=True, text=True)
    found = re.search(r"^bytes ([\d ]+)$", done.stdout, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"part {part} ended with status {done.returncode}: {done.stderr[-2000:]}")
    return [int(number) / 1e9 for number in found[1].split()]


def _run_part(name: str, steps: int, rounds: int) -> list[int]:
    """Bytes: the peak of this process, or what is resident after each quarter of the steps."""
    import tensorflow as tf

    if name in SERIES:
        return _train(_sizes(steps, varying=name == "varying"))
    if name == "inference":
        _infer(rounds)
    elif name in SETTINGS:
        _train([(800, 1344)] * rounds, **SETTINGS[name])
    else:
        tf.zeros([1])
    return [_status("VmHWM")]


def _sizes(steps: int, *, varying: bool) -> list[tuple[int, int]]:
    """Sizes of the images, 30 different ones or always that in their middle."""
    if not varying:
        return [(512, 640)] * steps
    return [(64 * (6 + number * 3 % 5), 64 * (8 + number * 7 % 6)) for number in range(steps)]


def _infer(rounds: int) -> None:
    import tensorflow as tf
    from workload import make_batch, make_detector

    from cascade_tf.layers.folding import PreparedWeights

    detector, batch = make_detector(), make_batch()
    with PreparedWeights.of(detector).in_use():
        detect = tf.function(lambda batch: detector(batch), autograph=False).get_concrete_function(batch)
    for _ in range(rounds):
        measuring.wait(detect(*batch))


def _train(sizes: Sequence[tuple[int, int]], **settings: Any) -> list[int]:
    """Trains a step on each size.

    Args:
        sizes: (height, width) of the images.
        **settings: of the detector.

    Returns:
        What is resident after each quarter of the steps, in bytes.
    """
    import tensorflow as tf
    from workload import make_batch, make_detector, make_targets

    from cascade_tf.training.distribution import batch_signature
    from cascade_tf.training.optimizer import MomentumSGD
    from cascade_tf.training.step import UpdateStep

    specs = tf.nest.map_structure(tf.TensorSpec.from_tensor, (make_batch(), make_targets()))
    step = UpdateStep(
        make_detector(**settings),
        MomentumSGD(1e-6),
        tf.distribute.get_strategy(),
        batch_signature(specs, 1),
        clip_norm=35.0,
    )
    ends = {quarter * len(sizes) // QUARTERS for quarter in range(1, QUARTERS + 1)}
    resident = []
    for number, (height, width) in enumerate(sizes, start=1):
        report = step(make_batch(1, height, width), make_targets(1, height=height, width=width))
        measuring.wait(report.losses)
        if number in ends:
            resident.append(_status("VmRSS"))
    if step.function.experimental_get_tracing_count() != 1:
        raise RuntimeError("the step was traced again for another image size")
    return resident


def _status(field: str) -> int:
    """A line of the process's status, in bytes."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


if __name__ == "__main__":
    sys.exit(main())
