r"""Measures detections that lie in files, by the protocol of a benchmark and without a detector.

The numbers, in percent, go to the standard output and with --json to a file. docs/protocols.md says what each
protocol measures and what its files are.

    python scripts/measure.py --protocol voc2007 --ground_truth VOCdevkit/VOC2007 --detections results/Main
    python scripts/measure.py --protocol kitti --ground_truth training/label_2 --detections results/data
    python scripts/measure.py --protocol citypersons --ground_truth val_gt.json --detections val_dt.json
    python scripts/measure.py --protocol widerface --ground_truth eval_tools/ground_truth \
        --detections widerface_txt --iou 0.75 --json widerface_75.json
    python scripts/measure.py --protocol recall --ground_truth instances_val2017.json \
        --detections proposals/val.npz
"""

from __future__ import annotations

import inspect
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import program
from program.protocols import PROTOCOLS

OPTIONS = program.Flags(of_runs=False, settings=False)
OPTIONS.choice("protocol", None, tuple(PROTOCOLS), "What to measure.")
OPTIONS.string("ground_truth", None, "File or folder with what is to be found.", "PATH")
OPTIONS.string("detections", None, "File or folder with what was found.", "PATH")
OPTIONS.number("iou", None, "The overlap that finds an object. Default: the protocol's own.", 0.01, 1.0)
OPTIONS.string("json", None, "Writes the numbers to this file, too.", "FILE")
OPTIONS.choice(
    "kitti_rule",
    "2017",
    ("2016", "2017"),
    "KITTI's rule on the height of detections: until or since April 2017.",
)
OPTIONS.boolean(
    "honour_ignore", True, "COCO: objects with ignore set do not count; --nohonour_ignore is pycocotools."
)
_OF_SOME = ("iou", "kitti_rule", "honour_ignore")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit status."""
    return program.run(measure, OPTIONS, __doc__, argv)


def measure(arguments: Sequence[str]) -> None:
    """Measures the detections of ``--detections``."""
    name = OPTIONS.need("protocol")
    paths = Path(OPTIONS.need("ground_truth")), Path(OPTIONS.need("detections"))
    numbers = PROTOCOLS[name](*paths, **_settings(name))
    print(table(numbers))
    if OPTIONS.values.json:
        write_numbers(OPTIONS.values.json, numbers)


def _settings(name: str) -> dict[str, object]:
    """The flags that were given and that not every protocol takes."""
    given = {flag: OPTIONS.values[flag].value for flag in _OF_SOME if OPTIONS.values[flag].present}
    known = inspect.signature(PROTOCOLS[name]).parameters
    for flag in given:
        if flag not in known:
            others = ", ".join(n for n, p in PROTOCOLS.items() if flag in inspect.signature(p).parameters)
            raise ValueError(f"--{flag} with --protocol {name}: expected one of {others}")
    return given


def table(numbers: dict[str, float]) -> str:
    """Returns a line for each number, with two decimals."""
    width = max(map(len, numbers))
    values = {name: "-" if math.isnan(value) else f"{value:.2f}" for name, value in numbers.items()}
    return "\n".join(f"{name.ljust(width)}  {value:>6}" for name, value in values.items())


def write_numbers(path: str, numbers: dict[str, float]) -> None:
    """Writes the numbers as JSON, null for what is not defined."""
    from cascade_tf.files import write_atomically

    content = {name: None if math.isnan(value) else value for name, value in numbers.items()}
    write_atomically(path, json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
