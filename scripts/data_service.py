r"""Prepares training batches for another host, whose cores are too few to read and draw as fast as it learns.

Runs until it is stopped; its first line on the standard output is the address. The folder of the data set
must be the same path on both hosts. One service serves one training at a time, see docs/large_scale.md.

    python scripts/data_service.py --host reader1 --port 5050 --worker_port 5051
    python scripts/train.py --config custom/cascade --dataset_dir gs://BUCKET/MY_DATA --workdir runs/mine \
        --set data.service=reader1:5050
"""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Sequence

import program

OPTIONS = program.Flags(of_runs=False, settings=False)
OPTIONS.string(
    "host", None, "The name under which the other host reaches this one. Default: its own.", "HOST"
)
OPTIONS.integer("port", 0, "Where training programs ask; 0: any that is free.", lower=0)
OPTIONS.integer("worker_port", 0, "Where they get their batches; likewise.", lower=0)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit status."""
    return program.run(serve, OPTIONS, __doc__, argv)


def serve(arguments: Sequence[str]) -> None:
    """Serves until the process is stopped."""
    import tensorflow as tf

    from cascade_tf.data.service import start_server

    values = OPTIONS.values
    try:
        server = start_server(values.host or socket.gethostname(), values.port, values.worker_port)
    except tf.errors.OpError as error:
        raise ValueError(
            f"ports {values.port} and {values.worker_port}: cannot be served ({error.message})"
        ) from None
    print(server.address, flush=True)
    # The service's own join() lets no Ctrl-C through.
    threading.Event().wait()


if __name__ == "__main__":
    sys.exit(main())
