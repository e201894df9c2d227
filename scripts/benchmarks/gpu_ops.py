"""Times the kernels for GPUs beside torchvision's CUDA ops in the same run; needs no TensorFlow.

    python -m scripts.benchmarks.gpu_ops
    python -m scripts.benchmarks.gpu_ops --rounds 30 --json gpu_ops.json

A figure is the time of a call among twenty that wait in the GPU's queue, so that the host's launches are not
in it; that of a single call on an idle GPU stands beside it. (torchvision's NMS waits for the GPU itself, and
has its launches in both.) Cases of a group take turns, figures are medians over the rounds.

The share of memory bandwidth is that of the least traffic in the speed of a copy within the same rounds: the
cells that the boxes touch and the result forward, the result's gradient and the whole maps' backward.
torchvision has no RoIAlign for bfloat16: that of float16, which moves as much, is its peer. Results are
compared in float32, both directions, before anything is timed. A case that fails is a row that says why.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torchvision

from scripts.benchmarks import launchers
from scripts.benchmarks.gpu_cases import CHANNELS, LEVELS, STRIDES, map_shapes, random_boxes, touched_cells
from scripts.benchmarks.gpu_timing import Case, Report, measure, prepared
from scripts.benchmarks.kernel_calls import RoiAlign, Suppression

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
CALLS = 20  # between two events
Maker = tuple[str, Callable[[], list[Case]]]


def main() -> None:
    """Runs the program."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", default="", help="file for the figures")
    arguments = parser.parse_args()
    library = launchers.Launchers(launchers.compile_launchers(host=False), launchers.TorchMemory())
    about = {"card": torch.cuda.get_device_name(), "cuda": torch.version.cuda}
    about["torchvision"] = torchvision.__version__
    print(", ".join(f"{key} {value}" for key, value in about.items()) + f"\n\n{Report.HEADING}")
    report = Report(arguments.json, about)
    for makers in groups(library):
        cases = [copy_case(), *prepared(makers)]
        measure(cases, among_many, alone, arguments.rounds)
        report.add(cases)
        del cases  # the next group has the memory
    sys.exit(report.failed)


def among_many(call: Callable[[], Any]) -> float:
    """Milliseconds on the GPU of a call; the GPU sleeps until all of them are in its queue."""
    torch.cuda._sleep(20_000_000)  # some ten milliseconds
    return _between_events(call, CALLS)


def alone(call: Callable[[], Any]) -> float:
    """Milliseconds of a single call on an idle GPU, with what its launch takes."""
    torch.cuda.synchronize()
    return _between_events(call, 1)


def _between_events(call: Callable[[], Any], calls: int) -> float:
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(calls):
        call()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / calls


def groups(library: launchers.Launchers) -> list[list[Maker]]:
    """Makers of cases that are measured together, each with a name."""
    found: list[list[Maker]] = []
    for count in (1000, 8000):
        makers = [functools.partial(pooling_cases, library, count, element) for element in DTYPES]
        found.append([(pooling_name(count, one), make) for one, make in zip(DTYPES, makers, strict=True)])
    for count in (4000, 100_000):
        found.append([(f"NMS of {count} boxes", functools.partial(suppression_cases, library, count))])
    return found


def copy_case() -> Case:
    """A copy that no cache holds: the machine's own bandwidth."""
    source = torch.zeros(1 << 28, device="cuda")
    target = torch.empty_like(source)
    return Case("copy of 1 GiB", lambda: target.copy_(source), 2.0 * source.nbytes)


def pooling_name(count: int, element: str) -> str:
    """Of the cases of one number of RoIs and one type."""
    return f"RoIAlign, {count} RoIs, {element}"


def pooling_cases(library: launchers.Launchers, count: int, element: str) -> list[Case]:
    """RoIAlign of boxes of all sizes on four levels, and its gradient; torchvision's if it has the type."""
    rng = np.random.default_rng(count)
    boxes, levels = random_boxes(rng, count)
    maps = [rng.standard_normal(shape, np.float32) for shape in map_shapes()]
    gradient = rng.standard_normal((count, 7, 7, CHANNELS), np.float32)
    call = RoiAlign(
        library,
        map_shapes(),
        boxes[None],
        levels[None],
        strides=STRIDES,
        output_size=(7, 7),
        element=element,
    )
    features, upstream = [call.send(one) for one in maps], call.send(gradient)
    width = 4.0 if element == "float32" else 2.0
    pooled_size = count * 49 * CHANNELS
    forward_bytes = width * (touched_cells(boxes, levels) * CHANNELS + pooled_size)
    backward_bytes = width * (sum(one.size for one in maps) + pooled_size)
    name = pooling_name(count, element)
    peer = pooling_name(count, "float16" if element == "bfloat16" else element)
    cases = [
        Case(f"{name}, forward", lambda: call.pool(features), forward_bytes, f"{peer}, forward, torchvision"),
        Case(
            f"{name}, backward",
            lambda: call.spread(upstream),
            backward_bytes,
            f"{peer}, backward, torchvision",
        ),
    ]
    if element == "bfloat16":
        return cases
    of_level = [np.flatnonzero(levels == level) for level in range(LEVELS)]
    other = TorchvisionPooling(maps, boxes, gradient, of_level, DTYPES[element])
    if element == "float32":
        compare(call, features, upstream, other, of_level)
    return [
        *cases,
        Case(f"{name}, forward, torchvision", other.pool, forward_bytes),
        Case(f"{name}, backward, torchvision", other.spread, backward_bytes),
    ]


class TorchvisionPooling:
    """The same by torchvision, which takes each level by itself with its own boxes.

    Args:
        maps: [1, h, w, C] of each level.
        boxes: [R, 4] of all levels.
        gradient: [R, 7, 7, C], of the result.
        of_level: indices of the boxes of each level.
        dtype: of the maps; boxes are rounded to it, as torchvision wants.
    """

    def __init__(
        self,
        maps: list[np.ndarray],
        boxes: np.ndarray,
        gradient: np.ndarray,
        of_level: list[np.ndarray],
        dtype: torch.dtype,
    ) -> None:
        def channels_first(array: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(array).to("cuda", dtype).permute(0, 3, 1, 2).contiguous()

        self._maps = [channels_first(one).requires_grad_() for one in maps]
        # Of image 0, in the form that is converted no further.
        rois = [np.pad(boxes[index], ((0, 0), (1, 0))) for index in of_level]
        self._rois = [torch.from_numpy(one).to("cuda", dtype) for one in rois]
        self._upstream = [channels_first(gradient[index]) for index in of_level]
        self._recorded = self._pool()

    def pool(self) -> list[torch.Tensor]:
        """[R of the level, C, 7, 7] of each level."""
        with torch.no_grad():
            return self._pool()

    def spread(self) -> tuple[torch.Tensor, ...]:
        """The gradient in each map, [1, C, h, w]."""
        return torch.autograd.grad(self._recorded, self._maps, self._upstream, retain_graph=True)

    def _pool(self) -> list[torch.Tensor]:
        return [
            torchvision.ops.roi_align(one, rois, 7, 1 / stride, 2, aligned=True)
            for one, rois, stride in zip(self._maps, self._rois, STRIDES, strict=True)
        ]


def compare(
    call: RoiAlign, features: list[Any], upstream: Any, other: TorchvisionPooling, of_level: list[np.ndarray]
) -> None:
    """Raises AssertionError where the two libraries differ by more than rounding, forward or backward.

    For float32 alone: torchvision rounds the boxes to the maps' type.
    """
    call.pool(features)
    own = call.fetch(call.output)[0]
    for index, one in zip(of_level, other.pool(), strict=True):
        np.testing.assert_allclose(own[index], one.permute(0, 2, 3, 1).cpu().numpy(), rtol=1e-3, atol=1e-3)
    call.spread(upstream)
    for gradient, one in zip(call.gradients, other.spread(), strict=True):
        expected = one.permute(0, 2, 3, 1).cpu().numpy()
        tolerance = 1e-4 * float(np.abs(expected).max())
        np.testing.assert_allclose(call.fetch(gradient), expected, rtol=1e-3, atol=tolerance)


def suppression_cases(library: launchers.Launchers, count: int) -> list[Case]:
    """NMS of boxes of one class; all that survive, and the best thousand as a detector takes them."""
    rng = np.random.default_rng(2)
    boxes, _ = random_boxes(rng, count)
    scores = rng.permutation(count).astype(np.float32) / count
    on_gpu = torch.from_numpy(boxes).cuda(), torch.from_numpy(scores).cuda()
    expected = torchvision.ops.nms(*on_gpu, 0.5).cpu().numpy()
    peer = f"NMS of {count} boxes, torchvision"
    cases = []
    for kept in (count, 1000):
        call = Suppression(
            library,
            boxes[None, :, None],
            scores[None, :, None],
            iou_threshold=0.5,
            score_threshold=-1.0,
            max_outputs=kept,
        )
        call.launch()
        found, _, _, number = call.results()
        wanted = expected[:kept]
        same = len(np.intersect1d(found[0, : number[0]], wanted)) / len(wanted)
        if same < 0.999:  # an IoU at the threshold may be rounded otherwise
            raise AssertionError(f"{same:.2%} of torchvision's boxes were kept")
        cases.append(Case(f"NMS of {count} boxes, at most {kept} kept", call.launch, 0.0, peer))
    return [*cases, Case(peer, functools.partial(torchvision.ops.nms, *on_gpu, 0.5))]


if __name__ == "__main__":
    main()
