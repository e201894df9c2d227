"""Calls of the kernels for GPUs outside of TensorFlow: what their launchers take, as arrays."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from scripts.benchmarks.launchers import ELEMENTS, Launchers, from_bits, to_bits

_MAX_LEVELS = 16


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


class RoiAlign:
    """RoIAlign of several levels, and its gradient: calls that can be launched again and again.

    Args:
        launchers: of the library that runs it.
        shapes: (B, h, w, C) of the map of each level.
        boxes: [B, R, 4] float32.
        levels: [B, R] int32.
        strides: pixels per cell of each level.
        output_size: (height, width) in bins.
        sampling_ratio: see `cascade_tf.ops.roi_align`, as the next two.
        aligned: see there.
        map_sizes: see there.
        element: type of the maps and the results in memory.
    """

    def __init__(
        self,
        launchers: Launchers,
        shapes: Sequence[Sequence[int]],
        boxes: np.ndarray,
        levels: np.ndarray,
        *,
        strides: Sequence[float],
        output_size: tuple[int, int],
        sampling_ratio: int = 2,
        aligned: bool = True,
        map_sizes: np.ndarray | None = None,
        element: str = "float32",
    ) -> None:
        self._launchers, self._element, self._shapes = launchers, element, shapes
        memory = launchers.memory
        self._inputs = [memory.send(one) for one in (boxes, levels, map_sizes) if one is not None]
        call = _RoiAlignCall(*map(memory.pointer, self._inputs))
        for i, (shape, stride) in enumerate(zip(shapes, strides, strict=True)):
            call.heights[i], call.widths[i], call.strides[i] = shape[1], shape[2], stride
        call.batch, call.channels, call.num_levels = shapes[0][0], shapes[0][3], len(shapes)
        call.rois = boxes.shape[1]
        call.element_type, call.aligned = ELEMENTS[element], int(aligned)
        call.output_height, call.output_width = output_size
        call.sampling_ratio = sampling_ratio
        self._call = call
        self.output = self.room((call.batch, call.rois, *output_size, call.channels))
        self.gradients = [self.room(shape) for shape in shapes]
        self._workspace = launchers.workspace("cascade_tf_roi_align_grad_workspace", ctypes.byref(call))

    def room(self, shape: Sequence[int]) -> Any:
        """Memory for so many elements."""
        return self._launchers.memory.room(shape, np.float32 if self._element == "float32" else np.uint16)

    def send(self, values: np.ndarray) -> Any:
        """Float32 numbers as elements in the kernels' memory."""
        return self._launchers.memory.send(to_bits(values, self._element))

    def fetch(self, array: Any) -> np.ndarray:
        """The opposite of `send`."""
        return from_bits(self._launchers.memory.fetch(array), self._element)

    def pool(self, features: Sequence[Any]) -> None:
        """Launches the pooling of what `send` gave; the result goes to ``output``."""
        for i, feature in enumerate(features):
            self._call.features[i] = self._launchers.pointer(feature)
        call = ctypes.byref(self._call)
        self._launchers.launch("cascade_tf_roi_align", call, self._launchers.argument(self.output))

    def spread(self, upstream: Any, others: Sequence[Any] = ()) -> None:
        """Launches the gradient, added to ``others`` if there are any; the result goes to ``gradients``."""
        for i, gradient in enumerate(self.gradients):
            self._call.gradients[i] = self._launchers.pointer(gradient)
            self._call.features[i] = self._launchers.pointer(others[i]) if others else None
        arguments = [self._launchers.argument(one) for one in (upstream, self._workspace)]
        self._launchers.launch("cascade_tf_roi_align_grad", ctypes.byref(self._call), *arguments)


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


class _CropMasksCall(ctypes.Structure):
    """CascadeTfCropMasks of custom_ops/mask_targets/mask_targets_gpu.h."""

    _fields_ = (
        ("masks", ctypes.c_void_p),
        ("image_size", ctypes.c_void_p),
        ("boxes", ctypes.c_void_p),
        ("object_index", ctypes.c_void_p),
        ("valid", ctypes.c_void_p),
        ("targets", ctypes.c_void_p),
        ("batch", ctypes.c_int64),
        ("objects", ctypes.c_int64),
        ("height", ctypes.c_int64),
        ("row_bytes", ctypes.c_int64),
        ("num_boxes", ctypes.c_int64),
        ("output_size", ctypes.c_int),
    )


def crop_masks(launchers: Launchers, inputs: Sequence[np.ndarray], output_size: int) -> np.ndarray:
    """Targets [B, S, M, M] of packed masks, sizes, boxes, object indices and which are valid."""
    memory = launchers.memory
    masks, boxes = inputs[0], inputs[2]
    sent = [memory.send(one) for one in inputs]
    targets = memory.room((*boxes.shape[:2], output_size, output_size), np.float32)
    call = _CropMasksCall(*map(memory.pointer, (*sent, targets)))
    call.batch, call.objects, call.height, call.row_bytes = masks.shape
    call.num_boxes, call.output_size = boxes.shape[1], output_size
    launchers.launch("cascade_tf_crop_masks", ctypes.byref(call))
    return memory.fetch(targets)


class _PasteMasksCall(ctypes.Structure):
    """CascadeTfPasteMasks of custom_ops/paste_masks/paste_masks_gpu.h."""

    _fields_ = (
        ("masks", ctypes.c_void_p),
        ("boxes", ctypes.c_void_p),
        ("pasted", ctypes.c_void_p),
        ("count", ctypes.c_int64),
        ("mask_height", ctypes.c_int),
        ("mask_width", ctypes.c_int),
        ("height", ctypes.c_int),
        ("width", ctypes.c_int),
        ("threshold", ctypes.c_float),
    )


def paste_masks(
    launchers: Launchers,
    masks: np.ndarray,
    boxes: np.ndarray,
    image_size: tuple[int, int],
    threshold: float = 0.5,
) -> np.ndarray:
    """[N, H, W] bool of masks [N, P, Q] and boxes [N, 4]."""
    memory = launchers.memory
    sent = memory.send(masks), memory.send(boxes)
    pasted = memory.room((len(masks), *image_size), np.uint8)
    call = _PasteMasksCall(*map(memory.pointer, (*sent, pasted)))
    call.count, call.mask_height, call.mask_width = masks.shape
    call.height, call.width = image_size
    call.threshold = threshold
    launchers.launch("cascade_tf_paste_masks", ctypes.byref(call))
    return memory.fetch(pasted).astype(bool)
