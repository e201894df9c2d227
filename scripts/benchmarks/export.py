"""Times the export of a full-size detector as a SavedModel, its loading, and what the loaded model costs.

The cascade of a family, by default Cascade R-CNN R50-FPN, of 80 classes with core TensorFlow ops only, as a
stock model server takes it. The times are of one cold export and load in this process; the answer is the
median of the rounds.

    python scripts/benchmarks/export.py
    python scripts/benchmarks/export.py --precision mixed_bfloat16 --json export.json
    python scripts/benchmarks/export.py --family fpn_plus
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import measuring
import program
import workload
from measuring import Row
from workload import make_batch, make_detector

OPTIONS = measuring.flags(rounds=5)
workload.add_precision(OPTIONS)
workload.add_family(OPTIONS)
# What the default family has to reach; other families have no goals.
GOALS = {"export": "<= 15 s", "load": "<= 3 s", "graph nodes": "<= 5000"}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit status."""
    return program.run(measure, OPTIONS, __doc__, argv)


def measure(arguments: Sequence[str]) -> None:
    """Exports, loads and calls."""
    import tensorflow as tf

    from cascade_tf.serving.export import export_saved_model

    values = OPTIONS.values
    detector = make_detector("cascade", values.precision, family=values.family)
    height, width = workload.FAMILIES[values.family].image_size
    pixels = make_batch(1, height, width).images[:, :height, :width]
    goals = GOALS if values.family == workload.DEFAULT else {}
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        path = export_saved_model(detector, folder, version=1)
        exported = time.perf_counter()
        loaded = tf.saved_model.load(str(path))
        end = time.perf_counter()
        lines = [
            Row("export", exported - begin, "s", goal=goals.get("export", "")),
            Row("load", end - exported, "s", goal=goals.get("load", "")),
            Row("graph nodes", float(count_nodes(path)), "", goal=goals.get("graph nodes", "")),
            Row("size on disk", sum(f.stat().st_size for f in path.rglob("*") if f.is_file()) / 2**20, "MiB"),
            _answer(loaded.signatures["image_tensor"], pixels, values.rounds),
        ]
    settings = {name: values[name].value for name in ("family", "precision", "rounds")}
    measuring.report("export", lines, settings, values.json)


def count_nodes(folder: Path) -> int:
    """Nodes of the main graph and of all functions of a SavedModel."""
    from tensorflow.core.protobuf import saved_model_pb2

    content = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    graph = content.meta_graphs[0].graph_def
    return len(graph.node) + sum(len(function.node_def) for function in graph.library.function)


def _answer(signature: Any, pixels: Any, rounds: int) -> Row:
    seconds = []
    for number in range(rounds + 2):
        begin = time.perf_counter()
        measuring.wait(signature(image_tensor=pixels))
        if number >= 2:
            seconds.append((time.perf_counter() - begin) * 1e3)
    return Row("answer for one image", statistics.median(seconds), "ms", min(seconds), max(seconds))


if __name__ == "__main__":
    sys.exit(main())
