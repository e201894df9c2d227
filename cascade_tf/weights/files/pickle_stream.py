"""The bytes of a pickle, read in place and never past their end."""

from __future__ import annotations

import codecs
import re
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

# Longer strings stay where they are: they are array data, mostly.
_LONG_STRING = 4096
# Of one integer; a real one has eight.
_MAX_INTEGER_BYTES = 256
_NEWLINE = re.compile(rb"\n")
# Python 2's repr writes no other escapes than these; decoding any other one gives warnings.
_UNKNOWN_ESCAPE = re.compile(rb"""\\([^x'"nrt]|$)""")


class RawString(NamedTuple):
    """A long string of a pickle, undecoded.

    Attributes:
        data: where it lies.
        encoding: "utf-8" of text, "latin-1" of a Python 2 string, which may be text or bytes, None of bytes.
    """

    data: memoryview
    encoding: str | None

    def decoded(self) -> str | bytes:
        """A copy of the string.

        Raises:
            ValueError: it is not text in its encoding.
        """
        return bytes(self.data) if self.encoding is None else _text(self.data, self.encoding)


class PickleStream:
    """Reads numbers, lines and strings from memory.

    Args:
        content: the file.
        position: where to begin.
    """

    def __init__(self, content: memoryview, position: int = 0):
        self.content = content
        self.position = position

    def take(self, count: int) -> memoryview:
        """Returns the next bytes, in place.

        Raises:
            ValueError: fewer are left than the pickle claims.
        """
        left = len(self.content) - self.position
        if not 0 <= count <= left:
            raise ValueError(
                f"truncated or broken pickle: byte {self.position} claims {count} bytes but {left} are left"
            )
        self.position += count
        return self.content[self.position - count : self.position]

    def number(self, size: int, signed: bool = False) -> int:
        """Returns the next ``size`` bytes as an integer."""
        return int.from_bytes(self.take(size), "little", signed=signed)

    def line(self, limit: int | None = _MAX_INTEGER_BYTES) -> bytes:
        """Returns the bytes up to the next line end.

        Raises:
            ValueError: there is none, or the line is longer than ``limit`` allows.
        """
        found = _NEWLINE.search(self.content, self.position)
        if not found:
            raise ValueError(f"truncated or broken pickle: no line ends after byte {self.position}")
        length = found.start() - self.position
        if limit is not None and length > limit:
            raise ValueError(f"broken pickle: byte {self.position} begins a name or number of {length} bytes")
        return bytes(self.take(length + 1)[:-1])

    def text_line(self) -> str:
        """Returns the next line as text."""
        return _text(self.line(), "utf-8")

    def integer_line(self) -> int:
        """Returns the next line as an integer."""
        return _number_line(self, int)


def _text(data: bytes | memoryview, encoding: str) -> str:
    try:
        return str(data, encoding)
    except UnicodeDecodeError as error:
        raise ValueError(f"broken pickle: text that is not {encoding} ({error.reason})") from None


def _string(data: memoryview, encoding: str | None) -> str | bytes | RawString:
    raw = RawString(data, encoding)
    return raw if len(data) > _LONG_STRING else raw.decoded()


def _counted(size: int, encoding: str | None, signed: bool = False) -> Callable[[PickleStream], Any]:
    """A reader of a string behind its length."""
    return lambda stream: _string(stream.take(stream.number(size, signed)), encoding)


def _quoted(stream: PickleStream) -> str | bytes | RawString:
    line = stream.line(limit=None).strip()
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
        raise ValueError(f"broken pickle: a string without quotes before byte {stream.position}")
    return _string(memoryview(_unescaped(line[1:-1])), "latin-1")


def _unescaped(text: bytes) -> bytes:
    try:
        if not _UNKNOWN_ESCAPE.search(text.replace(rb"\\", b"")):
            return codecs.escape_decode(text)[0]
    except ValueError:
        pass
    raise ValueError("broken pickle: a string with an unknown escape")


def _number_line(stream: PickleStream, kind: type[int] | type[float]) -> Any:
    line = stream.line()
    try:
        return kind(line.rstrip(b"L"))
    except ValueError:
        raise ValueError(f"broken pickle: {line!r} is no {kind.__name__}") from None


def _integer_or_truth(stream: PickleStream) -> int | bool:
    truth = {b"00\n": False, b"01\n": True}.get(bytes(stream.content[stream.position : stream.position + 3]))
    number = stream.integer_line()
    return number if truth is None else truth


def _long(stream: PickleStream, size: int) -> int:
    length = stream.number(size, signed=size == 4)
    if length > _MAX_INTEGER_BYTES:
        raise ValueError(f"broken pickle: an integer of {length} bytes")
    return stream.number(length, signed=True)


# The operations that push a value which follows in the file.
ATOMS: dict[bytes, Callable[[PickleStream], Any]] = {
    b"K": lambda stream: stream.number(1),
    b"M": lambda stream: stream.number(2),
    b"J": lambda stream: stream.number(4, signed=True),
    b"I": _integer_or_truth,
    b"L": lambda stream: stream.integer_line(),
    b"\x8a": lambda stream: _long(stream, 1),
    b"\x8b": lambda stream: _long(stream, 4),
    b"F": lambda stream: _number_line(stream, float),
    b"G": lambda stream: struct.unpack(">d", stream.take(8))[0],
    b"S": _quoted,
    b"U": _counted(1, "latin-1"),
    b"T": _counted(4, "latin-1", signed=True),
    b"V": lambda stream: _text(stream.line(limit=None), "raw-unicode-escape"),
    b"\x8c": _counted(1, "utf-8"),
    b"X": _counted(4, "utf-8"),
    b"\x8d": _counted(8, "utf-8"),
    b"C": _counted(1, None),
    b"B": _counted(4, None),
    b"\x8e": _counted(8, None),
    b"\x96": _counted(8, None),
}
