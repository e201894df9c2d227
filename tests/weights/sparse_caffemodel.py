"""Large ``.caffemodel`` files of zeros that take no room on the disk."""

from __future__ import annotations

import math

from tests.weights.caffe_writer import BYTES, data, shape, tag, varint


def write_zeros(path, blobs):
    """Writes a net whose numbers are all zero: its file has holes where they are.

    Args:
        path: of the file.
        blobs: shapes by ``LAYER/INDEX``, those of a layer beside each other.

    Returns:
        The path.
    """
    layers = {}
    for name, sizes in blobs.items():
        layers.setdefault(name.rpartition("/")[0], []).append(sizes)
    with path.open("wb") as file:
        for name, shapes in layers.items():
            kind = {4: "Convolution", 2: "InnerProduct"}.get(len(shapes[0]), "Scale")
            start = data(1, name) + data(2, kind)
            heads = [_head(sizes) for sizes in shapes]
            parts = [(tag(7, BYTES) + varint(len(head) + size) + head, size) for head, size in heads]
            length = len(start) + sum(len(head) + size for head, size in parts)
            file.write(tag(100, BYTES) + varint(length) + start)
            for head, size in parts:
                file.write(head)
                file.seek(size, 1)
        file.truncate()
    return path


def _head(sizes):
    """A blob up to its numbers, and the bytes that these take."""
    size = 4 * math.prod(sizes)
    return shape(sizes) + tag(5, BYTES) + varint(size), size
