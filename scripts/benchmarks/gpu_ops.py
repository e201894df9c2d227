"""Times the kernels for GPUs beside torchvision's CUDA ops in the same run; needs no TensorFlow.

    python -m scripts.benchmarks.gpu_ops
    python -m scripts.benchmarks.gpu_ops --rounds 30 --json gpu_ops.json

Every round calls each case once, between two events of its stream; figures are medians over the rounds. The
share of memory bandwidth is that of the least traffic, maps and results once each, in the speed of a copy
within the same rounds. The table names the card. Results are compared before anything is timed.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torchvision

from scripts.benchmarks import launchers
from scripts.benchmarks.kernel_calls import RoiAlign, Suppression

HEIGHT, WIDTH, CHANNELS, STRIDES = 800, 1344, 256, (4, 8, 16, 32)
GOAL = 0.7  # of torchvision's time
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass
class Case:
    """Something to time.

    Attributes:
        name: as the table shows it.
        call: launches it.
        least_bytes: what any implementation reads and writes; 0 where that says nothing.
        peer: name of torchvision's case for the same, or None.
        milliseconds: of each round.
    """

    name: str
    call: Callable[[], Any]
    least_bytes: float = 0.0
    peer: str | None = None
    milliseconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Over the rounds."""
        return statistics.median(self.milliseconds)


def main() -> None:
    """Runs the program."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", default="", help="file for the figures")
    arguments = parser.parse_args()
    library = launchers.Launchers(launchers.compile_launchers(host=False), launchers.TorchMemory())
    cases = [copy_case(), *pooling_cases(library), *suppression_cases(library)]
    for _ in range(3):
        for case in cases:
            case.call()
    for _ in range(arguments.rounds):
        for case in cases:
            case.milliseconds.append(milliseconds(case.call))
    report(cases, arguments.json)


def milliseconds(call: Callable[[], Any]) -> float:
    """Time on the GPU of one call."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    call()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end)


def copy_case() -> Case:
    """A copy that no cache holds: the machine's own bandwidth."""
    source = torch.zeros(1 << 28, device="cuda")
    target = torch.empty_like(source)
    return Case("copy of 1 GiB", lambda: target.copy_(source), 2.0 * source.nbytes)


def pooling_cases(library: launchers.Launchers) -> list[Case]:
    """RoIAlign of boxes of all sizes on four levels, and its gradient."""
    rng = np.random.default_rng(0)
    cases = []
    for count in (1000, 8000):
        boxes, levels = random_boxes(rng, count)
        for element in DTYPES:
            cases += pooling_of(library, boxes, levels, element)
    return cases


def pooling_of(
    library: launchers.Launchers, boxes: np.ndarray, levels: np.ndarray, element: str
) -> list[Case]:
    """Four cases: both directions by both libraries, whose results are compared."""
    shapes = [(1, HEIGHT // s, WIDTH // s, CHANNELS) for s in STRIDES]
    rng = np.random.default_rng(1)
    maps = [rng.standard_normal(shape, np.float32) for shape in shapes]
    call = RoiAlign(
        library, shapes, boxes[None], levels[None], strides=STRIDES, output_size=(7, 7), element=element
    )
    features = [call.send(one) for one in maps]
    call.pool(features)
    upstream = call.output
    # torchvision takes each level by itself, with its own boxes.
    peer_maps = [
        torch.from_numpy(one).to("cuda", DTYPES[element]).permute(0, 3, 1, 2).contiguous().requires_grad_()
        for one in maps
    ]
    of_level = [np.flatnonzero(levels == level) for level in range(len(STRIDES))]
    peer_boxes = [torch.from_numpy(boxes[index]).to("cuda", DTYPES[element]) for index in of_level]

    def peer_pool() -> list[torch.Tensor]:
        return [
            torchvision.ops.roi_align(one, [rois], 7, 1 / stride, 2, aligned=True)
            for one, rois, stride in zip(peer_maps, peer_boxes, STRIDES, strict=True)
        ]

    pooled = peer_pool()
    compare(call, of_level, pooled, element)
    peer_upstream = [one.detach() for one in pooled]
    width = 4.0 if element == "float32" else 2.0
    least = width * (sum(one.size for one in maps) + len(boxes) * 49 * CHANNELS)
    name = f"RoIAlign, {len(boxes)} RoIs, {element}"
    return [
        Case(f"{name}, forward", lambda: call.pool(features), least, f"{name}, forward, torchvision"),
        Case(f"{name}, forward, torchvision", peer_pool, least),
        Case(f"{name}, backward", lambda: call.spread(upstream), least, f"{name}, backward, torchvision"),
        Case(
            f"{name}, backward, torchvision",
            lambda: torch.autograd.grad(pooled, peer_maps, peer_upstream, retain_graph=True),
            least,
        ),
    ]


def compare(call: RoiAlign, of_level: list[np.ndarray], pooled: list[torch.Tensor], element: str) -> None:
    """Raises AssertionError where the two libraries differ by more than rounding.

    torchvision rounds the boxes to the maps' type, so that smaller types are not compared.
    """
    if element != "float32":
        return
    own = call.fetch(call.output)[0]
    for index, one in zip(of_level, pooled, strict=True):
        expected = one.detach().permute(0, 2, 3, 1).cpu().numpy()
        np.testing.assert_allclose(own[index], expected, rtol=1e-3, atol=1e-3)


def random_boxes(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Boxes of sides between 16 and 600 pixels, and the levels of an FPN for them."""
    centre = rng.uniform(0, 1, (count, 2)) * (WIDTH, HEIGHT)
    half = np.exp(rng.uniform(np.log(16), np.log(600), (count, 2))) / 2
    boxes = np.concatenate([centre - half, centre + half], -1).astype(np.float32)
    level = np.floor(4 + np.log2(np.sqrt(np.prod(2 * half, -1)) / 224))
    return boxes, np.clip(level - 2, 0, len(STRIDES) - 1).astype(np.int32)


def suppression_cases(library: launchers.Launchers) -> list[Case]:
    """NMS of boxes of one class; all that survive, and the best thousand as a detector takes them."""
    rng = np.random.default_rng(2)
    cases = []
    for count in (4000, 100_000):
        boxes, _ = random_boxes(rng, count)
        scores = rng.permutation(count).astype(np.float32) / count
        on_gpu = torch.from_numpy(boxes).cuda(), torch.from_numpy(scores).cuda()
        expected = torchvision.ops.nms(*on_gpu, 0.5).cpu().numpy()
        peer = f"NMS of {count} boxes, torchvision"
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
        cases.append(Case(peer, functools.partial(torchvision.ops.nms, *on_gpu, 0.5)))
    return cases


def report(cases: list[Case], file: str) -> None:
    """Prints the table, and writes the figures to ``file`` if there is one."""
    by_name = {case.name: case for case in cases}
    bandwidth = cases[0].least_bytes / cases[0].median  # bytes in a millisecond
    print(f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}, torchvision {torchvision.__version__}")
    print(f"{cases[0].name}: {bandwidth / 1e9:.2f} TB/s\n")
    print("| | ms | range | share of bandwidth | of torchvision's time |\n|---|---|---|---|---|")
    rows = []
    for case in cases[1:]:
        share = case.least_bytes / case.median / bandwidth
        ratio = case.median / by_name[case.peer].median if case.peer else None
        of_peer = "" if ratio is None else f"{ratio:.2f} ({'reached' if ratio <= GOAL else 'missed'} {GOAL})"
        spread = f"{min(case.milliseconds):.3f} to {max(case.milliseconds):.3f}"
        print(f"| {case.name} | {case.median:.3f} | {spread} | {share:.0%} | {of_peer} |")
        row = {"name": case.name, "milliseconds": case.milliseconds, "median": case.median}
        rows.append({**row, "share_of_bandwidth": share, "of_torchvision": ratio})
    if file:
        with open(file, "w", encoding="utf-8") as out:
            json.dump(
                {"card": torch.cuda.get_device_name(), "bandwidth": bandwidth, "rows": rows}, out, indent=1
            )


if __name__ == "__main__":
    main()
