"""Measures what inference and training keep resident, and whether it grows from step to step.

The cascade of a family, by default Cascade R-CNN R50-FPN, of 80 classes. Every figure comes from a process of
its own and includes TensorFlow itself; the peaks are the kernel's (VmHWM). What is resident after each
quarter of the training steps (VmRSS) is measured twice, on images of many sizes and of one size: a leak grows
with both, the pieces that an allocator cannot reuse grow with the first alone. Linux only.

    python scripts/benchmarks/memory.py
    python scripts/benchmarks/memory.py --steps 40 --json memory.json
    python scripts/benchmarks/memory.py --family vgg16
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import measuring
import program
import workload
from measuring import Row
from workload import make_batch, make_data, make_detector

OPTIONS = measuring.flags(rounds=3, text="Calls or steps before a peak is read.")
OPTIONS.integer("steps", 200, "Training steps on images of varying sizes.", lower=4)
workload.add_family(OPTIONS)
OPTIONS.string("part", None, "Runs one part in this process; the program calls itself with it.", "NAME")

GROUP_NORM = {
    "backbone.norm": "group",
    "neck.norm": "group",
    "heads.head.norm": "group",
    "heads.head.num_convs": 4,
    "backbone.freeze_at": 0,
}
# Of the detectors that train; the GroupNorm models have convolutions in their heads.
SETTINGS: dict[str, dict[str, Any]] = {
    "training": {},
    "recomputing": {"*.recompute": True},
    "group": GROUP_NORM,
    "group recomputing": {**GROUP_NORM, "*.recompute": True},
}
PEAKS = {
    "tensorflow": "TensorFlow alone, peak",
    "inference": "inference, peak",
    "training": "training, batch 1, peak",
    "recomputing": "training, recompute=True, peak",
    "group": "training with GroupNorm, peak",
    "group recomputing": "training with GroupNorm, recompute=True, peak",
}
# Of the default family; other families have no goals.
GOALS = {"inference": "<= 1.6 GB", "training": "<= 4.5 GB"}
SERIES = {"varying": "training, many sizes", "constant": "training, one size"}
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
        print("bytes", *_run_part(values.part, values.family, values.steps, values.rounds))
        return
    known = workload.FAMILIES[values.family].recipe("cascade").names()
    goals = GOALS if values.family == workload.DEFAULT else {}
    lines = [
        Row(text, _measured(name)[0], "GB", goal=goals.get(name, ""))
        for name, text in PEAKS.items()
        if has_settings(known, SETTINGS.get(name, {}))
    ]
    for name, text in SERIES.items():
        for quarter, resident in enumerate(_measured(name), start=1):
            steps = quarter * values.steps // QUARTERS
            lines.append(Row(f"{text}, resident after {steps} steps", resident, "GB"))
    settings = {name: values[name].value for name in ("family", "steps", "rounds")}
    measuring.report("memory", lines, settings, values.json)


def has_settings(known: Sequence[str], settings: Iterable[str]) -> bool:
    """Whether all names of settings, or patterns such as ``"*.recompute"``, are among a recipe's."""
    from cascade_tf.parts import expand

    return all(one in known for name in settings for one in expand(name, known))


def _measured(part: str) -> list[float]:
    """What a part says in a process of its own, in GB of 10**9 bytes."""
    values = OPTIONS.values
    command = [sys.executable, __file__, f"--part={part}", f"--steps={values.steps}"]
    command += [f"--family={values.family}", f"--rounds={values.rounds}"]
    done = subprocess.run(command, capture_output=True, text=True)
    found = re.search(r"^bytes ([\d ]+)$", done.stdout, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"part {part} ended with status {done.returncode}: {done.stderr[-2000:]}")
    return [int(number) / 1e9 for number in found[1].split()]


def _run_part(name: str, family: str, steps: int, rounds: int) -> list[int]:
    """Bytes: the peak of this process, or what is resident after each quarter of the steps."""
    import tensorflow as tf

    if name in SERIES:
        return _train(family, _sizes(steps, varying=name == "varying"))
    if name == "inference":
        batch = make_batch(1, *workload.FAMILIES[family].image_size)
        detect = workload.make_call(make_detector(family=family), batch)
        for _ in range(rounds):
            detect()
    elif name in SETTINGS:
        _train(family, [workload.FAMILIES[family].image_size] * rounds, **SETTINGS[name])
    else:
        tf.zeros([1])
    return [_status("VmHWM")]


def _sizes(steps: int, *, varying: bool) -> list[tuple[int, int]]:
    """Sizes of the images, 30 different ones or always that in their middle."""
    if not varying:
        return [(512, 640)] * steps
    return [(64 * (6 + number * 3 % 5), 64 * (8 + number * 7 % 6)) for number in range(steps)]


def _train(family: str, sizes: Sequence[tuple[int, int]], **settings: Any) -> list[int]:
    """Trains a step on each size.

    Args:
        family: of the detector.
        sizes: (height, width) of the images.
        **settings: of the detector.

    Returns:
        What is resident after each quarter of the steps, in bytes.
    """
    import tensorflow as tf

    from cascade_tf.training.distribution import batch_signature
    from cascade_tf.training.optimizer import MomentumSGD
    from cascade_tf.training.step import UpdateStep

    specs = tf.nest.map_structure(tf.TensorSpec.from_tensor, make_data(64, 64, family))
    step = UpdateStep(
        make_detector(family=family, **settings),
        MomentumSGD(1e-6),
        tf.distribute.get_strategy(),
        batch_signature(specs, 1),
        clip_norm=35.0,
    )
    ends = {quarter * len(sizes) // QUARTERS for quarter in range(1, QUARTERS + 1)}
    resident = []
    for number, (height, width) in enumerate(sizes, start=1):
        report = step(*make_data(height, width, family))
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
