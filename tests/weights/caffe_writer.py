"""Writes ``.caffemodel`` files as Caffe does, without Caffe and without protobuf."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

VARINT, FIXED64, BYTES, GROUP, END_GROUP, FIXED32 = range(6)
V1_TYPES = {"Convolution": 4, "Data": 5, "InnerProduct": 14, "ReLU": 18, "Deconvolution": 39}
RAW_TYPES = {"float64": 0, "float32": 1, "float16": 2}


class Layer(NamedTuple):
    """A layer: its arrays are written in their own precision, those of 16 bits as NVIDIA's Caffe does."""

    name: str
    type: str
    blobs: tuple = ()


def varint(value):
    """An integer; negative ones as 64 bits."""
    value %= 1 << 64
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def tag(number, wire_type):
    return varint(number << 3 | wire_type)


def integer(number, value):
    return tag(number, VARINT) + varint(value)


def data(number, content):
    content = content.encode() if isinstance(content, str) else content
    return tag(number, BYTES) + varint(len(content)) + content


def single_numbers(number, array):
    """A repeated float or double that is not packed."""
    kind = FIXED32 if array.dtype.itemsize == 4 else FIXED64
    return b"".join(tag(number, kind) + value.tobytes() for value in array.ravel())


def shape(sizes):
    return data(7, data(1, b"".join(map(varint, sizes))))


def legacy_shape(sizes):
    """Four sizes, with ones in front."""
    padded = (1,) * (4 - len(sizes)) + tuple(sizes)
    return b"".join(integer(number, size) for number, size in enumerate(padded, 1))


def numbers(array, packed=True):
    """The fields with the numbers of an array."""
    if array.dtype == np.float16:
        return integer(10, RAW_TYPES[str(array.dtype)]) + data(12, array.tobytes())
    number = 8 if array.dtype == np.float64 else 5
    return data(number, array.tobytes()) if packed else single_numbers(number, array)


def blob(array, legacy=False, packed=True):
    """A BlobProto."""
    return (legacy_shape if legacy else shape)(array.shape) + numbers(array, packed)


def layer(name, type_, blobs=(), more=b""):
    """A layer of the new form within a net; blobs as bytes."""
    return data(100, data(1, name) + data(2, type_) + b"".join(data(7, item) for item in blobs) + more)


def v1_layer(name, type_, blobs=(), more=b""):
    """A layer of the old form within a net."""
    fields = data(2, "below") + data(3, name) + data(4, name) + integer(5, V1_TYPES[type_])
    return data(2, fields + b"".join(data(6, item) for item in blobs) + more)


def net(layers, name="net", legacy=False, packed=True):
    """A whole file's bytes.

    Args:
        layers: ``Layer``.
        legacy: whether to write layers and shapes of the old form.
        packed: whether numbers are packed.
    """
    write = v1_layer if legacy else layer
    return data(1, name) + b"".join(
        write(item.name, item.type, [blob(array, legacy, packed) for array in item.blobs]) for item in layers
    )


def write_caffemodel(path: Path, layers: Iterable[Layer], name: str = "net") -> Path:
    """Writes a file of the new form layer by layer: of large nets there is never more than one in memory.

    Args:
        path: of the file.
        layers: may be a generator.
        name: of the net.
    """
    with path.open("wb") as file:
        file.write(data(1, name))
        for item in layers:
            file.writelines(_pieces(item))
    return path


def _pieces(item: Layer) -> Iterator[bytes | memoryview]:
    heads, sizes = [], []
    for array in item.blobs:
        number = 8 if array.dtype == np.float64 else 5
        inner = shape(array.shape) + tag(number, BYTES) + varint(array.nbytes)
        heads.append(tag(7, BYTES) + varint(len(inner) + array.nbytes) + inner)
        sizes.append(len(heads[-1]) + array.nbytes)
    first = data(1, item.name) + data(2, item.type)
    yield tag(100, BYTES) + varint(len(first) + sum(sizes)) + first
    for head, array in zip(heads, item.blobs, strict=True):
        yield head
        yield np.ascontiguousarray(array).data.cast("B") if array.size else b""
