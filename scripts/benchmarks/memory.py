"""Measures what inference and training keep resident, and whether memory grows over images of many sizes.

Cascade R-CNN R50-FPN of 80 classes. Every figure comes from a process of its own and includes TensorFlow
itself; the peak is the kernel's (VmHWM). Linux only.

    python scripts/benchmarks/memory.py
    python scripts/benchmarks/memory.py --steps 50 --json memory.json
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import measuring
import program
from measuring import Row

OPTIONS = measuring.flags(rounds=3)
OPTIONS.integer("steps", 200, "Training steps on images of varying sizes.", lower=20)
OPTIONS.string("part", None, "Runs one part in this process; the program calls itself with it.", "NAME")

PARTS = {
    "tensorflow": Row("TensorFlow alone, peak", 0.0, "GB"),
    "inference": Row("inference, 800 x 1344, peak", 0.0, "GB", goal="<= 1.6 GB"),
    "training": Row("training, 800 x 1344, batch 1, peak", 0.0, "GB", goal="<= 4.5 GB"),
    "varying": Row("growth over steps of varying sizes", 0.0, "GB", goal="<= 0.1 GB"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit status."""
    return program.run(measure, OPTIONS, __doc__, argv)


def measure(arguments: Sequence[str]) -> None:
    """Starts a process for every part, or is one."""
    values = OPTIONS.values
    if not Path("/proc/self/status").exists():
        raise ValueError("got a system without /proc/self/status, expected Linux")
    if values.part:
        print(f"bytes {_run_part(values.part, values.steps, values.rounds)}")
        return
    for name, row in PARTS.items():
        command = [sys.executable, __file__, f"--part={name}", f"--steps={values.steps}"]
        done = subprocess.run([*command, f"--rounds={values.rounds}"], capture_output=True, text=True)
        found = re.search(r"^bytes (-?\d+)$", done.stdout, re.MULTILINE)
        if found is None:
            raise RuntimeError(f"part {name} ended with status {done.returncode}: {done.stderr[-2000:]}")
        row.value = int(found[1]) / 1e9
    settings = {"steps": values.steps, "rounds": values.rounds}
    measuring.report("memory", list(PARTS.values()), settings, values.json)


def _run_part(name: str, steps: int, rounds: int) -> int:
    """Bytes: the peak of this process, or for ``varying`` the growth of what is resident."""
    import tensorflow as tf

    if name == "inference":
        _infer(rounds)
    elif name == "training":
        _train([(800, 1344)] * rounds)
    elif name == "varying":
        return _growth(steps)
    else:
        tf.zeros([1])
    return _status("VmHWM")


def _infer(rounds: int) -> None:
    import tensorflow as tf
    from workload import make_batch, make_detector

    detector = make_detector()
    detect = tf.function(lambda batch: detector(batch, training=False), autograph=False)
    for _ in range(rounds):
        measuring.wait(detect(make_batch()))


def _train(sizes: Sequence[tuple[int, int]], after: int = 0) -> int:
    """Trains a step on each size; returns what is resident after the first ``after`` steps."""
    import tensorflow as tf
    from workload import make_batch, make_detector, make_targets

    from cascade_tf.training.distribution import batch_signature
    from cascade_tf.training.optimizer import MomentumSGD
    from cascade_tf.training.step import UpdateStep

    detector = make_detector()
    data = make_batch(), make_targets()
    specs = tf.nest.map_structure(tf.TensorSpec.from_tensor, data)
    signature = batch_signature(specs, 1)
    step = UpdateStep(detector, MomentumSGD(1e-6), tf.distribute.get_strategy(), signature, clip_norm=35.0)
    resident = 0
    for number, (height, width) in enumerate(sizes, start=1):
        report = step(make_batch(1, height, width), make_targets(1, height=height, width=width))
        measuring.wait(report.losses)
        if number == after:
            resident = _status("VmRSS")
    if step.function.experimental_get_tracing_count() != 1:
        raise RuntimeError("the step was traced again for another image size")
    return resident


def _growth(steps: int) -> int:
    # The first quarter, which has every size, fills the allocator's pools.
    sizes = [(64 * (6 + number * 3 % 5), 64 * (8 + number * 7 % 6)) for number in range(steps)]
    before = _train(sizes, after=max(1, steps // 4))
    return _status("VmRSS") - before


def _status(field: str) -> int:
    """A line of the process's status, in bytes."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


if __name__ == "__main__":
    sys.exit(main())
