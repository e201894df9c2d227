"""Fields of protobuf messages, without their schema and without copies.

Written by hand in place of generated classes, which would copy all numbers of a file, take any number of
messages, and tie this package to the version of protobuf that TensorFlow brings. No more of the format
is needed than its six kinds of fields.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from cascade_tf.weights.files.raw_arrays import shown

_VARINT, _FIXED64, _BYTES, _GROUP, _END_GROUP, _FIXED32 = range(6)
_WIDTHS = {_FIXED32: 4, _FIXED64: 8}
_KINDS = {
    _VARINT: "an integer",
    _FIXED64: "a number of 64 bits",
    _BYTES: "bytes",
    _GROUP: "a group",
    _FIXED32: "a number of 32 bits",
}
_MAX_FIELDS = 300_000
# As deep as protobuf's own parsers go.
_MAX_DEPTH = 100
_MAX_TEXT = 1000
_MAX_ROWS_AT_ONCE = 1 << 20


class Field(NamedTuple):
    """One field of a message, or a run of single numbers.

    Attributes:
        number: of the field in its schema.
        wire_type: how it is written.
        value: an integer of 64 bits without sign; the bytes of a text, a message or packed numbers; or
            [n, 4] or [n, 8] the bytes of numbers that follow each other, each with its own tag.
    """

    number: int
    wire_type: int
    value: int | memoryview | np.ndarray

    def integer(self) -> int:
        """The value as a signed integer of 64 bits."""
        if not isinstance(self.value, int):
            raise self._mismatch("an integer")
        return _signed(self.value)

    def integers(self, most: int) -> list[int]:
        """Values of a repeated integer, packed or single.

        Raises:
            ValueError: there are more than ``most``, or it is something else.
        """
        if isinstance(self.value, int):
            return [_signed(self.value)]
        data, at = self.data(), 0
        found: list[int] = []
        while at < len(data) and len(found) <= most:
            value, at = read_varint(data, at)
            found.append(_signed(value))
        if len(found) > most:
            raise ValueError(f"field {self.number} holds more than {most} integers")
        return found

    def data(self) -> memoryview:
        """The bytes of a message or of raw data."""
        if self.wire_type != _BYTES or not isinstance(self.value, memoryview):
            raise self._mismatch("bytes")
        return self.value

    def text(self) -> str:
        """The value as a short text; what is no UTF-8 is escaped."""
        data = self.data()
        if len(data) > _MAX_TEXT:
            raise ValueError(
                f"field {self.number} is a text of {len(data)} bytes, expected at most {_MAX_TEXT}"
            )
        return bytes(data).decode("utf-8", "backslashreplace")

    def numbers(self, dtype: np.dtype) -> np.ndarray:
        """Values [n] of a repeated float or double, packed or single, as a read-only view of the file."""
        if isinstance(self.value, np.ndarray) and self.value.shape[1] == dtype.itemsize:
            return self.value.view(dtype)[:, 0]
        data = self.data()
        if len(data) % dtype.itemsize:
            raise ValueError(f"field {self.number} holds {len(data)} bytes of numbers of {dtype.itemsize}")
        return np.frombuffer(data, dtype) if len(data) else np.empty(0, dtype)

    def _mismatch(self, expected: str) -> ValueError:
        return ValueError(f"field {self.number} is {_KINDS[self.wire_type]}, expected {expected}")


class MessageReader:
    """Reads the messages of one file; counts the fields, for a small file can hold millions."""

    def __init__(self) -> None:
        self.num_fields = 0

    def fields(self, message: memoryview) -> Iterator[Field]:
        """Gives the fields of a message in their order.

        Args:
            message: its bytes, without tag and length.

        Raises:
            ValueError: a field reaches beyond the message, a tag, an integer or a group is broken, or the
                file has too many fields. All fields in front of it have been given by then.
        """
        at = 0
        while at < len(message):
            start = at
            number, wire_type, at = self._tag(message, at)
            if wire_type in _WIDTHS:
                run, at = _run(message, start, at, _WIDTHS[wire_type])
                yield Field(number, wire_type, run)
                continue
            if wire_type == _GROUP:
                value: int | memoryview
                end = self._group_end(message, at, number)
                value, at = message[at:end], end
            else:
                value, at = _value(message, at, wire_type)
            yield Field(number, wire_type, value)

    def _tag(self, message: memoryview, at: int) -> tuple[int, int, int]:
        """Number and wire type of the field that begins at a byte, and where its value does."""
        self.num_fields += 1
        if self.num_fields > _MAX_FIELDS:
            raise ValueError(f"has more than {_MAX_FIELDS} fields, which no net needs")
        tag, end = read_varint(message, at)
        number, wire_type = tag >> 3, tag & 7
        if not number or tag >= 1 << 32 or wire_type > _FIXED32:
            raise ValueError(f"broken at byte {at} of {len(message)}: no field begins with {tag}")
        return number, wire_type, end

    def _group_end(self, message: memoryview, at: int, number: int) -> int:
        groups = [number]
        while groups:
            number, wire_type, at = self._tag(message, at)
            if wire_type == _GROUP:
                groups.append(number)
            elif wire_type != _END_GROUP:
                _, at = _value(message, at, wire_type)
            elif groups.pop() != number:
                raise ValueError(f"broken: another group ends at byte {at} of {len(message)} than began")
            if len(groups) > _MAX_DEPTH:
                raise ValueError(f"has groups in more than {_MAX_DEPTH} others")
        return at


def _value(message: memoryview, at: int, wire_type: int) -> tuple[int | memoryview, int]:
    """The value of a single field, and where it ends."""
    if wire_type == _VARINT:
        return read_varint(message, at)
    if wire_type == _END_GROUP:
        raise ValueError(f"broken: a group ends at byte {at} of {len(message)} that never began")
    size = _WIDTHS.get(wire_type)
    if size is None:
        size, at = read_varint(message, at)
    if size > len(message) - at:
        raise ValueError(
            f"truncated or broken: a field claims {shown(size)} bytes but {len(message) - at} are left"
        )
    return message[at : at + size], at + size


def read_varint(message: memoryview, at: int) -> tuple[int, int]:
    """An integer without sign below 2**64, and where it ends.

    Raises:
        ValueError: the bytes end before, or the integer is larger.
    """
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            raise ValueError("truncated or broken: ends in the middle of an integer")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
    else:
        value = 1 << 64
    if value >= 1 << 64:
        raise ValueError(f"broken: the integer that ends at byte {at} of {len(message)} exceeds 64 bits")
    return value, at


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _run(message: memoryview, start: int, value_at: int, width: int) -> tuple[np.ndarray, int]:
    """Numbers that were not packed: a tag, a number, the same tag, a number, and so on.

    Old writers leave millions of them, and one step of Python for each would take minutes.

    Returns:
        [n, width] the numbers' bytes, and where the last one ends.
    """
    tag_size = value_at - start
    stride = tag_size + width
    most = (len(message) - start) // stride
    if not most:
        raise ValueError(
            f"truncated or broken: a number of {width} bytes begins where {len(message) - value_at} are left"
        )
    rows = np.frombuffer(message, np.uint8, most * stride, start).reshape(most, stride)
    count, step = 1, 16
    # Steps grow, so that a short run costs little however long the file is.
    while count < most:
        same = (rows[count : count + step, :tag_size] == rows[0, :tag_size]).all(axis=1)
        if not same.all():
            count += int(same.argmin())
            break
        count += len(same)
        step = min(2 * step, _MAX_ROWS_AT_ONCE)
    return rows[:count, tag_size:], start + count * stride
