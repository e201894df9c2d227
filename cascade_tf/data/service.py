"""Batches that another host prepares: a service of tf.data with one worker, which keeps their order."""

from __future__ import annotations

import socket
from typing import NamedTuple

import tensorflow as tf

from cascade_tf.ops import library

# Seconds within which a service that runs answers, on a network that is slow too.
_PATIENCE = 10.0
_PYTHON_OPS = {"PyFunc", "PyFuncStateless", "EagerPyFunc"}
# DatasetToGraphV2: what cannot be carried over is no error here.
_IGNORE_STATE = 1


class InputServer(NamedTuple):
    """A running service.

    Attributes:
        dispatcher: whom programs ask.
        worker: who prepares the batches.
        address: HOST:PORT of the dispatcher.
    """

    dispatcher: tf.data.experimental.service.DispatchServer
    worker: tf.data.experimental.service.WorkerServer
    address: str


def start_server(host: str, port: int = 0, worker_port: int = 0) -> InputServer:
    """Starts a service in this process; it ends with the process.

    There is one worker, because several have an order among them that depends on their speed.

    Args:
        host: the name under which other hosts reach this one.
        port: of the dispatcher; 0: any that is free.
        worker_port: of the worker; likewise.

    Raises:
        tf.errors.OpError: a port is taken.
    """
    # Graphs that are sent here name its ops.
    library.load()
    service = tf.data.experimental.service
    dispatcher = service.DispatchServer(service.DispatcherConfig(port=port))
    number = dispatcher.target.rpartition(":")[2]
    worker = service.WorkerServer(
        service.WorkerConfig(
            dispatcher_address=f"localhost:{number}", worker_address=f"{host}:%port%", port=worker_port
        )
    )
    return InputServer(dispatcher, worker, f"{host}:{number}")


def check_service(address: str, patience: float = _PATIENCE) -> None:
    """Makes sure that somebody answers: TensorFlow itself waits for ever, and lets no signal through.

    Args:
        address: HOST:PORT of the dispatcher.
        patience: seconds to wait for an answer.

    Raises:
        ValueError: nobody does, or it is no address.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise ValueError(f"data.service: got {address!r}, expected HOST:PORT of a running data_service.py")
    try:
        socket.create_connection((host.strip("[]"), int(port)), patience).close()
    except OSError as error:
        raise ValueError(
            f"data.service: nobody answers at {address} ({error}), expected a running data_service.py"
        ) from None


def on_service(batches: tf.data.Dataset, address: str) -> tf.data.Dataset:
    """Lets a service prepare batches; they come in their order, and are the same.

    Args:
        batches: a data set without Python in it: of `train_batches` with ``num_steps``, see there.
        address: HOST:PORT of the dispatcher of a service with one worker.

    Raises:
        ValueError: there is Python in it, which goes to no other process.
    """
    if _has_python(batches):
        raise ValueError(
            f"data.service: got {address!r} and batches that need Python, expected pictures that TensorFlow "
            "decodes (JPEG, PNG, GIF, BMP; no TIFF, WebP or HEIC), and with masks whole outlines and the C++ "
            "ops; without data.service this process reads them"
        )
    return batches.apply(
        tf.data.experimental.service.distribute(
            processing_mode=tf.data.experimental.service.ShardingPolicy.OFF, service=f"grpc://{address}"
        )
    ).prefetch(tf.data.AUTOTUNE)


def _has_python(batches: tf.data.Dataset) -> bool:
    content = tf.raw_ops.DatasetToGraphV2(
        input_dataset=tf.data.experimental.to_variant(batches), external_state_policy=_IGNORE_STATE
    )
    graph = tf.compat.v1.GraphDef.FromString(content.numpy())
    functions = (function.node_def for function in graph.library.function)
    return any(node.op in _PYTHON_OPS for nodes in (graph.node, *functions) for node in nodes)
