"""The kernels for GPUs outside of TensorFlow: their launchers, called through ctypes with arrays.

They run on a GPU, with PyTorch's or CuPy's memory, or as loops on the host, where the same sources are
compiled by the C++ compiler. Neither TensorFlow nor the package is imported: a machine with a GPU may have
none.
"""

# ruff: noqa: D102  (what the methods of a memory do stands in Memory)
from __future__ import annotations

import ctypes
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
ELEMENTS = {"float32": 0, "float16": 1, "bfloat16": 2}
_MAX_LEVELS = 16


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


class TorchMemory(Memory):
    """PyTorch's tensors on its current GPU, and its current stream; an array is (bytes, dtype, shape)."""

    def __init__(self) -> None:
        import torch

        if not torch.cuda.is_available():
            raise ImportError("PyTorch sees no GPU")
        self._torch = torch

    def send(self, array: np.ndarray) -> Any:
        plain = np.array(array, order="C")
        return self._torch.from_numpy(plain.view(np.uint8).reshape(-1)).cuda(), plain.dtype, plain.shape

    def room(self, shape: Sequence[int], dtype: Any) -> Any:
        return self.send(_something(shape, dtype))

    def fetch(self, array: Any) -> np.ndarray:
        data, dtype, shape = array
        return data.cpu().numpy().view(dtype).reshape(shape)

    def pointer(self, array: Any) -> int:
        return array[0].data_ptr()

    def stream(self) -> int:
        return self._torch.cuda.current_stream().cuda_stream


class CupyMemory(Memory):
    """CuPy's arrays, on its current stream."""

    def __init__(self) -> None:
        import cupy

        if cupy.cuda.runtime.getDeviceCount() < 1:
            raise ImportError("CuPy sees no GPU")
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


class _RoiAlignCall(ctypes.Structure):
    """CascadeTfRoiAlign of custom_ops/roi_align/roi_align_gpu.h."""

    _fields_ = (
        ("boxes", ctypes.c_void_p),
        ("levels", ctypes.c_void_p),
        ("map_sizes", ctypes.c_void_p),
        ("features", ctypes.c_void_p * _MAX_LEVELS),
        ("gradients", ctypes.c_void_p * _MAX_LEVELS),
        ("heights", ctypes.c_int * _MAX_LEVELS),
        ("widths", ctypes.c_int * _MAX_LEVELS),
        ("strides", ctypes.c_float * _MAX_LEVELS),
        ("batch", ctypes.c_int64),
        ("rois", ctypes.c_int64),
        ("channels", ctypes.c_int64),
        ("element_type", ctypes.c_int),
        ("num_levels", ctypes.c_int),
        ("output_height", ctypes.c_int),
        ("output_width", ctypes.c_int),
        ("sampling_ratio", ctypes.c_int),
        ("aligned", ctypes.c_int),
    )


class _NmsCall(ctypes.Structure):
    """CascadeTfNms of custom_ops/nms/nms_gpu.h."""

    _fields_ = (
        ("boxes", ctypes.c_void_p),
        ("scores", ctypes.c_void_p),
        ("box_index", ctypes.c_void_p),
        ("class_index", ctypes.c_void_p),
        ("selected_scores", ctypes.c_void_p),
        ("count", ctypes.c_void_p),
        ("batch", ctypes.c_int64),
        ("num_boxes", ctypes.c_int64),
        ("num_classes", ctypes.c_int64),
        ("box_sets", ctypes.c_int64),
        ("max_outputs", ctypes.c_int),
        ("iou_threshold", ctypes.c_float),
        ("score_threshold", ctypes.c_float),
        ("sigma", ctypes.c_float),
        ("gaussian", ctypes.c_int),
    )


class Suppression:
    """A call of hard or soft suppression that can be launched again and again.

    Args:
        launchers: of the library that runs it.
        boxes: [B, N, Q, 4] float32.
        scores: [B, N, K] float32.
        iou_threshold: see `cascade_tf.ops.batched_nms`, as the next two.
        score_threshold: see there.
        max_outputs: see there.
        method: "linear" or "gaussian" for soft suppression.
        sigma: of the Gaussian one.
    """

    def __init__(
        self,
        launchers: Launchers,
        boxes: np.ndarray,
        scores: np.ndarray,
        *,
        iou_threshold: float,
        score_threshold: float,
        max_outputs: int,
        method: str | None = None,
        sigma: float = 0.5,
    ) -> None:
        self._launchers, memory = launchers, launchers.memory
        batch = scores.shape[0]
        self._inputs = memory.send(boxes), memory.send(scores)
        self._outputs = [memory.room((batch, max_outputs), np.int32) for _ in range(2)]
        self._outputs.append(memory.room((batch, max_outputs), np.float32))
        self._outputs.append(memory.room((batch,), np.int32))
        self._call = _NmsCall(*map(memory.pointer, (*self._inputs, *self._outputs)))
        self._call.batch, self._call.num_boxes, self._call.num_classes = scores.shape
        self._call.box_sets, self._call.max_outputs = boxes.shape[2], max_outputs
        self._call.iou_threshold, self._call.score_threshold = iou_threshold, score_threshold
        self._call.sigma, self._call.gaussian = sigma, int(method == "gaussian")
        self._name = "cascade_tf_nms" if method is None else "cascade_tf_soft_nms"
        self._workspace = launchers.workspace(f"{self._name}_workspace", ctypes.byref(self._call))

    def launch(self) -> None:
        """Suppresses, without a wait."""
        self._launchers.launch(
            self._name, ctypes.byref(self._call), self._launchers.argument(self._workspace)
        )

    def results(self) -> list[np.ndarray]:
        """Box index, class index, score, count."""
        return [self._launchers.memory.fetch(one) for one in self._outputs]


class _MapPoolingCall(ctypes.Structure):
    """CascadeTfMapPooling of custom_ops/roi_pool/roi_pool_gpu.h."""

    _fields_ = (
        ("boxes", ctypes.c_void_p),
        ("features", ctypes.c_void_p),
        ("batch", ctypes.c_int64),
        ("rois", ctypes.c_int64),
        ("channels", ctypes.c_int64),
        ("height", ctypes.c_int),
        ("width", ctypes.c_int),
        ("output_height", ctypes.c_int),
        ("output_width", ctypes.c_int),
        ("stride", ctypes.c_float),
        ("pad_ratio", ctypes.c_float),
        ("inclusive_boxes", ctypes.c_int),
        ("element_type", ctypes.c_int),
    )


class MapPooling:
    """RoIPool or position-sensitive pooling of one map, and its gradient.

    Args:
        launchers: of the library that runs it.
        name: "roi_pool" or "ps_roi_pool".
        features: [B, h, w, C] float32, rounded to ``element``.
        boxes: [B, R, 4] float32.
        stride: pixels per cell.
        output_size: (height, width) in bins.
        pad_ratio: see `cascade_tf.ops.roi_pool`.
        inclusive_boxes: see there.
        element: type of the features and the results in memory.
    """

    def __init__(
        self,
        launchers: Launchers,
        name: str,
        features: np.ndarray,
        boxes: np.ndarray,
        *,
        stride: float,
        output_size: tuple[int, int],
        pad_ratio: float = 0.0,
        inclusive_boxes: bool = False,
        element: str = "float32",
    ) -> None:
        self._launchers, self._name, self._element = launchers, f"cascade_tf_{name}", element
        self._shape = features.shape
        memory = launchers.memory
        self._inputs = memory.send(boxes), memory.send(to_bits(features, element))
        call = _MapPoolingCall(*map(memory.pointer, self._inputs))
        call.batch, call.height, call.width, call.channels = features.shape
        call.rois = boxes.shape[1]
        call.output_height, call.output_width = output_size
        call.stride, call.pad_ratio, call.inclusive_boxes = stride, pad_ratio, int(inclusive_boxes)
        call.element_type = ELEMENTS[element]
        self._call = call

    def pooled(self, depth: int) -> np.ndarray:
        """[B, R, height, width, depth] float32."""
        call = self._call
        shape = (call.batch, call.rois, call.output_height, call.output_width, depth)
        output = self._room(shape)
        self._launchers.launch(self._name, ctypes.byref(call), self._launchers.argument(output))
        return from_bits(self._launchers.memory.fetch(output), self._element)

    def gradient(self, upstream: np.ndarray) -> np.ndarray:
        """In the features, float32."""
        call = ctypes.byref(self._call)
        sent = self._launchers.memory.send(to_bits(upstream, self._element))
        gradient = self._room(self._shape)
        workspace = self._launchers.workspace(f"{self._name}_grad_workspace", call)
        arguments = [self._launchers.argument(one) for one in (sent, gradient, workspace)]
        self._launchers.launch(f"{self._name}_grad", call, *arguments)
        return from_bits(self._launchers.memory.fetch(gradient), self._element)

    def _room(self, shape: Sequence[int]) -> Any:
        return self._launchers.memory.room(shape, np.float32 if self._element == "float32" else np.uint16)


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

    def roi_align_call(
        self,
        shapes: Sequence[Sequence[int]],
        boxes: Any,
        levels: Any,
        *,
        strides: Sequence[float],
        output_size: tuple[int, int],
        sampling_ratio: int = 2,
        aligned: bool = True,
        map_sizes: Any = None,
        element: str = "float32",
    ) -> Any:
        """What both directions of RoIAlign take: ``shapes`` of the maps, arrays, settings."""
        call = _RoiAlignCall(boxes=self.pointer(boxes), levels=self.pointer(levels))
        call.map_sizes = None if map_sizes is None else self.pointer(map_sizes)
        for i, (shape, stride) in enumerate(zip(shapes, strides, strict=True)):
            call.heights[i], call.widths[i], call.strides[i] = shape[1], shape[2], stride
        call.batch, call.channels, call.num_levels = shapes[0][0], shapes[0][3], len(shapes)
        call.element_type, call.aligned = ELEMENTS[element], int(aligned)
        call.output_height, call.output_width = output_size
        call.sampling_ratio = sampling_ratio
        return call

    def roi_align(self, call: Any, features: Sequence[Any], output: Any) -> None:
        """Fills ``output`` [B, R, height, width, C]; ``call.rois`` is set before."""
        for i, feature in enumerate(features):
            call.features[i] = self.pointer(feature)
        self.launch("cascade_tf_roi_align", ctypes.byref(call), self.argument(output))

    def roi_align_workspace(self, call: Any) -> Any:
        """Room for the gradient's own use."""
        return self.workspace("cascade_tf_roi_align_grad_workspace", ctypes.byref(call))

    def roi_align_gradient(
        self, call: Any, upstream: Any, gradients: Sequence[Any], workspace: Any, others: Sequence[Any] = ()
    ) -> None:
        """Fills ``gradients``, of the maps' shapes."""
        for i, gradient in enumerate(gradients):
            call.gradients[i] = self.pointer(gradient)
            call.features[i] = self.pointer(others[i]) if others else None
        arguments = (ctypes.byref(call), self.argument(upstream), self.argument(workspace))
        self.launch("cascade_tf_roi_align_grad", *arguments)

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
