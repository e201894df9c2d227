"""Batches that another host prepares: a service of tf.data with one worker, which keeps their order."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from cascade_tf.ops import library


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


def on_service(batches: tf.data.Dataset, address: str) -> tf.data.Dataset:
    """Lets a service prepare batches; they come in their order, and are the same.

    Args:
        batches: a data set without Python in it: of `train_batches` with ``num_steps``, see there.
        address: HOST:PORT of the dispatcher of a service with one worker.
    """
    return batches.apply(
        tf.data.experimental.service.distribute(
            processing_mode=tf.data.experimental.service.ShardingPolicy.OFF, service=f"grpc://{address}"
        )
    ).prefetch(tf.data.AUTOTUNE)
