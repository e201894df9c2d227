"""Writes checkpoint files as torch, detectron2 and Detectron do, without torch and without Python 2."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

TORCH_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
TORCH_PROTOCOL = 1001
STORAGES = {
    np.dtype("float32"): "FloatStorage",
    np.dtype("float64"): "DoubleStorage",
    np.dtype("float16"): "HalfStorage",
    np.dtype(ml_dtypes.bfloat16): "BFloat16Storage",
    np.dtype("int64"): "LongStorage",
    np.dtype("int32"): "IntStorage",
    np.dtype("int16"): "ShortStorage",
    np.dtype("int8"): "CharStorage",
    np.dtype("uint8"): "ByteStorage",
    np.dtype("bool"): "BoolStorage",
}


class Name:
    """A global by name: what a pickle says when it wants a class or a function."""

    def __init__(self, module: str, name: str):
        self.module, self.name = module, name

    def __call__(self):
        raise AssertionError("names are written, never called")


@dataclass(eq=False)
class Call:
    """A call of a global, with what pickle adds to its result: a state, list items, pairs of a dict."""

    function: Name
    arguments: tuple
    state: Any = None
    items: list | None = None
    pairs: dict | None = None


@dataclass(eq=False)
class Storage:
    """The memory of one or more tensors; ``numel`` and ``kind`` may lie about the values."""

    values: np.ndarray
    numel: int | None = None
    kind: str | None = None
    window: tuple[str, int, int] | None = None


@dataclass(eq=False)
class Tensor:
    """A view of a storage: offset and strides in elements."""

    storage: Storage
    shape: tuple
    stride: tuple
    offset: int = 0
    function: Name = field(default_factory=lambda: REBUILD_TENSOR)


@dataclass(eq=False)
class Parameter:
    """A tensor as ``torch.nn.Parameter`` is pickled."""

    tensor: Any


REBUILD_TENSOR = Name("torch._utils", "_rebuild_tensor_v2")
REBUILD_PARAMETER = Name("torch._utils", "_rebuild_parameter")
ORDERED_DICT = Name("collections", "OrderedDict")
NUMPY_DTYPE = Name("numpy", "dtype")
NUMPY_ARRAY = Name("numpy", "ndarray")


def write_torch_zip(
    path: str | Path,
    obj: Any,
    prefix: str = "archive",
    byteorder: str = "little",
    records: Mapping[str, bytes] | None = None,
) -> Path:
    """Writes what ``torch.save`` of version 1.6 and later writes; arrays in ``obj`` become tensors.

    Args:
        path: the file.
        obj: containers, plain values, arrays (tensors of their own), and the classes above.
        prefix: folder of all records; torch takes the file's name.
        byteorder: "little" or "big", of the storages' data.
        records: replaced, or with None removed, after the file's own are made.
    """
    buffer = io.BytesIO()
    pickler = CheckpointPickler(buffer, 2, tensors=True)
    pickler.dump(obj)
    content = {"data.pkl": buffer.getvalue(), "byteorder": byteorder.encode()}
    for key, storage in pickler.storages.items():
        content[f"data/{key}"] = _raw(storage.values, byteorder)
    content |= {"version": b"3\n", ".data/serialization_id": b"0636067250450001"}
    content |= records or {}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in content.items():
            if data is not None:
                archive.writestr(f"{prefix}/{name}", data)
    return Path(path)


def write_torch_legacy(path: str | Path, obj: Any, little_endian: bool = True) -> Path:
    """Writes what ``torch.save`` before version 1.6 wrote; arrays in ``obj`` become tensors."""
    with Path(path).open("wb") as file:
        system = {
            "protocol_version": TORCH_PROTOCOL,
            "little_endian": little_endian,
            "type_sizes": {"short": 2, "int": 4, "long": 4},
        }
        for value in (TORCH_MAGIC_NUMBER, TORCH_PROTOCOL, system):
            pickle.dump(value, file, protocol=2)
        pickler = CheckpointPickler(file, 2, tensors=True, legacy=True)
        pickler.dump(obj)
        keys = sorted(pickler.storages)
        pickle.dump(keys, file, protocol=2)
        for key in keys:
            values = pickler.storages[key].values
            file.write(struct.pack("<q", values.size) + _raw(values, "little"))
    return Path(path)


def write_pickle(
    path: str | Path, obj: Any, protocol: int = 4, python2: bool = False, numpy_core: str = "numpy._core"
) -> Path:
    """Writes a plain pickle, as detectron2 (protocol 4) or, with ``python2``, Detectron (protocol 0 to 2).

    Args:
        path: the file.
        obj: containers, plain values, arrays, and ``Call``.
        protocol: pickle's protocol.
        python2: strings and array data are byte strings, as Python 2 wrote them.
        numpy_core: where NumPy's functions are: "numpy.core" before version 2.
    """
    Path(path).write_bytes(pickle_bytes(obj, protocol, python2, numpy_core))
    return Path(path)


def pickle_bytes(
    obj: Any, protocol: int = 4, python2: bool = False, numpy_core: str = "numpy._core"
) -> bytes:
    """What ``write_pickle`` writes."""
    buffer = io.BytesIO()
    CheckpointPickler(buffer, protocol, python2=python2, numpy_core=numpy_core).dump(obj)
    return buffer.getvalue()


class CheckpointPickler(pickle._Pickler):
    """Python's own pickler, which also writes names of nothing, tensors, and Python 2's strings."""

    def __init__(
        self, file, protocol, *, tensors=False, legacy=False, python2=False, numpy_core="numpy._core"
    ):
        super().__init__(file, protocol)
        self.tensors, self.legacy, self.python2 = tensors, legacy, python2
        self.reconstruct = Name(f"{numpy_core}.multiarray", "_reconstruct")
        self.storages: dict[str, Storage] = {}
        self.keys: dict[int, str] = {}
        self.kept: list[Any] = []

    def save(self, obj, save_persistent_id=True):
        special = isinstance(obj, (Name, Call, Tensor, Parameter, np.ndarray, Storage))
        if not special and not (self.python2 and isinstance(obj, (str, bytes))):
            super().save(obj, save_persistent_id)
        elif isinstance(obj, Storage):
            self.save_pers(self._persistent_id(obj))
        elif id(obj) in self.memo:
            self.write(self.get(self.memo[id(obj)][0]))
        elif isinstance(obj, Name):
            self._save_name(obj)
        elif isinstance(obj, (str, bytes)):
            self._save_python2_string(obj)
        else:
            self._save_call(obj)

    def _save_name(self, name):
        if self.proto >= 4:
            self.save(name.module)
            self.save(name.name)
            self.write(pickle.STACK_GLOBAL)
        else:
            self.write(pickle.GLOBAL + f"{name.module}\n{name.name}\n".encode())
        self.memoize(name)

    def _save_call(self, obj):
        if isinstance(obj, Parameter):
            call = Call(REBUILD_PARAMETER, (obj.tensor, True, Call(ORDERED_DICT, ())))
        elif isinstance(obj, Tensor):
            call = self._tensor(obj)
        elif isinstance(obj, Call):
            call = obj
        elif self.tensors:
            values = np.ascontiguousarray(obj)
            stride = tuple(step // values.itemsize for step in values.strides)
            call = self._tensor(Tensor(Storage(values.reshape(-1)), np.shape(obj), stride[: np.ndim(obj)]))
        else:
            call = self._array(obj)
        items = None if call.items is None else iter(call.items)
        pairs = None if call.pairs is None else iter(call.pairs.items())
        # The memo knows objects by their address: one that it holds must not be freed before the end.
        self.kept.append(call)
        self.save_reduce(call.function, call.arguments, call.state, items, pairs, obj=obj)

    def _tensor(self, tensor):
        arguments = (
            tensor.storage,
            tensor.offset,
            tensor.shape,
            tensor.stride,
            False,
            Call(ORDERED_DICT, ()),
        )
        return Call(tensor.function, arguments)

    def _array(self, array):
        order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
        kind = array.dtype.str
        state = (3, kind[0], None, None, None, -1, -1, 0)
        dtype = Call(NUMPY_DTYPE, (kind[1:], False, True), state)
        state = (1, array.shape, dtype, order == "F", array.tobytes(order))
        return Call(self.reconstruct, (NUMPY_ARRAY, (0,), b"b"), state)

    def _save_python2_string(self, text):
        data = text.encode("latin-1") if isinstance(text, str) else text
        if self.proto == 0:
            self.write(pickle.STRING + repr(data)[1:].encode() + b"\n")
        elif len(data) < 256:
            self.write(pickle.SHORT_BINSTRING + bytes([len(data)]) + data)
        else:
            self.write(pickle.BINSTRING + struct.pack("<i", len(data)) + data)
        self.memoize(text)

    def _persistent_id(self, storage):
        key = self.keys.setdefault(id(storage), str(len(self.keys)))
        self.storages[key] = storage
        kind = storage.kind or STORAGES[storage.values.dtype.newbyteorder("=")]
        kind = Name("torch.storage" if kind == "UntypedStorage" else "torch", kind)
        self.kept.append(kind)
        numel = storage.values.size if storage.numel is None else storage.numel
        view = (storage.window,) if self.legacy else ()
        return ("storage", kind, key, "cpu", numel, *view)


def _raw(values, byteorder):
    stored = values if byteorder == "little" else values.byteswap()
    return stored.tobytes()
