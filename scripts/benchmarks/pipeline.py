"""How many images a second the input pipeline makes ready for training, and which part takes how long.

Each image is read, decoded, resized, mirrored, padded and put into a batch, with boxes or with boxes and
masks. Images per second and core are images over the CPU time of the whole process; beside them stand the
images per second that one core and all cores deliver. The parts are run by themselves in the same rounds, and
their shares are those of the CPU time of the pipeline with boxes.

    python scripts/benchmarks/pipeline.py
    python scripts/benchmarks/pipeline.py --alternatives --json pipeline.json
    python scripts/benchmarks/pipeline.py --images photos
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import measuring
import program

if TYPE_CHECKING:
    from cascade_tf.data.coco import CocoDataset

GOAL = ">= 35 per core"
WARMUPS = 2  # rounds that do not count
# Of a whole pipeline in each round: batches before the clock starts, and those that count.
FIRST_BATCHES, BATCHES = 8, 24

OPTIONS = measuring.flags(rounds=9)
OPTIONS.string("images", None, "Measures with the JPEGs of this folder, instead of drawn ones.", "DIR")
OPTIONS.boolean("alternatives", False, "Measures files and batches made beforehand and a service too.")
OPTIONS.integer("num_images", 32, "How many images are drawn.", lower=2)
OPTIONS.integer("batch_size", 8, "Images in a batch.", lower=1)
OPTIONS.integer("short_side", 800, "Length of the shorter side, pixels.", lower=1)
OPTIONS.integer("max_side", 1333, "Limit of the longer side, pixels.", lower=1)


@dataclasses.dataclass
class Sample:
    """Something that handles images, and how long each image took.

    Attributes:
        name: as the table shows it.
        run: handles some images and returns their number; the time between its two calls of its argument
            counts.
        cpu: CPU seconds of the process per image, for each round that counts.
        wall: likewise by the clock on the wall.
    """

    name: str
    run: Callable[[Callable[[], None]], int]
    cpu: list[float] = dataclasses.field(default_factory=list)
    wall: list[float] = dataclasses.field(default_factory=list)

    def measure(self, *, counts: bool) -> None:
        """Runs once, and keeps the times if the round counts."""
        readings: list[tuple[float, float]] = []
        images = self.run(lambda: readings.append((time.process_time(), time.perf_counter())))
        (cpu_begin, wall_begin), (cpu_end, wall_end) = readings
        if counts:
            self.cpu.append((cpu_end - cpu_begin) / images)
            self.wall.append((wall_end - wall_begin) / images)


def main(argv: Sequence[str] | None = None) -> int:
    """Measures what the flags describe and returns the exit status."""
    return program.run(_work, OPTIONS, __doc__ or "", argv)


def _work(_: list[str]) -> None:
    import photos

    flags = OPTIONS.values
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        paths = _jpegs(flags.images) if flags.images else photos.write_photos(scratch, flags.num_images)
        sizes = [path.stat().st_size for path in paths]
        dataset = photos.make_dataset(paths)
        others = stack.enter_context(_alternatives(dataset, scratch)) if flags.alternatives else []
        lines = _measure(dataset, others)
    settings = {
        "images": f"{flags.images or 'drawn'}: {len(paths)} of {statistics.mean(sizes) / 1e3:.0f} kB",
        "short side": flags.short_side,
        "max side": flags.max_side,
        "batch size": flags.batch_size,
        "objects": photos.OBJECTS,
    }
    measuring.report("pipeline", lines, settings, flags.json)


def _jpegs(folder: str) -> list[Path]:
    paths = sorted(path for path in Path(folder).iterdir() if path.suffix.lower() in (".jpg", ".jpeg"))
    if len(paths) < OPTIONS.values.batch_size:
        raise ValueError(f"--images={folder} holds {len(paths)} JPEGs, expected at least a batch of them")
    return paths


def _measure(dataset: CocoDataset, alternatives: list[Sample]) -> list[measuring.Row]:
    from pipeline_parts import Parts

    flags = OPTIONS.values
    parts = Parts(dataset, flags.short_side, flags.max_side, flags.batch_size)
    needed, others = ([_part(*item) for item in group.items()] for group in (parts.needed(), parts.others()))
    boxes, masks = ([_pipeline(dataset, masks, one_core) for one_core in _CORES] for masks in (False, True))
    samples = [*boxes, *masks, *needed, *others, *alternatives]
    for number in range(WARMUPS + flags.rounds):
        for sample in samples:
            sample.measure(counts=number >= WARMUPS)
    rows = [row for pipelines in (boxes, masks) for row in _whole_rows(pipelines, GOAL)]
    rows += [*_part_rows(boxes[0], needed), *map(_time_row, others)]
    return rows + [row for sample in alternatives for row in _whole_rows([sample])]


# Whether the threads of a whole pipeline are kept to one core; elsewhere than on Linux they cannot be.
_CORES = (False, True) if sys.platform == "linux" else (False,)


def _settings() -> dict[str, Any]:
    flags = OPTIONS.values
    return {"batch_size": flags.batch_size, "short_sides": (flags.short_side,), "max_side": flags.max_side}


def _pipeline(dataset: CocoDataset, masks: bool, one_core: bool) -> Sample:
    from cascade_tf.data.pipeline import train_batches

    name = "pipeline with boxes and masks" if masks else "pipeline with boxes"
    workers = 1 if one_core else None
    make = functools.partial(train_batches, dataset, masks=masks, workers=workers, **_settings())
    return _whole(name, make, one_core)


@contextlib.contextmanager
def _alternatives(dataset: CocoDataset, scratch: Path) -> Iterator[list[Sample]]:
    from pipeline_alternatives import alternatives

    with alternatives(dataset, scratch, **_settings()) as makers:
        yield [_whole(*item) for item in makers.items()]


def _whole(name: str, make_batches: Callable[[], Iterable[Any]], one_core: bool = False) -> Sample:
    def run(read_clocks: Callable[[], None]) -> int:
        with _kept_to_one_core() if one_core else contextlib.nullcontext():
            batches = iter(make_batches())
            for _ in range(FIRST_BATCHES):
                next(batches)
            read_clocks()
            for _ in range(BATCHES):
                next(batches)
            # Before the iterator goes, which may wait for half a second.
            read_clocks()
        return BATCHES * OPTIONS.values.batch_size

    return Sample(name, run)


def _part(name: str, handle: Callable[[], int]) -> Sample:
    def run(read_clocks: Callable[[], None]) -> int:
        read_clocks()
        images = handle()
        read_clocks()
        return images

    return Sample(name, run)


@contextlib.contextmanager
def _kept_to_one_core() -> Iterator[None]:
    """Keeps every thread of this process to one core; threads that begin meanwhile inherit that."""
    allowed = os.sched_getaffinity(0)
    try:
        _keep_threads_to({min(allowed)})
        yield
    finally:
        _keep_threads_to(allowed)


def _keep_threads_to(cores: set[int]) -> None:
    for thread in os.listdir("/proc/self/task"):
        # A thread may have ended since it was listed.
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread), cores)


def _whole_rows(samples: Sequence[Sample], goal: str = "") -> list[measuring.Row]:
    everywhere, *alone = samples
    name = everywhere.name
    rows = [
        _rate_row(f"{name}, by CPU time", everywhere.cpu, "images/s per core", goal),
        _rate_row(f"{name}, all cores", everywhere.wall, "images/s"),
    ]
    return rows + [_rate_row(f"{sample.name}, one core", sample.wall, "images/s") for sample in alone]


def _rate_row(name: str, seconds: Sequence[float], unit: str, goal: str = "") -> measuring.Row:
    rates = [1 / value for value in seconds]
    return measuring.Row(name, statistics.median(rates), unit, min(rates), max(rates), goal=goal)


def _part_rows(whole: Sample, parts: Sequence[Sample]) -> list[measuring.Row]:
    """The parts with their shares of the whole, and what is left of it."""
    rows = [_time_row(part, _share(part.cpu, whole)) for part in parts]
    rounds = zip(whole.cpu, *(part.cpu for part in parts), strict=True)
    rest = [total - sum(values) for total, *values in rounds]
    return [*rows, _time_row(Sample("rest: tf.data itself", whole.run, rest), _share(rest, whole))]


def _share(seconds: Sequence[float], whole: Sample) -> str:
    share = statistics.median(part / total for part, total in zip(seconds, whole.cpu, strict=True))
    return f" ({share:.0%})"


def _time_row(sample: Sample, share: str = "") -> measuring.Row:
    times = [1e3 * value for value in sample.cpu]
    return measuring.Row(sample.name + share, statistics.median(times), "ms", min(times), max(times))


if __name__ == "__main__":
    sys.exit(main())
