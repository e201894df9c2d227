"""Clients of a TensorFlow model server that serves an export: images as files' bytes in, arrays out."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

_SIGNATURE = "serving_default"
_INPUT = "image_bytes"


class ServerError(ValueError):
    """A server cannot be reached, or refused a request; the message is one line."""


class Client(Protocol):
    """Sends requests to one model of a server."""

    def predict(self, contents: Sequence[bytes]) -> dict[str, np.ndarray]:
        """Answers one request.

        Args:
            contents: encoded images.

        Returns:
            The outputs of the signature ``serving_default`` by name, [B, ...] each.

        Raises:
            ServerError: the server cannot be reached or refuses the request.
        """

    def close(self) -> None:
        """Ends the connection."""


class GrpcClient:
    """Speaks gRPC; needs the packages ``grpcio`` and ``tensorflow-serving-api``.

    Args:
        address: host and port, such as "localhost:8500".
        model: name of the model.
        timeout: seconds until a request fails.

    Raises:
        ImportError: one of the packages is missing.
    """

    def __init__(self, address: str, model: str, timeout: float = 60.0) -> None:
        import grpc
        from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

        self._address, self._model, self._timeout = address, model, timeout
        # Pictures are larger than the 4 MB that gRPC takes unless told otherwise.
        unlimited = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        self._channel = grpc.insecure_channel(address, options=unlimited)
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._request = predict_pb2.PredictRequest
        self._error = grpc.RpcError

    def predict(self, contents: Sequence[bytes]) -> dict[str, np.ndarray]:
        """See ``Client``."""
        import tensorflow as tf

        request = self._request()
        request.model_spec.name = self._model
        request.model_spec.signature_name = _SIGNATURE
        request.inputs[_INPUT].CopyFrom(tf.make_tensor_proto(list(contents), tf.string, [len(contents)]))
        try:
            response = self._stub.Predict(request, timeout=self._timeout)
        except self._error as error:
            raise ServerError(f"{self._address}: {error.code().name}: {_line(error.details())}") from None
        try:
            return {name: tf.make_ndarray(value) for name, value in response.outputs.items()}
        except (TypeError, ValueError) as error:
            raise ServerError(f"{self._address}: the answer cannot be read ({_line(str(error))})") from None

    def close(self) -> None:
        """See ``Client``."""
        self._channel.close()


class RestClient:
    """Speaks REST, and needs nothing besides Python. An answer's numbers are texts: slower than gRPC.

    Args:
        url: of the server, such as "http://localhost:8501".
        model: name of the model.
        timeout: seconds until a request fails.
    """

    def __init__(self, url: str, model: str, timeout: float = 60.0) -> None:
        self._url, self._timeout = f"{url.rstrip('/')}/v1/models/{model}:predict", timeout

    def predict(self, contents: Sequence[bytes]) -> dict[str, np.ndarray]:
        """See ``Client``."""
        instances = [{"b64": base64.b64encode(content).decode("ascii")} for content in contents]
        body = json.dumps({"signature_name": _SIGNATURE, "instances": instances}).encode()
        request = urllib.request.Request(self._url, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=self._timeout) as response:
                rows = json.load(response)["predictions"]
            return {name: np.array([row[name] for row in rows]) for name in rows[0]} if rows else {}
        except urllib.error.HTTPError as error:
            raise ServerError(f"{self._url}: {error.code}: {_line(_reason(error))}") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ServerError(f"{self._url}: {_line(str(error))}") from None
        except (LookupError, TypeError, RecursionError) as error:
            raise ServerError(f"{self._url}: the answer is none of a model server ({error!r})") from None

    def close(self) -> None:
        """See ``Client``; each request has had a connection of its own."""


def connect(server: str, model: str, timeout: float = 60.0) -> Client:
    """A client for an address: REST where it begins with http, else gRPC.

    Raises:
        ImportError: gRPC's packages are missing.
    """
    kind = RestClient if server.startswith(("http://", "https://")) else GrpcClient
    return kind(server, model, timeout)


class Load(NamedTuple):
    """How a server did while several clients kept it busy.

    Attributes:
        seconds: of each request that was answered, sorted.
        failures: requests that were refused, by message.
        elapsed: seconds from the first request to the last answer.
    """

    seconds: np.ndarray
    failures: dict[str, int]
    elapsed: float

    @property
    def throughput(self) -> float:
        """Answered requests per second."""
        return len(self.seconds) / self.elapsed

    def percentile(self, percent: float) -> float:
        """Seconds within which so many of a hundred answers came; NaN without answers."""
        return float(np.percentile(self.seconds, percent)) if len(self.seconds) else float("nan")


def measure_load(
    make_client: Callable[[], Client],
    batches: Sequence[Sequence[bytes]],
    clients: int,
    progress: Callable[[int], Any] = lambda count: None,
) -> Load:
    """Sends every batch once, each client its next one as soon as it has its answer.

    Args:
        make_client: makes a client, one for each thread.
        batches: requests.
        clients: how many send at once.
        progress: called with 1 after each request.

    Raises:
        Exception: what else than a ServerError a client has raised, the first of them.
    """
    waiting = iter(batches)
    lock = threading.Lock()
    seconds: list[float] = []
    failures: dict[str, int] = {}

    defects: list[Exception] = []

    def send_all() -> None:
        with contextlib.closing(make_client()) as client:
            while not defects:
                with lock:
                    batch = next(waiting, None)
                if batch is None:
                    return
                begin = time.perf_counter()
                try:
                    client.predict(batch)
                except ServerError as error:
                    with lock:
                        failures[str(error)] = failures.get(str(error), 0) + 1
                else:
                    with lock:
                        seconds.append(time.perf_counter() - begin)
                with lock:
                    progress(1)

    def work() -> None:
        try:
            send_all()
        except Exception as error:  # a thread's own would be lost
            defects.append(error)

    threads = [threading.Thread(target=work, name=f"client {number}") for number in range(clients)]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if defects:
        raise defects[0]
    return Load(np.sort(seconds), failures, time.perf_counter() - begin)


def _reason(error: urllib.error.HTTPError) -> str:
    text = error.read().decode("utf-8", "replace")
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return text or str(error.reason)


def _line(text: str | None) -> str:
    return " ".join((text or "no reason given").split())[:500]
