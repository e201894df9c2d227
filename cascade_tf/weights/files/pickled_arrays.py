"""What NumPy's pickles call, rebuilt from plain values."""

from __future__ import annotations

from typing import Any

import numpy as np

from cascade_tf.weights.files.pickle_stream import RawString
from cascade_tf.weights.files.pickle_values import Global, Placeholder
from cascade_tf.weights.files.raw_arrays import CopyBudget, array_from_bytes, plain_dtype, shown


class PickledDtype(Placeholder):
    """A ``numpy.dtype`` that a pickle describes: a name first, then as its state the order of bytes."""

    def __init__(self, name: Any):
        self.value = plain_dtype(name)

    def set_state(self, state: Any) -> None:
        """Takes (version, byte order, subarray, names, fields, ...).

        Raises:
            ValueError: the dtype has fields or subarrays, or the state is none.
        """
        if not isinstance(state, tuple) or len(state) < 5 or not _is_one_of(state[1], "<>|="):
            raise ValueError(f"broken pickle: the state {shown(state)} of a dtype")
        if any(part is not None for part in state[2:5]):
            raise ValueError("holds an array with fields or of arrays, expected numbers")
        self.value = self.value.newbyteorder(state[1])

    def finished(self) -> str:
        """The dtype's name."""
        return self.value.name


class PickledArray(Placeholder):
    """A ``numpy.ndarray`` that a pickle makes empty and fills through its state."""

    def __init__(self, budget: CopyBudget):
        self.budget = budget
        self.value: np.ndarray | None = None

    def set_state(self, state: Any) -> None:
        """Takes (version, shape, dtype, Fortran order, data).

        Raises:
            ValueError: the data is not what shape and dtype claim, or the state is none.
        """
        if self.value is not None or not isinstance(state, tuple) or len(state) != 5:
            raise ValueError("broken pickle: an array is filled twice, or with something unknown")
        _, shape, dtype, fortran_order, data = state
        self.value = _array(data, dtype, shape, fortran_order, self.budget)

    def finished(self) -> np.ndarray:
        """The array.

        Raises:
            ValueError: the pickle never filled it.
        """
        if self.value is None:
            raise ValueError("broken pickle: an array without data")
        return self.value


def _array(data: Any, dtype: Any, shape: Any, fortran_order: Any, budget: CopyBudget) -> np.ndarray:
    if not isinstance(dtype, PickledDtype):
        raise ValueError(f"broken pickle: an array whose dtype is a {type(dtype).__name__}")
    return array_from_bytes(_bytes(data, budget), dtype.value, shape, bool(fortran_order))


def _bytes(data: Any, budget: CopyBudget) -> bytes | memoryview:
    """The bytes of an array; Python 2 knew no difference between bytes and text."""
    if isinstance(data, RawString) and data.encoding != "utf-8":
        return data.data
    if isinstance(data, bytes):
        return data
    if isinstance(data, str):
        return _latin1(data, budget)
    raise ValueError(f"broken pickle: the data of an array is a {type(data).__name__}, expected bytes")


def _latin1(text: str, budget: CopyBudget) -> bytes:
    budget.spend(len(text))
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError("broken pickle: text that stands for bytes is not latin-1") from None


def _is_one_of(value: Any, letters: str) -> bool:
    return isinstance(value, str) and len(value) == 1 and value in letters


def _reconstruct(arguments: tuple, budget: CopyBudget) -> PickledArray:
    cls = arguments[0] if len(arguments) == 3 else None
    if not isinstance(cls, Global) or cls.name != "numpy.ndarray":
        raise ValueError(f"the pickle makes an array of the class {shown(cls)}, expected numpy.ndarray")
    return PickledArray(budget)


def _dtype(arguments: tuple, budget: CopyBudget) -> PickledDtype:
    return PickledDtype(arguments[0] if arguments else None)


def _scalar(arguments: tuple, budget: CopyBudget) -> Any:
    if len(arguments) != 2:
        raise ValueError(f"broken pickle: a NumPy scalar from {len(arguments)} values, expected 2")
    return _array(arguments[1], arguments[0], (), False, budget)[()]


def _from_buffer(arguments: tuple, budget: CopyBudget) -> PickledArray:
    if len(arguments) != 4 or not _is_one_of(arguments[3], "CF"):
        raise ValueError("broken pickle: an array from a buffer, without data, dtype, shape and order")
    data, dtype, shape, order = arguments
    array = PickledArray(budget)
    array.set_state((1, shape, dtype, order == "F", data))
    return array


def _encode(arguments: tuple, budget: CopyBudget) -> bytes:
    """Python 3 writes bytes this way for Python 2."""
    text, encoding = arguments if len(arguments) == 2 else (None, None)
    if isinstance(text, RawString) and text.encoding == "utf-8":
        text = text.decoded()
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise ValueError(
            "the pickle encodes something other than bytes in latin-1, which no checkpoint needs"
        )
    return _latin1(text, budget)


def _functions() -> list[Global]:
    functions = [Global("numpy.ndarray"), Global("numpy.dtype", _dtype), Global("_codecs.encode", _encode)]
    # NumPy 2 moved its functions; the files of NumPy 1 go on naming the old place.
    for core in ("numpy.core", "numpy._core"):
        functions += [
            Global(f"{core}.multiarray._reconstruct", _reconstruct),
            Global(f"{core}.multiarray.scalar", _scalar),
            Global(f"{core}.numeric._frombuffer", _from_buffer),
        ]
    return functions


NUMPY_GLOBALS = {function.name: function for function in _functions()}
