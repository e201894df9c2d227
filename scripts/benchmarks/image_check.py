"""How fast the pictures of a data set are checked before the first step, and how soon that step is done.

A data set of many pictures is made: copies of a few drawn JPEGs of COCO's size, each with eight objects that
have polygons. The files have just been written and lie in the page cache. Images per second and core are
images over the CPU time of the whole process. With --first_step, train.py is started on the data set too,
with the small detector of the demo, and the time counts from its start to the line of its first step.

    python scripts/benchmarks/image_check.py
    python scripts/benchmarks/image_check.py --num_images 10000 --rounds 1 --first_step
"""

from __future__ import annotations

import functools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import measuring
import program

GOAL = ">= 1500 per core"
# Pictures that are drawn; the others are copies of them.
DRAWN = 16
VALIDATION_IMAGES = 100
FIRST_STEP_LIMIT = 550.0  # seconds

OPTIONS = measuring.flags(rounds=5)
OPTIONS.integer("num_images", 2000, "Pictures of the training split.", lower=DRAWN)
OPTIONS.boolean("first_step", False, "Measures the time to the first step of train.py too.")


def main(argv: Sequence[str] | None = None) -> int:
    """Measures what the flags describe and returns the exit status."""
    return program.run(_work, OPTIONS, __doc__ or "", argv)


def _work(_: list[str]) -> None:
    from cascade_tf.data.coco import read_dataset_dir
    from cascade_tf.data.image_check import LEVELS, check_images

    flags = OPTIONS.values
    lines = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        size = write_dataset(folder, flags.num_images)
        dataset, seconds = _timed(lambda: read_dataset_dir(folder, "train", segmentations=True))
        lines.append(measuring.Row("annotation file, per core", flags.num_images / seconds[0], "images/s"))
        for level in LEVELS[:2]:
            check = functools.partial(check_images, dataset, level)
            times = [_timed(check)[1] for _ in range(flags.rounds)]
            for column, name in enumerate(("per core", "all threads")):
                rates = [flags.num_images / taken[column] for taken in times]
                lines.append(
                    measuring.Row(
                        f"check {level}, {name}",
                        statistics.median(rates),
                        "images/s",
                        min(rates),
                        max(rates),
                        goal=GOAL if column == 0 else "",
                    )
                )
        if flags.first_step:
            lines.append(measuring.Row("first step of train.py after", time_to_first_step(folder), "s"))
    settings = {
        "images": f"{flags.num_images} of {size / 1e3:.0f} kB",
        "objects": "8 per image, with polygons",
    }
    measuring.report("image_check", lines, settings, flags.json)


def write_dataset(folder: Path, count: int) -> float:
    """Writes a data set of both splits and returns the mean size of its files in bytes."""
    import photos

    images = folder / "images"
    images.mkdir()
    drawn = photos.write_photos(images, DRAWN)
    contents = [path.read_bytes() for path in drawn]
    examples = photos.make_dataset(drawn).examples
    for split, number in (("train", count), ("val", VALIDATION_IMAGES)):
        records: dict[str, list[dict[str, Any]]] = {
            "images": [],
            "annotations": [],
            "categories": [{"id": 1, "name": "thing"}],
        }
        for i in range(number):
            example, name = examples[i % DRAWN], f"{split}_{i}.jpg"
            (images / name).write_bytes(contents[i % DRAWN])
            records["images"].append(
                {"id": i, "file_name": name, "height": example.height, "width": example.width}
            )
            for box, outline in zip(example.boxes.tolist(), example.segmentations, strict=True):
                records["annotations"].append(
                    {
                        "id": len(records["annotations"]) + 1,
                        "image_id": i,
                        "category_id": 1,
                        "iscrowd": 0,
                        "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
                        "area": (box[2] - box[0]) * (box[3] - box[1]),
                        "segmentation": [outline[0].round(2).tolist()],
                    }
                )
        (folder / f"instances_{split}.json").write_text(json.dumps(records))
    return statistics.mean(map(len, contents))


def time_to_first_step(folder: Path) -> float:
    """Starts ``train.py`` on a data set and returns the seconds until its first step is in the log."""
    metrics = folder / "run" / "metrics.jsonl"
    command = [
        *(sys.executable, str(measuring.SCRIPTS / "train.py"), "--config", "demo/cascade"),
        *("--dataset_dir", str(folder), "--workdir", str(folder / "run")),
        *("--set", "train.log_every=1", "--set", "train.steps=1000"),
    ]
    begin = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            while not (metrics.exists() and metrics.stat().st_size):
                if process.poll() is not None or time.perf_counter() - begin > FIRST_STEP_LIMIT:
                    raise RuntimeError(f"train.py did no step within {FIRST_STEP_LIMIT:.0f} s")
                time.sleep(0.05)
            return time.perf_counter() - begin
        finally:
            process.kill()


def _timed(work: Callable[[], Any]) -> tuple[Any, tuple[float, float]]:
    """The result, and the seconds of the CPU and by the clock on the wall."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = work()
    return result, (time.process_time() - cpu, time.perf_counter() - wall)


if __name__ == "__main__":
    sys.exit(main())
