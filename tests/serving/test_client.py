"""The REST client and measured clients, where a server's answers are wrong."""

from __future__ import annotations

import contextlib
import json
import socket
import threading

import numpy as np
import pytest

from cascade_tf.serving.client import RestClient, ServerError, measure_load


@contextlib.contextmanager
def answering(answer: bytes):
    """A server that gives one answer, whatever is asked, and hangs up; gives its URL."""
    with socket.create_server(("localhost", 0)) as server:

        def serve():
            connection, _ = server.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://localhost:{server.getsockname()[1]}"
        thread.join()


def http(body: bytes, length: int | None = None) -> bytes:
    return b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (length or len(body), body)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (http(b"{", length=100), r"IncompleteRead\(1 bytes read, 99 more expected\)"),
        (b"SSH-2.0-OpenSSH\r\n", "SSH-2.0-OpenSSH"),
        (http(b"no JSON"), "Expecting value"),
        (http(b"[]"), r"the answer is none of a model server \(TypeError"),
        (http(b'{"error": "x"}'), r"the answer is none of a model server \(KeyError"),
        (http(b'{"predictions": [1, 2]}'), "the answer is none of a model server"),
        (http(b'{"predictions": [{"a": 1}, {"b": 2}]}'), r"the answer is none of a model server \(KeyError"),
        (http(b'{"predictions": [{"a": [1]}, {"a": [1, 2]}]}'), "inhomogeneous"),
        (http(b"[" * 100_000), "the answer is none of a model server"),
    ],
)
def test_wrong_answers_are_one_line(answer, message):
    with answering(answer) as url, pytest.raises(ServerError, match=rf"{url}.*{message}") as refused:
        RestClient(url, "detector", timeout=20).predict([b"picture"])
    assert "\n" not in str(refused.value)


def test_answers_are_arrays():
    rows = [{"scores": [0.5, 0.25]}, {"scores": [0.125, 0.0]}]
    with answering(http(json.dumps({"predictions": rows}).encode())) as url:
        found = RestClient(url, "detector").predict([b"a", b"b"])
    np.testing.assert_array_equal(found["scores"], [[0.5, 0.25], [0.125, 0.0]])


class Scripted:
    """A client that raises what its script says, and notes that it was closed."""

    closed = 0

    def __init__(self, script):
        self._script = script

    def predict(self, contents):
        error = self._script.get(contents[0])
        if error is not None:
            raise error
        return {}

    def close(self):
        type(self).closed += 1


def test_defects_of_a_client_are_raised_and_refusals_counted(monkeypatch):
    monkeypatch.setattr(Scripted, "closed", 0)
    batches = [[b"a"], [b"b"], [b"c"]]
    load = measure_load(lambda: Scripted({b"b": ServerError("full")}), batches, clients=2)
    assert (len(load.seconds), load.failures, Scripted.closed) == (2, {"full": 1}, 2)
    with pytest.raises(ZeroDivisionError, match="a defect"):
        measure_load(lambda: Scripted({b"b": ZeroDivisionError("a defect")}), batches, clients=2)
    assert Scripted.closed == 4
