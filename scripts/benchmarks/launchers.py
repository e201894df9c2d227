"""The kernels for GPUs outside of TensorFlow: their launchers, called through ctypes with arrays.

They run on a GPU, with PyTorch's or CuPy's memory, or as loops on the host, where the same sources are
compiled by the C++ compiler. Neither TensorFlow nor the package is imported: a machine with a GPU may have
none.
"""

# ruff: noqa: D102  (what the methods of a memory do stands in Memory)
from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
ELEMENTS = {"float32": 0, "float16": 1, "bfloat16": 2}


def builder() -> Any:
    """A `CudaBuilder` of the checkout's sources."""
    build, cuda_build = _load("build"), _load("cuda_build")
    return cuda_build.CudaBuilder(build, ROOT / "custom_ops")


def compile_launchers(*, host: bool) -> Path:
    """The library in the user's cache, compiled if it is not there.

    Raises:
        BuildError: no compiler.
    """
    return builder().compile_launchers(_load("build").cache_folder(), host=host)


def has_nvcc() -> bool:
    """Whether the kernels can be compiled for a GPU here."""
    return _load("cuda_build").find_nvcc() is not None


def _load(name: str) -> ModuleType:
    """A module of the package that needs the standard library only, without the package."""
    full_name = f"_launchers_{name}"
    if full_name not in sys.modules:
        path = ROOT / "cascade_tf" / "ops" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(full_name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[full_name] = module
        spec.loader.exec_module(module)
    return sys.modules[full_name]


def to_bits(values: np.ndarray, element: str) -> np.ndarray:
    """Float32 numbers as elements in memory: float32 itself, or rounded and as uint16."""
    values = np.ascontiguousarray(values, np.float32)
    if element == "float32":
        return values
    if element == "float16":
        return values.astype(np.float16).view(np.uint16)
    bits = values.view(np.uint32)
    rounded = bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))
    kept = np.where(np.isnan(values), bits | np.uint32(0x400000), rounded)
    return (kept >> np.uint32(16)).astype(np.uint16)


def from_bits(bits: np.ndarray, element: str) -> np.ndarray:
    """The opposite of `to_bits`."""
    if element == "float32":
        return bits
    if element == "float16":
        return bits.view(np.float16).astype(np.float32)
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


class Memory(Protocol):
    """Where kernels read and write; `Any` is an array of the framework that the memory comes from."""

    def send(self, array: np.ndarray) -> Any:
        """A copy of an array."""

    def room(self, shape: Sequence[int], dtype: Any) -> Any:
        """An array with something in it that a kernel has to overwrite."""

    def fetch(self, array: Any) -> np.ndarray:
        """A copy on the host, when all work before is done."""

    def pointer(self, array: Any) -> int:
        """Where an array begins."""

    def stream(self) -> int:
        """The CUDA stream that kernels are to run in."""

    def another_stream(self) -> AbstractContextManager[Any]:
        """While it lasts, copies and kernels go to a stream of its own."""


class HostMemory(Memory):
    """NumPy's arrays, for the library that runs on the host."""

    def send(self, array: np.ndarray) -> np.ndarray:
        return np.array(array, order="C")

    def room(self, shape: Sequence[int], dtype: Any) -> np.ndarray:
        return _something(shape, dtype)

    def fetch(self, array: np.ndarray) -> np.ndarray:
        return array

    def pointer(self, array: np.ndarray) -> int:
        return array.ctypes.data

    def stream(self) -> int:
        return 0

    def another_stream(self) -> AbstractContextManager[Any]:
        return nullcontext()


class TorchMemory(Memory):
    """PyTorch's tensors on its current GPU, and its current stream; an array is (bytes, dtype, shape).

    With ``CASCADE_TF_UNWRITTEN=1`` rooms are left as they are allocated, so that a sanitizer tells who reads
    them before they are written.
    """

    def __init__(self) -> None:
        import torch

        if not torch.cuda.is_available():
            raise ImportError("PyTorch sees no GPU")
        self._torch = torch

    def send(self, array: np.ndarray) -> Any:
        plain = np.array(array, order="C")
        return self._torch.from_numpy(plain.view(np.uint8).reshape(-1)).cuda(), plain.dtype, plain.shape

    def room(self, shape: Sequence[int], dtype: Any) -> Any:
        if os.environ.get("CASCADE_TF_UNWRITTEN") != "1":
            return self.send(_something(shape, dtype))
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        return self._torch.empty(size, dtype=self._torch.uint8, device="cuda"), np.dtype(dtype), tuple(shape)

    def fetch(self, array: Any) -> np.ndarray:
        data, dtype, shape = array
        return data.cpu().numpy().view(dtype).reshape(shape)

    def pointer(self, array: Any) -> int:
        return array[0].data_ptr()

    def stream(self) -> int:
        return self._torch.cuda.current_stream().cuda_stream

    def another_stream(self) -> AbstractContextManager[Any]:
        return self._torch.cuda.stream(self._torch.cuda.Stream())


class CupyMemory(Memory):
    """CuPy's arrays, on its current stream."""

    def __init__(self) -> None:
        import cupy

        if cupy.cuda.runtime.getDeviceCount() < 1:
            raise ImportError("CuPy sees no GPU")
        # An allocation for each array, not a part of a larger one, where a sanitizer sees no bounds.
        cupy.cuda.set_allocator(None)
        self._cupy = cupy

    def send(self, array: np.ndarray) -> Any:
        return self._cupy.asarray(np.ascontiguousarray(array))

    def room(self, shape: Sequence[int], dtype: Any) -> Any:
        return self.send(_something(shape, dtype))

    def fetch(self, array: Any) -> np.ndarray:
        return self._cupy.asnumpy(array)

    def pointer(self, array: Any) -> int:
        return array.data.ptr

    def stream(self) -> int:
        return self._cupy.cuda.get_current_stream().ptr

    def another_stream(self) -> AbstractContextManager[Any]:
        return self._cupy.cuda.Stream(non_blocking=True)


def _something(shape: Sequence[int], dtype: Any) -> np.ndarray:
    count = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.full(count, 0xA5, np.uint8).view(dtype).reshape(shape)


def gpu_memory() -> TorchMemory | CupyMemory:
    """That of the first framework that sees a GPU.

    Raises:
        ImportError: none does; the message says why.
    """
    reasons = []
    for kind in (TorchMemory, CupyMemory):
        try:
            return kind()
        except Exception as error:  # each framework has errors of its own for a machine without a driver
            reasons.append(f"{kind.__name__}: {str(error).splitlines()[0] if str(error) else type(error)}")
    raise ImportError("no GPU: " + "; ".join(reasons))


class Launchers:
    """Calls the launchers of a library; what they take and give are arrays of a `Memory`.

    Args:
        library: path of what `compile_launchers` makes.
        memory: where the library's kernels read and write.
    """

    def __init__(self, library: Path, memory: Memory) -> None:
        self.memory = memory
        self._library = ctypes.CDLL(str(library))

    def run_backwards(self, backwards: bool) -> None:
        """Lets the host's threads and blocks take turns in the opposite order."""
        self._library.cascade_tf_host_backwards(int(backwards))

    def pointer(self, array: Any) -> int:
        """Where an array begins, for a structure."""
        return self.memory.pointer(array)

    def argument(self, array: Any) -> ctypes.c_void_p:
        """The same as an argument."""
        return ctypes.c_void_p(self.pointer(array))

    def workspace(self, name: str, *arguments: Any) -> Any:
        """Room of as many bytes as a function of the library says."""
        function = self._library[name]
        function.restype = ctypes.c_int64
        return self.memory.room([function(*arguments)], np.uint8)

    def launch(self, name: str, *arguments: Any) -> None:
        """Calls a launcher; raises RuntimeError with CUDA's error code."""
        error = self._library[name](*arguments, ctypes.c_void_p(self.memory.stream()))
        if error:
            raise RuntimeError(f"{name}: CUDA error {error}")
