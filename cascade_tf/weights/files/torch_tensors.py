"""The tensors of torch's pickles: storages, and views of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cascade_tf.weights.files.pickle_values import Global, Placeholder
from cascade_tf.weights.files.raw_arrays import CopyBudget, checked_sizes, shown

_BFLOAT16 = "bfloat16"
_STORAGES = {
    "FloatStorage": "f4",
    "DoubleStorage": "f8",
    "HalfStorage": "f2",
    "BFloat16Storage": _BFLOAT16,
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
_DTYPES = {
    "float32": "f4",
    "float64": "f8",
    "float16": "f2",
    "bfloat16": _BFLOAT16,
    "int64": "i8",
    "int32": "i4",
    "int16": "i2",
    "int8": "i1",
    "uint8": "u1",
    "uint16": "u2",
    "uint32": "u4",
    "uint64": "u8",
    "bool": "?",
}


class Storage(Placeholder):
    """The memory behind tensors.

    Args:
        kind: NumPy's short name of the elements' dtype, or "bfloat16".
        num_elements: as the pickle claims.
        byteorder: "<" or ">".
    """

    def __init__(self, kind: str, num_elements: int, byteorder: str = "<"):
        self.kind = kind
        self.dtype = _numpy_dtype(kind, byteorder)
        self.num_elements = num_elements
        self.byteorder = byteorder
        self.data: memoryview | None = None
        self.parts: list[tuple[int, Storage]] = []

    @property
    def num_bytes(self) -> int:
        """The claimed size."""
        return self.num_elements * self.dtype.itemsize

    def fill(self, data: memoryview, name: str) -> None:
        """Gives the storage its bytes.

        Raises:
            ValueError: they are fewer than claimed.
        """
        if len(data) < self.num_bytes:
            raise ValueError(f"{name} claims {self.num_bytes} bytes but the file holds {len(data)}")
        self.data = data[: self.num_bytes]
        for start, part in self.parts:
            part.fill(self.data[start * self.dtype.itemsize :], name)

    def part(self, start: Any, num_elements: Any) -> Storage:
        """Returns a storage that is a part of this one, as torch 0.3 and earlier pickled them.

        Raises:
            ValueError: the part is not inside.
        """
        start, num_elements = checked_sizes((start, num_elements), "a part of a storage")
        if start + num_elements > self.num_elements:
            raise ValueError(
                f"a part of a storage claims elements {start} to {start + num_elements} "
                f"but the storage holds {self.num_elements}"
            )
        part = Storage(self.kind, num_elements, self.byteorder)
        self.parts.append((start, part))
        return part


class PickledTensor(Placeholder):
    """A tensor: a view of a storage, with offset and strides in elements.

    Args:
        storage: filled before the tensor is finished.
        offset: the first element.
        shape: of the tensor.
        stride: elements from one index to the next, per axis.
        kind: dtype of the elements, as of ``Storage``.
        budget: for conversions.

    Raises:
        ValueError: offset, shape and stride are not integers, or reach beyond the storage.
    """

    def __init__(self, storage: Storage, offset: Any, shape: Any, stride: Any, kind: str, budget: CopyBudget):
        self.storage, self.kind, self.budget = storage, kind, budget
        self.dtype = _numpy_dtype(kind, storage.byteorder)
        self.shape, self.stride = checked_sizes(shape), checked_sizes(stride, "strides")
        (self.offset,) = checked_sizes((offset,), "an offset")
        if len(self.shape) != len(self.stride):
            raise ValueError(f"a tensor of shape {self.shape} has strides {shown(self.stride)}")
        self._check_bounds()

    def _check_bounds(self) -> None:
        count = math.prod(self.shape)
        last = sum((size - 1) * step for size, step in zip(self.shape, self.stride, strict=True))
        needed = (self.offset + last + 1) if count else 0
        # A stride of 0 makes a tensor of any size out of one element.
        available = self.storage.num_bytes // self.dtype.itemsize
        if max(needed, count) > available:
            raise ValueError(
                f"a tensor of shape {shown(self.shape)}, strides {shown(self.stride)} and offset "
                f"{self.offset} claims {max(needed, count)} elements but its storage holds {available}"
            )

    def set_state(self, state: Any) -> None:
        """Drops what torch 0.3 and earlier kept of a parameter's gradients.

        Raises:
            ValueError: the state is another one.
        """
        if (
            not isinstance(state, tuple)
            or len(state) != 3
            or not all(type(flag) is bool for flag in state[:2])
        ):
            raise ValueError(f"the pickle sets the state {shown(state)} of a tensor")

    def finished(self) -> np.ndarray:
        """The tensor as a read-only view; bfloat16, which NumPy lacks, becomes float32.

        Raises:
            ValueError: the file has no data for the storage.
        """
        if self.storage.data is None:
            raise ValueError("a tensor's storage is missing in the file")
        if not math.prod(self.shape):
            view = np.empty(self.shape, self.dtype)
        else:
            step = self.dtype.itemsize
            # Along an axis of one element any stride is allowed, and would overflow.
            strides = [step * (s if n > 1 else 1) for n, s in zip(self.shape, self.stride, strict=True)]
            view = np.ndarray(self.shape, self.dtype, self.storage.data, step * self.offset, strides)
        if self.kind == _BFLOAT16:
            self.budget.spend(4 * view.size)
            wide = view.astype(np.uint32)
            wide <<= 16
            view = wide.view(np.float32)
        view.flags.writeable = False
        return view


def parsed_identity(identity: Any) -> tuple[str, str, int, Any]:
    """Reads the persistent id by which a pickle refers to a storage.

    Args:
        identity: whatever the pickle says.

    Returns:
        Dtype as of ``Storage``, key, claimed number of elements, and None or the part of the storage that is
        meant: (key, first element, number of elements).

    Raises:
        ValueError: it is something else.
    """
    if isinstance(identity, tuple) and identity and identity[0] == "module":
        raise ValueError("holds a whole module with its code, expected a state_dict")
    if not isinstance(identity, tuple) or not 5 <= len(identity) <= 6 or identity[0] != "storage":
        raise ValueError(f"the pickle refers to {shown(identity)}, expected a storage")
    _, kind, key, _, count, *window = identity
    name = kind.name.rpartition(".")[2] if isinstance(kind, Global) else None
    if name == "UntypedStorage":
        dtype = "u1"
    elif name in _STORAGES:
        dtype = _STORAGES[name]
    else:
        raise ValueError(f"a storage of type {shown(kind)}")
    if not isinstance(key, str) or type(count) is not int or not 0 <= count < 1 << 60:
        raise ValueError(f"a storage with key {shown(key)} and {shown(count)} elements")
    return dtype, key, count, window[0] if window else None


def _numpy_dtype(kind: str, byteorder: str) -> np.dtype:
    name = "u2" if kind == _BFLOAT16 else kind
    return np.dtype(name if name == "?" else byteorder + name)


def _rebuild_tensor(arguments: tuple, budget: CopyBudget) -> PickledTensor:
    if len(arguments) < 4 or not isinstance(arguments[0], Storage):
        raise ValueError("broken pickle: a tensor without storage, offset, shape and stride")
    storage, offset, shape, stride = arguments[:4]
    return PickledTensor(storage, offset, shape, stride, storage.kind, budget)


def _rebuild_typed_tensor(arguments: tuple, budget: CopyBudget) -> PickledTensor:
    """Of dtypes that have no storage of their own."""
    if len(arguments) < 7:
        raise ValueError(f"broken pickle: a tensor of {len(arguments)} values, expected 7")
    storage, offset, shape, stride, _, _, dtype = arguments[:7]
    kind = dtype.name.rpartition(".")[2] if isinstance(dtype, Global) else ""
    if not isinstance(storage, Storage) or kind not in _DTYPES:
        raise ValueError(f"broken pickle: a tensor without storage, or of dtype {shown(dtype)}")
    return PickledTensor(storage, offset, shape, stride, _DTYPES[kind], budget)


def _rebuild_parameter(arguments: tuple, budget: CopyBudget) -> PickledTensor:
    if not arguments or not isinstance(arguments[0], PickledTensor):
        raise ValueError("broken pickle: a parameter without its tensor")
    return arguments[0]


def _size(arguments: tuple, budget: CopyBudget) -> tuple:
    return checked_sizes(arguments[0] if len(arguments) == 1 else None)


def _device(arguments: tuple, budget: CopyBudget) -> str:
    if not arguments or not isinstance(arguments[0], str):
        raise ValueError("broken pickle: a device without a name")
    return arguments[0]


def _torch_globals() -> dict[str, Global]:
    functions = [
        Global("torch._utils._rebuild_tensor", _rebuild_tensor),
        Global("torch._utils._rebuild_tensor_v2", _rebuild_tensor),
        Global("torch._utils._rebuild_tensor_v3", _rebuild_typed_tensor),
        Global("torch._utils._rebuild_parameter", _rebuild_parameter),
        Global("torch._utils._rebuild_parameter_with_state", _rebuild_parameter),
        Global("torch.nn.parameter.Parameter", _rebuild_parameter),
        Global("torch.Size", _size),
        Global("torch.device", _device),
        Global("torch.storage.UntypedStorage"),
    ]
    # Tensors on a GPU had storages of their own module before version 1.13.
    functions += [Global(f"{module}.{name}") for module in ("torch", "torch.cuda") for name in _STORAGES]
    functions += [Global(f"torch.{name}") for name in _DTYPES]
    return {function.name: function for function in functions}


TORCH_GLOBALS = _torch_globals()
