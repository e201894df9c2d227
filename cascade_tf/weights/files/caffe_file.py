"""``.caffemodel`` files of Caffe and its forks, without Caffe."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from cascade_tf.weights.files.caffe_blob import read_blob
from cascade_tf.weights.files.protobuf_wire import MessageReader, read_varint
from cascade_tf.weights.files.raw_arrays import shown


class _Form(NamedTuple):
    """Field numbers of one of the two messages that describe a layer."""

    name: int
    type: int
    blobs: int


# Field numbers of the message NetParameter, and of the layers in it.
_NET_NAME = 1
_FORMS = {100: _Form(1, 2, 7), 2: _Form(4, 5, 6)}
_OLD_FORM = _FORMS[2]
# In layers of the old form: the form before it, as a message of its own.
_OLDEST_LAYER = 1
# In the new form: parameters of MS-CNN's layer that makes proposals, in them heights and widths of templates.
_BOX_OUTPUT, _HEIGHTS, _WIDTHS = 151, 4, 5
# Far more than any network has.
_MOST_TEMPLATES = 1000
# The old form numbers the types, from zero. These are their names in the new one.
_TYPES = """
    None Accuracy BNLL Concat Convolution Data Dropout EuclideanLoss Flatten HDF5Data HDF5Output Im2col
    ImageData InfogainLoss InnerProduct LRN MultinomialLogisticLoss Pooling ReLU Sigmoid Softmax
    SoftmaxWithLoss Split TanH WindowData Eltwise Power SigmoidCrossEntropyLoss HingeLoss MemoryData ArgMax
    Threshold DummyData Slice MVN AbsVal Silence ContrastiveLoss Exp Deconvolution
"""
_TYPE_OF = dict(enumerate(_TYPES.split()))
# Axes of the weights; biases have one.
_AXES = {"Convolution": 4, "Deconvolution": 4, "InnerProduct": 2}

# What Caffe writes in front of the first layer, and with which wire type: the net's name, inputs, their
# shapes and the like.
_BYTES = 2
_BEFORE_LAYERS = {1: _BYTES, 3: _BYTES, 4: 0, 5: 0, 6: _BYTES, 7: 0, 8: _BYTES}


def is_caffemodel(start: bytes, file_size: int) -> bool:
    """Whether a file begins as nets of Caffe do; the format has no mark of its own.

    Args:
        start: the first bytes, some hundreds if the file has them.
        file_size: no layer reaches beyond it.
    """
    try:
        return _begins_as_net(memoryview(start), file_size)
    except ValueError:
        return False


def _begins_as_net(start: memoryview, file_size: int) -> bool:
    position = 0
    while position < len(start):
        tag, position = read_varint(start, position)
        number, wire_type = tag >> 3, tag & 7
        size, position = read_varint(start, position)
        if number in _FORMS and wire_type == _BYTES:
            # All forms of layers begin with the name of something.
            inner, _ = read_varint(start, position)
            return 1 <= inner >> 3 <= 4 and inner & 7 == _BYTES and size <= file_size - position
        if _BEFORE_LAYERS.get(number) != wire_type:
            return False
        position += size if wire_type == _BYTES else 0
    return False


def read_caffemodel(content: memoryview) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Returns the arrays of a net, and what its layers are.

    Reads the form with ``layer`` messages and the older one with ``layers``, floats of 16 bits (NVIDIA's
    fork), 32 and 64, packed or not. Layers may be of any type, those of forks too. Blobs of the older shape,
    which always has four axes, come with the axes that weights and biases have in the newer one.

    Args:
        content: the whole file.

    Returns:
        Read-only arrays by ``LAYER/INDEX`` as the file has them: weights ``conv1/0`` [out, in per group,
        height, width] or ``fc6/0`` [out, in], biases ``conv1/1``. And metadata: "name" of the net, in
        "layers" the types of the layers by their names, in the file's order, and where there are some in
        "templates" those of MS-CNN's layers ``BoxOutput``, [width, height] each, by the layers' names.

    Raises:
        ValueError: the file is truncated or broken, claims more than it holds, has no weights, or has two
            layers with weights of one name. The message names the layer.
    """
    net = _Net()
    net.read(content)
    if not net.arrays:
        raise ValueError(f"holds {net.num_layers} layers of a Caffe net and no weights")
    metadata: dict[str, Any] = {"name": net.name, "layers": net.types}
    return net.arrays, metadata | ({"templates": net.templates} if net.templates else {})


class _Net:
    """What has been read of a net."""

    def __init__(self) -> None:
        self.reader = MessageReader()
        self.name = ""
        self.num_layers = 0
        self.arrays: dict[str, np.ndarray] = {}
        self.types: dict[str, str] = {}
        self.templates: dict[str, list[list[int]]] = {}
        self.with_weights: set[str] = set()
        self.forms: set[int] = set()

    def read(self, content: memoryview) -> None:
        try:
            for field in self.reader.fields(content):
                if field.number == _NET_NAME:
                    self.name = field.text()
                elif field.number in _FORMS:
                    self.forms.add(field.number)
                    self.num_layers += 1
                    self._add_layer(field.data(), _FORMS[field.number])
        except _LayerError:
            raise
        except ValueError as error:
            place = f"after layer {shown(list(self.types)[-1])}" if self.types else "before the first layer"
            raise ValueError(f"{place}: {error}") from None
        if len(self.forms) > 1:
            raise ValueError("has layers of the new form and of the old one, expected one of them")

    def _add_layer(self, message: memoryview, form: _Form) -> None:
        layer = _Layer(form)
        try:
            layer.read(self.reader, message)
            blobs, templates = list(layer.arrays(self.reader)), layer.templates()
            if blobs and not layer.name:
                raise ValueError("has weights and no name")
            if blobs and layer.name in self.with_weights:
                raise ValueError("is there twice, both times with weights")
        except ValueError as error:
            raise _LayerError(f"{layer.described(self.num_layers)}: {error}") from None
        if layer.heights or layer.widths:
            self.templates[layer.name] = templates
        if blobs:
            self.with_weights.add(layer.name)
        if blobs or layer.name not in self.types:
            self.types[layer.name] = layer.type
        self.arrays |= {f"{layer.name}/{index}": array for index, array in enumerate(blobs)}


class _LayerError(ValueError):
    """Says already which layer it is about."""


class _Layer:
    """What has been read of a layer."""

    def __init__(self, form: _Form) -> None:
        self.form = form
        self.name = ""
        self.type = ""
        self.blobs: list[memoryview] = []
        self.heights: list[int] = []
        self.widths: list[int] = []

    def read(self, reader: MessageReader, message: memoryview) -> None:
        for field in reader.fields(message):
            if field.number == self.form.name:
                self.name = field.text()
            elif field.number == self.form.type and self.form is _OLD_FORM:
                number = field.integer()
                self.type = _TYPE_OF.get(number, f"type {number}")
            elif field.number == self.form.type:
                self.type = field.text()
            elif field.number == self.form.blobs:
                self.blobs.append(field.data())
            elif field.number == _BOX_OUTPUT and self.type == "BoxOutput":
                self._read_templates(reader, field.data())
            elif field.number == _OLDEST_LAYER and self.form is _OLD_FORM:
                raise ValueError(
                    "has the first of Caffe's forms, expected one of the later two; Caffe's program "
                    "upgrade_net_proto_binary converts it"
                )

    def _read_templates(self, reader: MessageReader, message: memoryview) -> None:
        for field in reader.fields(message):
            for number, sides in ((_HEIGHTS, self.heights), (_WIDTHS, self.widths)):
                if field.number == number:
                    sides += field.integers(_MOST_TEMPLATES - len(sides))

    def templates(self) -> list[list[int]]:
        """The (width, height) of each template, in pixels."""
        if len(self.heights) != len(self.widths):
            counts = f"{len(self.heights)} heights and {len(self.widths)} widths"
            raise ValueError(f"has {counts} of templates, expected as many of each")
        return [list(sides) for sides in zip(self.widths, self.heights, strict=True)]

    def arrays(self, reader: MessageReader) -> Iterator[np.ndarray]:
        """The arrays of the layer's blobs, in the axes of the newer shapes."""
        for index, message in enumerate(self.blobs):
            try:
                array, legacy = read_blob(reader, message)
            except ValueError as error:
                raise ValueError(f"blob {index}: {error}") from None
            if legacy and self.type in _AXES:
                axes = _AXES[self.type] if index == 0 else 1
                while array.ndim > axes and array.shape[0] == 1:
                    array = array[0]
            yield array

    def described(self, number: int) -> str:
        return f"layer {shown(self.name)}" if self.name else f"layer {number} (without a name)"
