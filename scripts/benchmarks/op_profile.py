"""Shows where the time of inference or of a training step goes, by TensorFlow's own profiler.

The cascade of a family, by default Cascade R-CNN R50-FPN of 80 classes on one image of 800 x 1333 pixels, as
the other benchmarks run it. Ops run one after another, so that their times add up to the whole.
"Convolutions" and "matrix products" are all kinds of these ops, with what oneDNN fuses into them; the column
of ratios has the shares of the whole.

    python scripts/benchmarks/op_profile.py
    python scripts/benchmarks/op_profile.py --part features --precision mixed_bfloat16
    python scripts/benchmarks/op_profile.py --part training --top 20 --json op_profile.json
"""

from __future__ import annotations

import collections
import re
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import measuring
import program
import workload
from measuring import Row
from workload import make_batch, make_data, make_detector

OPTIONS = workload.flags(rounds=4)
OPTIONS.choice("part", "inference", ("inference", "features", "proposals", "training"), "What is profiled.")
OPTIONS.integer("top", 12, "Kinds of ops that are shown by themselves.", lower=1)

# What a kind of op contains, and what it is counted as.
GROUPS = {"Conv2D": "convolutions", "MatMul": "matrix products"}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit status."""
    return program.run(measure, OPTIONS, __doc__, argv)


def measure(arguments: Sequence[str]) -> None:
    """Profiles some calls and shows the kinds of ops that took longest."""
    import tensorflow as tf

    values = OPTIONS.values
    try:
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        raise ValueError(
            "TensorFlow has run something already: start this program in its own process"
        ) from None
    height, width = workload.image_size(values, values.family)
    call = _call(values.part, values.family, values.precision, height, width)
    for _ in range(2):
        call()
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        begin = time.perf_counter()
        for _ in range(values.rounds):
            call()
        whole = (time.perf_counter() - begin) / values.rounds
        tf.profiler.experimental.stop()
        seconds = read_profile(Path(folder))
    lines = rows({kind: total / values.rounds for kind, total in seconds.items()}, whole, values.top)
    settings = {name: values[name].value for name in ("part", "family", "precision", "rounds")}
    measuring.report("op_profile", lines, settings | {"height": height, "width": width}, values.json)


def _call(part: str, family: str, precision: str, height: int, width: int) -> Callable[[], Any]:
    """The function to profile, traced."""
    import tensorflow as tf

    from cascade_tf.layers.folding import PreparedWeights

    detector = make_detector("cascade", precision, family=family)
    if part == "training":
        step = workload.make_step(detector, data := make_data(height, width, family))
        return lambda: measuring.wait(step(*data))
    batch = make_batch(1, height, width)
    functions = {"inference": detector, "features": detector.features, "proposals": detector.proposals}
    args = (detector.features(batch), batch.image_size) if part == "proposals" else (batch,)
    with PreparedWeights.of(detector).in_use():
        traced = tf.function(lambda *args: functions[part](*args), autograph=False)
        call = traced.get_concrete_function(*args)
    flat = tf.nest.flatten(args)
    return lambda: measuring.wait(call(*flat))


def read_profile(folder: Path) -> dict[str, float]:
    """Seconds by kind of op in a profile's folder."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    seconds: dict[str, float] = collections.defaultdict(float)
    for file in folder.rglob("*.xplane.pb"):
        space = xplane_pb2.XSpace()
        space.ParseFromString(file.read_bytes())
        for plane in space.planes:
            for event in (event for line in plane.lines for event in line.events):
                # Ops are named "name:Kind", what the runtime does has other names.
                op = re.fullmatch(r"[^:\s]+:([\w>]+)", plane.event_metadata[event.metadata_id].name)
                if op is not None:
                    seconds[_group(op[1])] += event.duration_ps * 1e-12
    return seconds


def _group(kind: str) -> str:
    return next((group for part, group in GROUPS.items() if part in kind), kind)


def rows(seconds: dict[str, float], whole: float, top: int) -> list[Row]:
    """The whole, the ``top`` kinds with their shares of it as ratios, and the rest."""
    ordered = sorted(seconds.items(), key=lambda item: -item[1])
    shown = [*ordered[:top], ("all other ops", sum(value for _, value in ordered[top:]))]
    shown.append(("between the ops", whole - sum(seconds.values())))
    lines = [Row("whole", whole * 1e3, "ms", ratio=1.0)]
    return lines + [Row(kind, value * 1e3, "ms", ratio=value / whole) for kind, value in shown]


if __name__ == "__main__":
    sys.exit(main())
