"""A file that has arrived in part, and the marks of the whole that it belongs to."""

from __future__ import annotations

import json
from email.message import Message
from pathlib import Path
from typing import Any, NamedTuple

from cascade_tf.files import write_atomically


class Marks(NamedTuple):
    """By which a server's file is recognised later; each is None where the server does not say it.

    Attributes:
        size: in bytes.
        etag: header ``ETag``.
        modified: header ``Last-Modified``.
    """

    size: int | None
    etag: str | None
    modified: str | None

    def range_headers(self, done: int) -> dict[str, str]:
        """Headers of a request for what follows the first ``done`` bytes, if the file is still the same."""
        # HTTP forbids weak marks here.
        mark = self.etag if self.etag and not self.etag.startswith("W/") else self.modified
        return {"Range": f"bytes={done}-"} | ({"If-Range": mark} if mark else {})

    def agree_with(self, other: Marks) -> bool:
        """Whether no mark that both have differs."""
        return all(
            mine == theirs
            for mine, theirs in zip(self, other, strict=True)
            if mine is not None and theirs is not None
        )


class PartFile:
    """The beginning of a file from one address, with its marks in ``PATH.json`` beside it.

    Args:
        path: of the part.
        url: address of the whole. What was there from another address does not count.
    """

    def __init__(self, path: Path, url: str):
        self.path = path
        self.url = url
        self._marks_path = path.with_name(f"{path.name}.json")

    def state(self) -> tuple[int, Marks | None]:
        """Bytes that are there and can be gone on from, and their marks."""
        try:
            stored = json.loads(self._marks_path.read_text("utf-8"))
            if stored.pop("url") == self.url:
                return self.path.stat().st_size, Marks(**stored)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            pass
        return 0, None

    def start(self, marks: Marks) -> None:
        """Makes the part empty, for a file with these marks."""
        self.path.write_bytes(b"")
        write_atomically(self._marks_path, json.dumps({"url": self.url} | marks._asdict()))

    def discard(self) -> None:
        """Removes part and marks."""
        self.path.unlink(missing_ok=True)
        self._marks_path.unlink(missing_ok=True)


def marks_of(status: int, headers: Message) -> Marks:
    """Marks of the whole file in a server's answer.

    Args:
        status: 200, or 206 for a part of the file.
        headers: of the answer.
    """
    size = content_range(headers)[1] if status == 206 else number(headers.get("Content-Length"))
    return Marks(size, headers.get("ETag"), headers.get("Last-Modified"))


def content_range(headers: Any) -> tuple[int | None, int | None]:
    """First byte and size of the whole from ``Content-Range``, such as ``bytes 5-9/10`` or ``bytes */10``."""
    given, _, size = (headers.get("Content-Range") or "").removeprefix("bytes ").partition("/")
    return number(given.partition("-")[0]), number(size)


def number(text: str | None) -> int | None:
    """The number in a header; None where there is none."""
    return int(text) if text and text.isascii() and text.isdigit() else None
