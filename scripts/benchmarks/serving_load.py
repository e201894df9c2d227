"""Measures an export behind a model server: requests per second and latencies with 1, 4 and 16 clients.

The server is `model_server.py`, by gRPC and in this process, with requests joined up to eight images. Without
--model it serves Cascade R-CNN R50-FPN of 80 classes; the picture is a JPEG of 800 x 1333 pixels. The first
line is what the same signature takes without a server, one image after another.

    python scripts/benchmarks/serving_load.py --json load_float32.json
    python scripts/benchmarks/serving_load.py --precision mixed_bfloat16 --json load_bfloat16.json
    python scripts/benchmarks/serving_load.py --model models/detector/1 --height 480 --width 640
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

OPTIONS = measuring.flags(
    rounds=48, text="Requests of each number of clients; as many as clients come before."
)
workload.add_precision(OPTIONS)
OPTIONS.string("model", None, "The folder of a version of an export, in place of a new one.", "DIR")
OPTIONS.integer("height", 800, "Of the picture in pixels.", lower=1)
OPTIONS.integer("width", 1333, "Of the picture in pixels.", lower=1)
CLIENTS = (1, 4, 16)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit status."""
    return program.run(measure, OPTIONS, __doc__, argv)


def measure(arguments: Sequence[str]) -> None:
    """Exports, serves and asks."""
    from model_server import serving

    values = OPTIONS.values
    content = _picture(values.height, values.width)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(values.model) if values.model else _export(scratch, values.precision)
        lines = [_pure_compute(folder, content, values.rounds)]
        with serving(folder) as addresses:
            for clients in CLIENTS:
                lines += _load(addresses.grpc, content, clients, values.rounds)
    settings = {name: values[name].value for name in ("model", "precision", "height", "width", "rounds")}
    measuring.report("serving_load", lines, settings, values.json)


def _picture(height: int, width: int) -> bytes:
    import tensorflow as tf

    pixels = workload.make_batch(1, height, width).images[0, :height, :width]
    return tf.io.encode_jpeg(tf.cast(pixels, tf.uint8), quality=90).numpy()


def _export(scratch: str, precision: str) -> Path:
    from cascade_tf.serving.export import export_saved_model

    return export_saved_model(workload.make_detector("cascade", precision), scratch)


def _pure_compute(folder: Path, content: bytes, rounds: int) -> Row:
    import tensorflow as tf

    loaded: Any = tf.saved_model.load(str(folder))
    signature, contents = loaded.signatures["serving_default"], tf.constant([content])
    seconds = []
    for number in range(rounds + 2):
        begin = time.perf_counter()
        measuring.wait(signature(image_bytes=contents))
        if number >= 2:
            seconds.append(time.perf_counter() - begin)
    return Row(
        "without a server", statistics.median(seconds) * 1e3, "ms", min(seconds) * 1e3, max(seconds) * 1e3
    )


def _load(address: str, content: bytes, clients: int, rounds: int) -> list[Row]:
    from cascade_tf.serving.client import connect, measure_load

    def make_client() -> Any:
        return connect(address, "detector", timeout=3600)

    measure_load(make_client, [[content]] * clients, clients)
    load = measure_load(make_client, [[content]] * rounds, clients)
    if load.failures:
        raise ValueError(f"the server refused requests: {next(iter(load.failures))}")
    name = f"{clients} client{'s' if clients > 1 else ''}"
    return [
        Row(f"{name}, throughput", load.throughput, "requests/s"),
        Row(f"{name}, p50", load.percentile(50) * 1e3, "ms"),
        Row(f"{name}, p99", load.percentile(99) * 1e3, "ms"),
    ]


if __name__ == "__main__":
    sys.exit(main())
