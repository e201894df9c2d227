"""A model server in small: an export behind gRPC and REST, with requests joined as TensorFlow Serving does.

For measurements and tests on machines without the real one, whose protocol it speaks: Predict of
``serving_default`` alone. As there, a request that fails takes those with it that it was joined with.
"""

from __future__ import annotations

import base64
import contextlib
import json
import queue
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

_MOST_CLIENTS = 64


class Addresses(NamedTuple):
    """Where a server listens."""

    grpc: str
    rest: str


class Batcher:
    """Joins the requests of several clients and runs the model on them, one batch after another.

    Args:
        folder: of a version of an export.
        max_batch_size: images in a joined batch; a larger request goes alone.
        timeout: seconds that the first request of a batch waits for others.
    """

    def __init__(self, folder: Path, max_batch_size: int = 8, timeout: float = 0.005) -> None:
        self._model = tf.saved_model.load(str(folder))
        self._run = self._model.signatures["serving_default"]
        self._most, self._timeout = max_batch_size, timeout
        self._waiting: queue.Queue[tuple[Sequence[bytes], Future] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work, name="batcher", daemon=True)
        self._thread.start()

    def predict(self, contents: Sequence[bytes]) -> dict[str, np.ndarray]:
        """Waits for the outputs of these images; raises what TensorFlow raised for their batch."""
        future: Future = Future()
        self._waiting.put((contents, future))
        return future.result()

    def close(self) -> None:
        """Ends its thread."""
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        carried = None
        while (first := carried or self._waiting.get()) is not None:
            joined, total, carried = [first], len(first[0]), None
            while total < self._most and carried is None:
                try:
                    one = self._waiting.get(timeout=self._timeout)
                except queue.Empty:
                    break
                if one is None:
                    self._answer(joined)
                    return
                if total + len(one[0]) > self._most:
                    carried = one
                else:
                    joined.append(one)
                    total += len(one[0])
            self._answer(joined)

    def _answer(self, joined: Sequence[tuple[Sequence[bytes], Future]]) -> None:
        contents = [content for some, _ in joined for content in some]
        try:
            outputs = {
                name: value.numpy() for name, value in self._run(tf.constant(contents, tf.string)).items()
            }
        except tf.errors.OpError as error:
            for _, future in joined:
                future.set_exception(error)
            return
        begin = 0
        for some, future in joined:
            end = begin + len(some)
            future.set_result({name: values[begin:end] for name, values in outputs.items()})
            begin = end


@contextlib.contextmanager
def serving(folder: Path, model: str = "detector") -> Iterator[Addresses]:
    """Serves an export on free ports of this machine while it is entered."""
    batcher = Batcher(folder)
    grpc_server, grpc_port = _grpc_server(batcher, model)
    rest_server = ThreadingHTTPServer(("127.0.0.1", 0), _rest_handler(batcher, model))
    rest_server.daemon_threads = True
    thread = threading.Thread(target=rest_server.serve_forever, name="REST", daemon=True)
    grpc_server.start()
    thread.start()
    try:
        yield Addresses(f"127.0.0.1:{grpc_port}", f"http://127.0.0.1:{rest_server.server_port}")
    finally:
        rest_server.shutdown()
        rest_server.server_close()
        thread.join()
        grpc_server.stop(None).wait()
        batcher.close()


def _grpc_server(batcher: Batcher, model: str) -> tuple[Any, int]:
    import grpc
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
        def Predict(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
            if request.model_spec.name != model:
                context.abort(grpc.StatusCode.NOT_FOUND, f"no model {request.model_spec.name}")
            contents = tf.make_ndarray(request.inputs["image_bytes"]).reshape(-1).tolist()
            try:
                outputs = batcher.predict(contents)
            except tf.errors.InvalidArgumentError as error:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, error.message)
            response = predict_pb2.PredictResponse()
            for name, value in outputs.items():
                response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
            return response

    unlimited = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    server = grpc.server(ThreadPoolExecutor(_MOST_CLIENTS), options=unlimited)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Service(), server)
    return server, server.add_insecure_port("127.0.0.1:0")


def _rest_handler(batcher: Batcher, model: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            if self.path != f"/v1/models/{model}:predict":
                self.answer(404, {"error": f"no {self.path}"})
                return
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            contents = [base64.b64decode(instance["b64"]) for instance in body["instances"]]
            try:
                outputs = batcher.predict(contents)
            except tf.errors.InvalidArgumentError as error:
                self.answer(400, {"error": error.message})
                return
            rows = [
                {name: values[row].tolist() for name, values in outputs.items()}
                for row in range(len(contents))
            ]
            self.answer(200, {"predictions": rows})

        def answer(self, code: int, content: dict[str, Any]) -> None:
            data = json.dumps(content).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Nothing: a line for each request would slow it down."""

    return Handler
