"""A web server on this machine with one file and the faults that servers have."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

STEP = 1000  # bytes between two looks at what the test wants


class FileServer:
    """What is served, and what was asked for; tests change the attributes between requests."""

    def __init__(self, address: str, content: bytes):
        self.url = f"{address}/files/model.pkl"
        self.content = content
        self.etag: str | None = '"first"'
        self.modified: str | None = None
        self.ranges = True  # answers to Range
        self.if_range = True  # answers to If-Range
        self.length = True  # announces Content-Length
        self.chunked = False
        self.content_type = "application/octet-stream"
        self.announced: int | None = None  # instead of the true length
        self.statuses: list[int] = []  # of the next requests
        self.cuts: list[int] = []  # bytes after which the next connections end
        self.redirect: str | None = None
        self.pause = 0.0  # seconds between steps
        self.requests: list[dict[str, str]] = []

    @property
    def asked_from(self) -> list[str | None]:
        """The Range of each request."""
        return [headers.get("range") for headers in self.requests]


def _handler(server_of):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 5

        def log_message(self, *_):
            pass

        def do_GET(self):
            server = server_of()
            headers = {name.lower(): value for name, value in self.headers.items()}
            server.requests.append(headers)
            self.close_connection = True
            if server.statuses and (status := server.statuses.pop(0)) != 200:
                return self.say(status, {"Content-Length": "0"})
            if server.redirect and self.path != "/files/moved.pkl":
                return self.say(302, {"Location": server.redirect, "Content-Length": "0"})
            first = self.first(server, headers)
            if first is not None and first >= len(server.content):
                return self.say(
                    416, {"Content-Range": f"bytes */{len(server.content)}", "Content-Length": "0"}
                )
            self.send(server, first)

        def first(self, server, headers):
            if "range" not in headers or not server.ranges:
                return None
            mark = headers.get("if-range")
            if mark and server.if_range and mark not in (server.etag, server.modified):
                return None
            return int(headers["range"].removeprefix("bytes=").removesuffix("-"))

        def send(self, server, first):
            body = server.content[first or 0 :]
            length = len(body) if server.announced is None else server.announced
            answer = {
                "ETag": server.etag,
                "Last-Modified": server.modified,
                "Content-Type": server.content_type,
            }
            if server.chunked:
                answer["Transfer-Encoding"] = "chunked"
            elif server.length:
                answer["Content-Length"] = str(length)
            if first is not None:
                last, size = len(server.content) - 1, len(server.content)
                answer["Content-Range"] = f"bytes {first}-{last}/{size}"
            self.say(206 if first is not None else 200, answer)
            cut = server.cuts.pop(0) if server.cuts else None
            self.write(body if cut is None else body[:cut], server, complete=cut is None)

        def say(self, status, headers):
            self.send_response(status)
            for name, value in headers.items():
                if value is not None:
                    self.send_header(name, value)
            self.end_headers()

        def write(self, body, server, complete):
            try:
                for start in range(0, len(body), STEP):
                    block = body[start : start + STEP]
                    frame = f"{len(block):x}\r\n".encode() + block + b"\r\n" if server.chunked else block
                    self.wfile.write(frame)
                    time.sleep(server.pause)
                if server.chunked and complete:
                    self.wfile.write(b"0\r\n\r\n")
            except OSError:
                pass  # the reader has had enough

    return Handler


@contextmanager
def serving(content: bytes) -> Iterator[FileServer]:
    """Serves a file on a free port as long as the context lasts."""
    holder: list[FileServer] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(lambda: holder[0]))
    server.daemon_threads = True
    holder.append(FileServer(f"http://127.0.0.1:{server.server_port}", content))
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02), daemon=True)
    thread.start()
    try:
        yield holder[0]
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
