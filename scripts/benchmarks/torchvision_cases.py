"""PyTorch's convolution and torchvision's ops on the same inputs, where they are installed.

A process that imports PyTorch after TensorFlow can crash, so this module imports it at once, and not at all
where TensorFlow is there already.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from typing import Any

import op_cases
from absl import logging
from measuring import Case
from workload import HEIGHT, WIDTH


def _imported(name: str) -> Any:
    """The module, or None without it."""
    if name not in sys.modules and "tensorflow" in sys.modules:
        return None
    try:
        return importlib.import_module(name)
    except (ImportError, RuntimeError) as error:
        # RuntimeError: torchvision for GPUs beside torch without.
        logging.info("No rows of %s: %s", name, error)
        return None


_TORCH, _OPS = _imported("torch"), _imported("torchvision.ops")


def all_cases() -> Iterator[Case]:
    """Rows beside those of the package's ops; none without torchvision."""
    if _TORCH is not None and _OPS is not None:
        yield from _suppression(_TORCH, _OPS)
        yield from _pooling(_TORCH, _OPS)


def convolution(calibrator: Case) -> Iterator[Case]:
    """The calibrator's convolution by PyTorch; none without it."""
    torch = _TORCH
    if torch is None:
        return
    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[calibrator.dtype]
    settings: dict[str, Any] = {"dtype": dtype, "memory_format": torch.channels_last}
    x, kernel = torch.randn(1, 256, 200, 336).to(**settings), torch.randn(256, 256, 3, 3).to(**settings)

    def convolve() -> None:
        with torch.no_grad():
            torch.nn.functional.conv2d(x, kernel, padding=1)

    name = f"the same convolution{op_cases.PEER}PyTorch"
    yield Case(name, convolve, calibrator.operations, calibrator.dtype)


def _suppression(torch: Any, ops: Any) -> Iterator[Case]:
    for count in (4000, 10000):
        boxes, scores = map(
            torch.from_numpy, (op_cases.spread_boxes(count, 400.0), op_cases.scores_of(count))
        )
        name = f"NMS, {count} spread boxes{op_cases.PEER}torchvision"
        yield Case(name, lambda boxes=boxes, scores=scores: ops.nms(boxes, scores, 0.7))
    boxes, scores = op_cases.spread_boxes(1000, 400.0), op_cases.class_scores(500)[0]
    box, one_class = (scores > 0.05).nonzero()
    args = [torch.from_numpy(array) for array in (boxes[box], scores[box, one_class], one_class)]
    name = f"class-wise NMS, 500 scores above 0.05{op_cases.PEER}torchvision"
    yield Case(name, lambda: ops.batched_nms(*args, 0.5)[:100])


def _pooling(torch: Any, ops: Any) -> Iterator[Case]:
    from cascade_tf.ops import assign_levels

    boxes = op_cases.spread_boxes(1000, 800.0)
    levels = assign_levels(boxes[None], len(op_cases.STRIDES)).numpy()[0]
    calls = []
    for level, stride in enumerate(op_cases.STRIDES):
        shape = (1, op_cases.CHANNELS, HEIGHT // stride, WIDTH // stride)
        feature = torch.randn(shape, requires_grad=True)
        calls.append((feature, [torch.from_numpy(boxes[levels == level])], 7, 1 / stride, 2, True))
    upstream = [torch.randn(int((levels == level).sum()), op_cases.CHANNELS, 7, 7) for level in range(4)]

    def forward() -> Any:
        return [ops.roi_align(*call) for call in calls]

    def without_gradient() -> None:
        with torch.no_grad():
            forward()

    pooled = forward()

    def backward() -> None:
        torch.autograd.grad(pooled, [call[0] for call in calls], upstream, retain_graph=True)

    yield Case(f"RoIAlign forward, float32{op_cases.PEER}torchvision", without_gradient)
    yield Case(f"RoIAlign backward, float32{op_cases.PEER}torchvision", backward)
