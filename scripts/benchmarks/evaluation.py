"""How long the COCO protocol takes for the boxes of a whole split, beside other implementations of it.

A split of the size of COCO's val2017 is drawn, with the detections of a detector that keeps a hundred boxes
of each image: half of them lie near objects of their class, the others anywhere. Each implementation gets
annotations and detections as they come from JSON and returns the numbers. Those that are not installed are
left out. The last row is what it takes to say besides what is wrong with the detections.

    python scripts/benchmarks/evaluation.py --rounds 1
    python scripts/benchmarks/evaluation.py --num_images 500 --num_objects 3600 --num_detections 50000
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import measuring
import program

GOAL = "<= 12 s"
SUMMARY = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
"""The twelve numbers that all of them have, in their order."""

ERRORS = "cascade_tf's errors"
"""The row of the kinds of error, their costs and the confusion matrix."""

OPTIONS = measuring.flags(rounds=3, text="Rounds; each calls every implementation once.")
OPTIONS.integer("num_images", 5000, "Images.", lower=1)
OPTIONS.integer("num_objects", 36_000, "Objects in all images.", lower=1)
OPTIONS.integer("num_detections", 500_000, "Detections in all images.", lower=2)
OPTIONS.integer("num_classes", 80, "Classes.", lower=3)


def main(argv: Sequence[str] | None = None) -> int:
    """Measures what the flags describe and returns the exit status."""
    return program.run(_work, OPTIONS, __doc__ or "", argv)


class Times(NamedTuple):
    """Seconds of the rounds, by the clock on the wall and of the process on all cores."""

    wall: list[float]
    cpu: list[float]


def _work(_: list[str]) -> None:
    flags = OPTIONS.values
    drawn = draw(flags.num_images, flags.num_objects, flags.num_detections, flags.num_classes)
    times, numbers = time_all(*drawn, flags.rounds)
    settings = {name: flags[name].value for name in ("num_images", "num_objects", "num_detections")}
    measuring.report("evaluation", rows(times), settings, flags.json)
    for name, values in numbers.items():
        off = max(abs(a - b) for a, b in zip(values, numbers["pycocotools"], strict=True))
        print(f"{name}: AP {values[0]:.6f}, differs from pycocotools by at most {off:.1e}")


def time_all(
    content: dict[str, Any], detections: list[dict[str, Any]], rounds: int
) -> tuple[dict[str, Times], dict[str, list[float]]]:
    """Calls what is installed in turn and returns its times and its numbers."""
    present = {name: call for name, (module, call) in PEERS.items() if importlib.util.find_spec(module)}
    missing = " ".join(sorted(PEERS.keys() - present.keys()))
    if missing:
        print(f"not installed and left out: {missing}; pip install {missing} brings them")
    times = {name: Times([], []) for name in (*present, ERRORS)}
    numbers = {}
    for _ in range(rounds):
        for name, call in (present | {ERRORS: _errors}).items():
            # Some write into what they are given.
            copies = [dict(record) for record in detections]
            cpu, wall = time.process_time(), time.perf_counter()
            with contextlib.redirect_stdout(io.StringIO()):
                result = call(content, copies)
            times[name].wall.append(time.perf_counter() - wall)
            times[name].cpu.append(time.process_time() - cpu)
            if name in present:
                numbers[name] = result
    return times, numbers


def rows(times: dict[str, Times]) -> list[measuring.Row]:
    """Lines of the table: two for each implementation, and how the others compare with this package."""
    lines = []
    for name, (wall, cpu) in times.items():
        goal = GOAL if name == "cascade_tf" else ""
        lines.append(measuring.Row(name, statistics.median(wall), "s", min(wall), max(wall), goal=goal))
        lines.append(measuring.Row(f"{name}, CPU", statistics.median(cpu), "s", min(cpu), max(cpu)))
    for name, other in list(times.items())[1:]:
        # Of the CPU's time, which depends less on what else the machine does.
        ratios = [peer / own for peer, own in zip(other.cpu, times["cascade_tf"].cpu, strict=True)]
        what = f"{name} to cascade_tf, CPU"
        lines.append(measuring.Row(what, statistics.median(ratios), "x", min(ratios), max(ratios)))
    return lines


def _cascade_tf(content: dict[str, Any], detections: list[dict[str, Any]]) -> list[float]:
    from cascade_tf.metrics import evaluate_coco

    result = evaluate_coco(content, detections)
    return [result.summary[name] for name in SUMMARY]


def _errors(content: dict[str, Any], detections: list[dict[str, Any]]) -> list[float]:
    from cascade_tf.metrics import evaluate_errors

    return list(evaluate_errors(content, detections).costs().values())


def _pycocotools(content: dict[str, Any], detections: list[dict[str, Any]]) -> list[float]:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth = COCO()
    truth.dataset = content
    truth.createIndex()
    evaluation = COCOeval(truth, truth.loadRes(detections), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return list(evaluation.stats)


def _faster_coco_eval(content: dict[str, Any], detections: list[dict[str, Any]]) -> list[float]:
    from faster_coco_eval import COCO, COCOeval_faster

    truth = COCO(content)
    evaluation = COCOeval_faster(truth, truth.loadRes(detections), "bbox", print_function=print)
    evaluation.run()
    return list(evaluation.stats[:12])


def _hotcoco(content: dict[str, Any], detections: list[dict[str, Any]]) -> list[float]:
    from hotcoco import COCO, COCOeval

    truth = COCO(content)
    evaluation = COCOeval(truth, truth.load_res(detections), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return list(evaluation.stats)


PEERS: dict[str, tuple[str, Callable[[dict[str, Any], list[dict[str, Any]]], list[float]]]] = {
    "cascade_tf": ("cascade_tf", _cascade_tf),
    "pycocotools": ("pycocotools", _pycocotools),
    "faster-coco-eval": ("faster_coco_eval", _faster_coco_eval),
    "hotcoco": ("hotcoco", _hotcoco),
}
"""Name to the module that it needs, and what it is called by."""


def draw(
    num_images: int, num_objects: int, num_detections: int, num_classes: int, seed: int = 0
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Draws annotations and detections as COCO's files have them.

    Classes are as unequal as words in a text, and an image has objects of three of them.
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    shares = 1 / np.arange(1, num_classes + 1)
    shares /= shares.sum()
    themes = np.stack([generator.choice(num_classes, 3, replace=False, p=shares) for _ in range(num_images)])

    def sides(count: int) -> np.ndarray:
        return np.exp(generator.uniform(np.log(10), np.log(300), (count, 2)))

    images = np.sort(generator.integers(num_images, size=num_objects))
    classes = themes[images, generator.integers(3, size=num_objects)]
    boxes = np.concatenate([generator.uniform(0, 340, (num_objects, 2)), sides(num_objects)], axis=1).round(2)
    crowds = generator.random(num_objects) < 0.01
    num_near = num_detections // 2
    near = generator.integers(num_objects, size=num_near)
    moved = boxes[near] + generator.normal(0, 0.12, (num_near, 4)) * np.tile(boxes[near][:, 2:], 2)
    moved[:, 2:] = np.maximum(moved[:, 2:], 1)
    num_far = num_detections - num_near
    far = generator.integers(num_images, size=num_far)
    anywhere = np.concatenate([generator.uniform(0, 340, (num_far, 2)), sides(num_far)], axis=1)
    of_theme = themes[far, generator.integers(3, size=num_far)]
    of_any = generator.choice(num_classes, num_far, p=shares)
    found = {
        "image_id": np.concatenate([images[near], far]) + 1,
        "category_id": np.concatenate(
            [classes[near], np.where(generator.random(num_far) < 0.5, of_theme, of_any)]
        )
        + 1,
        "bbox": np.concatenate([moved, anywhere]).round(2),
        "score": generator.beta(0.6, 3, num_detections).round(4),
    }
    content = {
        "images": [{"id": i + 1, "width": 640, "height": 640} for i in range(num_images)],
        "categories": [{"id": k + 1, "name": f"class {k + 1}"} for k in range(num_classes)],
        "annotations": _records(
            id=np.arange(num_objects) + 1,
            image_id=images + 1,
            category_id=classes + 1,
            bbox=boxes,
            area=boxes[:, 2] * boxes[:, 3] * 0.6,
            iscrowd=crowds.astype(int),
        ),
        "info": {},
    }
    return content, _records(**found)


def _records(**columns: Any) -> list[dict[str, Any]]:
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows]


if __name__ == "__main__":
    sys.exit(main())
